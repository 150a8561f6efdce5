//! Members hear each other, under any host.

use crate::program::{Place, Program};

/// Waits for the first member to be there: a message sent before reaches nobody.
pub(crate) fn open_room(place: &Place, args: &[&str]) -> Program {
    let mut first = place.start(&[&["join", "room"], args].concat());
    place.start(&["send", "room", KNOCK, "--timeout", "30"]).succeed();
    first.wait_for_line(KNOCK);
    first
}

/// The first line of the first member.
const KNOCK: &str = "knock, knock";

/// Joins and waits until an earlier member has received a message from the new one.
pub(crate) fn join_and_be_heard(place: &Place, name: &str, listener: &mut Program) -> Program {
    let mut joined = place.start(&["join", "room", "--stay"]);
    joined.type_line(name);
    listener.wait_for_line(name);
    joined
}

#[test]
fn everyone_hears_all_others_and_not_themselves() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    let mut cleo = join_and_be_heard(&place, "I am Cleo", &mut anna);
    anna.type_line("hello from the host");
    cleo.type_line("hello from a peer");
    ben.wait_for_line("hello from the host");
    ben.wait_for_line("hello from a peer");
    cleo.wait_for_line("hello from the host");
    anna.wait_for_line("hello from a peer");
    ben.type_line("the last word");
    cleo.wait_for_line("the last word");
    assert!(
        !cleo
            .printed()
            .iter()
            .any(|line| line.contains("I am Cleo") || line.contains("from a peer"))
    );
}

#[test]
fn the_end_of_input_is_the_end_when_all_is_delivered() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut ben = place.start(&["join", "room"]);
    for number in 0..1000 {
        ben.type_line(&number.to_string());
    }
    ben.end_of_input();
    ben.succeed();
    anna.wait_for_line("999");
    assert_eq!(anna.printed()[1..], (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_host_that_leaves_hands_over_and_the_others_go_on() {
    let place = Place::new();
    let mut anna = open_room(&place, &[]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    let mut cleo = join_and_be_heard(&place, "I am Cleo", &mut ben);
    anna.type_line("good bye");
    anna.end_of_input();
    anna.succeed();
    cleo.type_line("still here");
    ben.wait_for_line("good bye");
    ben.wait_for_line("still here");
}

#[test]
fn a_host_that_is_killed_is_replaced_and_no_line_is_missing() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    let mut cleo = join_and_be_heard(&place, "I am Cleo", &mut ben);
    for number in 0..2000 {
        if number == 1000 {
            // Some lines have arrived by now, and others are on their way.
            ben.wait_for(|line| line.starts_with("line "));
            anna.kill();
        }
        cleo.type_line(&format!("line {number}"));
    }
    ben.wait_for_line("line 1999");
    let mut lines: Vec<String> =
        ben.printed().iter().filter(|line| line.starts_with("line ")).cloned().collect();
    // A line whose acknowledgement died with the host comes twice, in its order.
    let mut seen = std::collections::HashSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    assert_eq!(lines, (0..2000).map(|number| format!("line {number}")).collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_an_orderly_leave() {
    use rustix::process::Signal;

    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    let mut cleo = join_and_be_heard(&place, "I am Cleo", &mut ben);
    anna.signal(Signal::INT);
    let (status, _, errors) = anna.finish();
    assert_eq!((status.code(), errors.as_str()), (Some(130), ""));
    cleo.type_line("still here");
    ben.wait_for_line("still here");
}

#[cfg(unix)]
#[test]
fn a_member_that_was_dropped_learns_why() {
    use rustix::process::Signal;

    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    ben.signal(Signal::STOP);
    place.start(&["send", "room", "hello", "--timeout", "30"]).succeed();
    ben.signal(Signal::CONT);
    let error = ben.fail();
    assert!(error.contains("left unread") && error.contains("join again"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_used_is_an_error_even_when_there_is_nothing_to_say() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let place = Place::new();
    let [file, shared, link] = ["file", "shared", "link"].map(|name| place.path().join(name));
    std::fs::write(&file, "").expect("a file");
    std::fs::create_dir(&shared).expect("a directory");
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o755))
        .expect("making it readable to all");
    symlink(&shared, &link).expect("a symbolic link");
    for dir in [file, shared, link] {
        let dir = dir.to_str().expect("a path in UTF-8");
        let mut join = place.start(&["--dir", dir, "join", "room"]);
        join.end_of_input();
        let error = join.fail();
        assert!(error.contains("runtime directory") && error.contains(dir), "{error}");
    }
}

#[test]
fn having_nothing_to_say_is_no_error() {
    let place = Place::new();
    let mut join = place.start(&["join", "room"]);
    join.end_of_input();
    join.succeed();
}

#[test]
fn lines_that_nobody_has_read_are_no_success() {
    let place = Place::new();
    let mut room = place.start(&["join", "room", "--stay"]);
    place.start(&["send", "room", KNOCK, "--timeout", "30"]).succeed();
    room.wait_for_line(KNOCK);
    let elsewhere = place.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("a path in UTF-8");
    let mut alone = place.start(&["--dir", elsewhere, "join", "room"]);
    alone.type_line("is anybody there?");
    alone.end_of_input();
    let error = alone.fail();
    assert!(error.contains("nobody else was on \"room\"") && error.contains(elsewhere), "{error}");
    assert!(error.contains("open-channel doctor"), "{error}");
}

#[cfg(unix)]
#[test]
fn every_polite_signal_is_an_orderly_leave() {
    use rustix::process::Signal;

    for (signal, status) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let log = ["-v", "join", "room", "--stay"];
        let mut anna = place.start(&log);
        place.start(&["send", "room", KNOCK, "--timeout", "30"]).succeed();
        anna.wait_for_line(KNOCK);
        anna.signal(signal);
        let (ended, _, errors) = anna.finish();
        assert_eq!(ended.code(), Some(status), "{errors}");
        assert!(errors.contains("handed over"), "{errors}");
    }
}

/// As under nohup(1): whoever started the program ignores the signal for it.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_to_be_ignored_is_ignored() {
    use rustix::process::Signal;
    use std::process::{Command, Stdio};

    let place = Place::new();
    let program = place.command(&[]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" join room --stay"])
        .arg(program.get_program())
        .env("OPEN_CHANNEL_DIR", place.path().join("run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut anna = Program::watch(shell.spawn().expect("starting a shell"));
    place.start(&["send", "room", KNOCK, "--timeout", "30"]).succeed();
    anna.wait_for_line(KNOCK);
    anna.signal(Signal::HUP);
    place.start(&["send", "room", "still here?", "--timeout", "30"]).succeed();
    anna.wait_for_line("still here?");
}
