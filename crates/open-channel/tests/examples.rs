//! Each example runs as a user would run it, and prints the output of its first comment.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Examples lie beside the tests; `cargo test` builds them, except when it builds one test only.
fn program(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let exe = std::env::current_exe().expect("this program's path");
    let profile = exe.parent().and_then(Path::parent).expect("target/PROFILE/deps/PROGRAM");
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(name);
    if !path.exists() {
        BUILD.call_once(|| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args([
                "build",
                "--examples",
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ]);
            cargo.arg("--target-dir").arg(profile.parent().expect("target"));
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().expect("cargo runs").success(), "the examples do not build");
        });
    }
    path
}

/// A running example; killed when dropped.
struct Example {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Example {
    fn start(dir: &TempDir, name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program(name))
            .args(args)
            .env("OPEN_CHANNEL_DIR", dir.path().join("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let (tell, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { stdin: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    /// Waits for a line with `text` in it.
    fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?}, only {:?}", self.seen)
                }
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("piped"), "{line}").expect("it reads");
    }

    /// Waits until it ends with success, and returns the lines that were not expected.
    fn finish(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("its status");
        assert!(status.success(), "{status}, after {:?}", self.seen);
        std::mem::take(&mut self.seen)
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("its status");
    }
}

#[test]
fn echo_answers_itself_and_others() {
    let dir = TempDir::new().expect("a directory");
    let alone = Example::start(&dir, "echo", &["hello", "world"]);
    let pid = alone.child.id();
    let lines = alone.finish();
    let asked = format!("asked the host, process {pid}");
    assert_eq!(
        lines,
        [
            &*format!("{asked}: hello"),
            "answered: HELLO",
            &*format!("{asked}: world"),
            "answered: WORLD"
        ]
    );

    let mut host = Example::start(&dir, "echo", &["--stay"]);
    host.expect("host on the channel");
    let lines = Example::start(&dir, "echo", &["again"]).finish();
    assert_eq!(
        lines,
        [&*format!("asked the host, process {}: again", host.child.id()), "answered: AGAIN"]
    );
}

#[test]
fn chat_goes_on_when_its_host_is_killed() {
    let dir = TempDir::new().expect("a directory");
    let mut ann = Example::start(&dir, "chat", &["ann"]);
    ann.expect("* this process hosts (generation 1)");
    let mut bob = Example::start(&dir, "chat", &["bob"]);
    bob.expect("* joined (generation 1)");
    let mut cid = Example::start(&dir, "chat", &["cid"]);
    cid.expect("* joined (generation 1)");
    // Every member is there once every member has heard itself.
    for (member, name) in [(&mut ann, "ann"), (&mut bob, "bob"), (&mut cid, "cid")] {
        member.type_line("here");
        member.expect(&format!("{name}: here"));
    }
    ann.type_line("hi there");
    for member in [&mut ann, &mut bob, &mut cid] {
        member.expect("ann: hi there");
    }
    ann.kill();
    for member in [&mut bob, &mut cid] {
        member.expect("* the host is gone");
    }
    // Typed lines reach the members whose sockets have come back.
    for (member, name) in [(&mut bob, "bob"), (&mut cid, "cid")] {
        member.type_line("back");
        member.expect(&format!("{name}: back"));
    }
    bob.type_line("still here");
    for member in [&mut bob, &mut cid] {
        member.expect("bob: still here");
    }
    bob.finish();
    cid.finish();
}

#[test]
fn counter_counts_each_increment_once_although_its_host_is_killed() {
    const EACH: u64 = 3000;
    let dir = TempDir::new().expect("a directory");
    let state = dir.path().join("counter.state");
    let args = [state.to_str().expect("a plain path"), &*EACH.to_string()];
    let count = || -> u64 {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        text.lines().next().map_or(0, |value| value.parse().expect("a number"))
    };
    let mut host = Example::start(&dir, "counter", &[args[0], "0"]);
    host.expect("hosting, generation 1");
    let workers = [Example::start(&dir, "counter", &args), Example::start(&dir, "counter", &args)];
    let deadline = Instant::now() + PATIENCE;
    while count() < EACH / 4 {
        assert!(Instant::now() < deadline, "nothing is counted");
        std::thread::sleep(Duration::from_millis(1));
    }
    host.kill();
    assert!(count() < 2 * EACH, "killed too late to show anything");
    let mut hosted = 0;
    for worker in workers {
        let lines = worker.finish();
        hosted += lines.iter().filter(|line| line.starts_with("hosting, generation ")).count();
        assert!(lines.iter().any(|line| line.starts_with(&format!("added {EACH}, "))), "{lines:?}");
    }
    assert!(hosted >= 1, "nobody took over");
    assert_eq!(count(), 2 * EACH);
}

#[test]
fn http_is_asked_and_answered() {
    let dir = TempDir::new().expect("a directory");
    let example = Example::start(&dir, "http", &["/hello"]);
    let answer = format!("process {} answers GET /hello", example.child.id());
    assert_eq!(example.finish(), ["200 OK", &answer]);
}
