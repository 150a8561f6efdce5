//! Each example runs as a user would run it, and prints the output of its first comment.

mod example;

use std::time::{Duration, Instant};

use example::{Example, PATIENCE};
use tempfile::TempDir;

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
