//! The demo holds its promises, and reports when it cannot.

use crate::program::{Place, Program};

/// A demo that is over quickly.
fn start(place: &Place, args: &[&str]) -> Program {
    let input = place.path().join("input");
    let text: Vec<u8> = (0..100_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(&input, text).expect("writing the input");
    let input = input.to_str().expect("a path in UTF-8");
    place.start(&[&["demo", "--seconds", "1", "--input", input], args].concat())
}

/// The number in this row of the final table.
fn row(output: &str, name: &str) -> u64 {
    let row = output.lines().find(|line| line.trim_start().starts_with(name));
    let row = row.unwrap_or_else(|| panic!("no row {name:?} in\n{output}"));
    let digits = row.trim_start().strip_prefix(name).expect("the row's name").trim_start();
    // Numbers are grouped with single spaces, and two spaces follow.
    let digits = digits.split("  ").next().expect("a number").replace(' ', "");
    digits.parse().unwrap_or_else(|_| panic!("no number in {row:?}"))
}

#[test]
fn hosts_that_are_killed_lose_nothing() {
    let place = Place::new();
    let output = start(&place, &["--workers", "3", "--kills", "2"]).succeed();
    assert_eq!(output.matches("SIGKILL worker").count(), 2, "{output}");
    assert_eq!(output.matches("ms after the kill").count(), 2, "{output}");
    assert_eq!(row(&output, "lost"), 0, "{output}");
    assert_eq!(
        row(&output, "sent"),
        row(&output, "handled") + row(&output, "died with sender"),
        "{output}"
    );
    assert!(row(&output, "redelivered") >= row(&output, "duplicates"), "{output}");
    for check in ["order", "digest"] {
        assert!(
            output.lines().any(|line| line.trim_start().starts_with(check) && line.contains(" ok")),
            "{output}"
        );
    }
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[test]
fn without_kills_nothing_is_delivered_twice() {
    let place = Place::new();
    let output = start(&place, &["--workers", "2", "--kills", "0"]).succeed();
    assert_eq!(row(&output, "sent"), row(&output, "handled"), "{output}");
    for name in ["redelivered", "duplicates", "died with sender", "lost"] {
        assert_eq!(row(&output, name), 0, "{name}\n{output}");
    }
}

#[test]
fn a_worker_that_is_all_alone_goes_on_after_its_restart() {
    let place = Place::new();
    let output = start(&place, &["--workers", "1", "--kills", "1"]).succeed();
    assert_eq!(row(&output, "lost"), 0, "{output}");
}

#[test]
fn a_file_of_one_byte_makes_a_demo_too() {
    let place = Place::new();
    let input = place.path().join("one");
    std::fs::write(&input, "1").expect("writing the input");
    let input = input.to_str().expect("a path in UTF-8");
    let output =
        place.start(&["demo", "--seconds", "1", "--kills", "1", "--input", input]).succeed();
    assert_eq!(row(&output, "lost"), 0, "{output}");
}

#[test]
fn an_input_that_cannot_be_streamed_is_named() {
    let place = Place::new();
    let empty = place.path().join("empty");
    std::fs::write(&empty, "").expect("writing the input");
    let missing = place.path().join("missing");
    for (input, says) in
        [(place.path(), "not a regular file"), (&empty, "empty"), (&missing, "could not read")]
    {
        let input = input.to_str().expect("a path in UTF-8");
        let error = place.start(&["demo", "--input", input]).fail();
        assert!(error.contains(says), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_takes_its_workers_and_files_with_it() {
    use rustix::process::Signal;

    let place = Place::new();
    let mut demo = start(&place, &["--seconds", "600"]);
    demo.wait_for(|line| line.contains("hosts (generation"));
    demo.signal(Signal::INT);
    // The workers hold this test's end of standard error open for as long as they live.
    let (status, _, _) = demo.finish();
    assert_eq!(status.code(), Some(130));
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn an_input_that_may_not_be_read_is_one_line_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    const NOBODY: u32 = 65534;

    let place = Place::new();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
            .expect("setting permissions");
    };
    let secret = place.path().join("secret");
    std::fs::write(&secret, "nobody may read this").expect("writing the input");
    allow(&secret, 0o000);
    let args = ["demo", "--input", secret.to_str().expect("a path in UTF-8")];
    let mut command = place.command(&args);
    if rustix::process::geteuid().is_root() {
        // Root may read everything, and others may not reach the directory of the build. A process
        // of its own copies it: a child of another test could hold a file open that this process
        // had open for writing.
        let program = place.path().join("program");
        let copied = Command::new("cp").arg(command.get_program()).arg(&program).status();
        assert!(copied.expect("copying the program").success());
        let tmp = place.path().join("tmp");
        allow(place.path(), 0o755);
        allow(&tmp, 0o777);
        command = Command::new(program);
        command
            .args(args)
            .uid(NOBODY)
            .env("TMPDIR", tmp)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }
    let (status, output, errors) =
        Program::watch(command.spawn().expect("starting the program")).finish();
    assert_eq!((status.code(), output.as_str()), (Some(1), ""), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("could not open") && errors.contains("secret"), "{errors}");
}

/// The process id in `worker 1 (pid 4711) …`.
#[cfg(unix)]
fn pid(line: &str) -> u32 {
    let pid = line.split_once("(pid ").and_then(|(_, rest)| rest.split_once(')'));
    pid.and_then(|(pid, _)| pid.parse().ok()).unwrap_or_else(|| panic!("no process id in {line:?}"))
}

#[cfg(unix)]
#[test]
fn workers_that_are_killed_by_hand_start_again_and_nothing_is_lost() {
    use crate::program::signal_process;
    use rustix::process::Signal;

    let place = Place::new();
    let mut demo = start(&place, &["--workers", "2", "--kills", "0", "--seconds", "3"]);
    let host = pid(&demo.wait_for(|line| line.contains("hosts (generation 1)")));
    signal_process(host, Signal::KILL);
    demo.wait_for(|line| line.contains("somebody killed worker") && pid(line) == host);
    demo.wait_for(|line| line.contains("hosts (generation 2)"));
    let peer = pid(&demo.wait_for(|line| line.contains("starts again")));
    demo.wait_for(|line| line.contains(" %   "));
    signal_process(peer, Signal::KILL);
    demo.wait_for(|line| line.contains("somebody killed worker") && pid(line) == peer);
    let output = demo.succeed();
    assert_eq!(row(&output, "lost"), 0, "{output}");
    assert_eq!(
        row(&output, "sent"),
        row(&output, "handled") + row(&output, "died with sender"),
        "{output}"
    );
}

#[cfg(unix)]
#[test]
fn a_worker_that_ends_in_any_other_way_is_an_error() {
    use crate::program::signal_process;
    use rustix::process::Signal;

    let place = Place::new();
    let mut demo = start(&place, &["--workers", "2", "--kills", "0", "--seconds", "600"]);
    let host = pid(&demo.wait_for(|line| line.contains("hosts (generation 1)")));
    signal_process(host, Signal::TERM);
    let error = demo.fail();
    assert!(error.contains("ended by itself with signal: 15"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_worker_that_is_suspended_is_named_and_may_go_on() {
    use crate::program::signal_process;
    use rustix::process::Signal;

    let place = Place::new();
    let mut demo = start(&place, &["--workers", "2", "--kills", "0", "--seconds", "3"]);
    let host = pid(&demo.wait_for(|line| line.contains("hosts (generation 1)")));
    signal_process(host, Signal::STOP);
    demo.wait_for(|line| line.contains("has said nothing for") && pid(line) == host);
    signal_process(host, Signal::CONT);
    let output = demo.succeed();
    assert_eq!(row(&output, "lost"), 0, "{output}");
}
