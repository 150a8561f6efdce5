//! The program under test, as a process with its output watched and a limit for its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The watchdog: these tests wait for nothing that takes anywhere near so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A runtime directory of a test's own, so that tests cannot meet each other.
pub(crate) struct Place {
    dir: TempDir,
}

pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Receiver<Output>,
    stdout: Vec<String>,
    stderr: Vec<String>,
    open: usize,
    started: Instant,
}

enum Output {
    Line(String),
    Error(String),
    End,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a directory for the test") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program with these arguments, in this place. Its temporary files go to the directory
    /// `tmp` there.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let tmp = self.path().join("tmp");
        std::fs::create_dir_all(&tmp).expect("a directory for temporary files");
        let mut command = Command::new(env!("CARGO_BIN_EXE_open-channel"));
        command
            .args(args)
            .env("OPEN_CHANNEL_DIR", self.path().join("run"))
            .env("TMPDIR", tmp)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Program {
        Program::watch(self.command(args).spawn().expect("starting the program"))
    }

    /// The present temporary files.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        std::fs::read_dir(self.path().join("tmp"))
            .expect("the directory for temporary files")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Program {
    pub(crate) fn watch(mut child: Child) -> Program {
        let (sender, output) = channel();
        let mut open = 0;
        if let Some(stdout) = child.stdout.take() {
            open += 1;
            watch(stdout, sender.clone(), Output::Line);
        }
        if let Some(stderr) = child.stderr.take() {
            open += 1;
            watch(stderr, sender, Output::Error);
        }
        let stdin = child.stdin.take();
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Program { child, stdin, output, stdout, stderr, open, started: Instant::now() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is still open");
        writeln!(stdin, "{line}").expect("typing");
    }

    pub(crate) fn end_of_input(&mut self) {
        self.stdin = None;
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        signal_process(self.pid(), signal);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killing the program");
    }

    /// Waits until the program has printed such a line, now or before.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut looked_at = 0;
        loop {
            while let Some(line) = self.stdout.get(looked_at) {
                if wanted(line) {
                    return line.clone();
                }
                looked_at += 1;
            }
            if !self.read_on() {
                self.give_up("ended without printing what was waited for");
            }
        }
    }

    /// Waits until the program has said so on standard error, now or before.
    pub(crate) fn wait_for_error(&mut self, wanted: &str) {
        while !self.stderr.iter().any(|line| line.contains(wanted)) {
            if !self.read_one() {
                self.give_up("ended without the error that was waited for");
            }
        }
    }

    pub(crate) fn wait_for_line(&mut self, wanted: &str) {
        self.wait_for(|line| line == wanted);
    }

    /// Everything printed so far.
    pub(crate) fn printed(&self) -> &[String] {
        &self.stdout
    }

    /// Waits for the end: exit status, standard output, standard error.
    pub(crate) fn finish(mut self) -> (ExitStatus, String, String) {
        while self.read_on() {}
        let status = self.child.wait().expect("waiting for the program");
        (status, self.stdout.join("\n"), self.stderr.join("\n"))
    }

    /// The end, which has to be a success; returns standard output.
    #[track_caller]
    pub(crate) fn succeed(self) -> String {
        let (status, stdout, stderr) = self.finish();
        assert!(status.success(), "{status}\n{stdout}\n{stderr}");
        stdout
    }

    /// The end, which has to be a failure reported in one line; returns that line.
    #[track_caller]
    pub(crate) fn fail(self) -> String {
        let (status, stdout, stderr) = self.finish();
        assert_eq!(status.code(), Some(1), "{status}\n{stdout}\n{stderr}");
        assert_eq!(stderr.lines().count(), 1, "an error is one line: {stderr}");
        assert!(stderr.starts_with("open-channel: "), "{stderr}");
        stderr
    }

    /// Reads until there is another line of standard output; false at the end of all output.
    fn read_on(&mut self) -> bool {
        let lines = self.stdout.len();
        while self.stdout.len() == lines {
            if !self.read_one() {
                return false;
            }
        }
        true
    }

    /// Reads one line of either; false at the end of all output.
    fn read_one(&mut self) -> bool {
        if self.open == 0 {
            return false;
        }
        match self.output.recv_timeout(LIMIT.saturating_sub(self.started.elapsed())) {
            Ok(Output::Line(line)) => self.stdout.push(line),
            Ok(Output::Error(line)) => self.stderr.push(line),
            Ok(Output::End) => self.open -= 1,
            Err(RecvTimeoutError::Timeout) => self.give_up("took too long"),
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn give_up(&self, why: &str) -> ! {
        panic!(
            "the program {why}\n-- output:\n{}\n-- errors:\n{}",
            self.stdout.join("\n"),
            self.stderr.join("\n")
        )
    }
}

/// A terminal: the program has one side, the test reads from the other.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub(crate) struct Terminal {
    near: std::fs::File,
    far: std::fs::File,
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
impl Terminal {
    pub(crate) fn open() -> Terminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&near).expect("its owner");
        unlockpt(&near).expect("its lock");
        let name = ptsname(&near, Vec::new()).expect("its name");
        let far = std::fs::File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("a plain path"))
            .expect("its other side");
        Terminal { near: near.into(), far }
    }

    pub(crate) fn side(&self) -> Stdio {
        self.far.try_clone().expect("a duplicate").into()
    }

    /// All that was written to it, until no process has it open.
    pub(crate) fn read_to_end(self) -> String {
        drop(self.far);
        let mut near = self.near;
        let mut shown = Vec::new();
        // Linux ends it with an error.
        let _ = near.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

#[cfg(unix)]
pub(crate) fn signal_process(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("sending a signal");
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(pipe: impl Read + Send + 'static, sender: Sender<Output>, output: fn(String) -> Output) {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
            let text =
                String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
            if sender.send(output(text)).is_err() {
                return;
            }
            line.clear();
        }
        let _ = sender.send(Output::End);
    });
}
