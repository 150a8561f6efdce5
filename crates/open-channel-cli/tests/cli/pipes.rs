//! The program behaves in a pipeline: it is no error if the reader closes its end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::join::open_room;
use crate::program::{Place, Program};

#[test]
fn join_ends_well_when_nobody_reads_its_output() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut child =
        place.command(&["join", "room", "--stay"]).spawn().expect("starting the program");
    drop(child.stdout.take());
    let mut ben = Program::watch(child);
    ben.type_line("I am Ben");
    anna.wait_for_line("I am Ben");
    anna.type_line("nobody reads this");
    let (status, _, errors) = ben.finish();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn a_member_whose_output_nobody_reads_does_not_hold_up_the_others() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut child =
        place.command(&["join", "room", "--stay"]).spawn().expect("starting the program");
    let _unread = child.stdout.take();
    let mut ben = Program::watch(child);
    ben.type_line("I am Ben");
    anna.wait_for_line("I am Ben");
    let mut cleo = place.start(&["join", "room"]);
    // More than any pipe holds.
    for number in 0..2000 {
        cleo.type_line(&format!("{number:0>1000}"));
    }
    cleo.end_of_input();
    cleo.succeed();
    anna.wait_for_line(&format!("{:0>1000}", 1999));
}

#[test]
fn demo_ends_well_when_its_reader_has_seen_enough() {
    let place = Place::new();
    let mut child =
        place.command(&["demo", "--seconds", "600"]).spawn().expect("starting the program");
    let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the first line");
    drop(stdout);
    let (status, _, errors) = Program::watch(child).finish();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[test]
fn help_and_version_do_not_mind_either() {
    let place = Place::new();
    for arg in ["--help", "--version"] {
        let mut child =
            place.command(&[arg]).stdin(Stdio::null()).spawn().expect("starting the program");
        drop(child.stdout.take());
        let (status, _, errors) = Program::watch(child).finish();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn arguments_that_are_not_understood_are_status_2() {
    let place = Place::new();
    for args in [
        &["dance"][..],
        &["send"],
        &["demo", "--workers", "0"],
        &["send", "room", "--timeout", "0"],
    ] {
        let (status, _, _) = place.start(args).finish();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_exit_status_is_kept_when_standard_error_cannot_be_written() {
    let place = Place::new();
    for args in [&["join", ""][..], &["-vvv", "send", "nobody", "hello", "--timeout", "0.2"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = place.command(args).stderr(writer).spawn().expect("starting the program");
        let (status, _, _) = Program::watch(child).finish();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn a_log_that_is_not_on_a_terminal_has_no_colours() {
    let place = Place::new();
    let (_, _, log) =
        place.start(&["-vvv", "send", "nobody", "hello", "--timeout", "0.2"]).finish();
    assert!(log.lines().count() > 1, "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
#[test]
fn a_log_on_a_terminal_has_colours_unless_they_are_not_wanted() {
    use crate::program::Terminal;

    let place = Place::new();
    let log = |variables: &[(&str, &str)]| {
        let terminal = Terminal::open();
        let mut command = place.command(&["-v", "join", "room"]);
        command.env_remove("NO_COLOR").env("TERM", "xterm").stderr(terminal.side());
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        let child = command.spawn().expect("starting the program");
        drop(command);
        let shown = terminal.read_to_end();
        Program::watch(child).succeed();
        shown
    };
    assert!(log(&[]).contains("\x1b["), "no colours");
    assert!(log(&[("NO_COLOR", "")]).contains("\x1b["), "an empty variable counts as none");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = log(&[variable]);
        assert!(plain.contains("this process hosts"), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
    }
}

#[cfg(unix)]
#[test]
fn without_any_open_stream_it_still_ends_with_its_status() {
    let place = Place::new();
    for (command, status) in [
        ("exec \"$0\" join room <&- >&- 2>&-", 0),
        ("exec \"$0\" send nobody hello --timeout 0.2 <&- >&- 2>&-", 1),
        ("setsid \"$0\" join room </dev/null >/dev/null 2>&1", 0),
    ] {
        let program = place.command(&[]);
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", command])
            .arg(program.get_program())
            .env("OPEN_CHANNEL_DIR", place.path().join("run"));
        let ended = shell.status().expect("starting a shell");
        assert_eq!(ended.code(), Some(status), "{command}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the full device");
    let child =
        place.command(&["join", "room", "--stay"]).stdout(full).spawn().expect("starting it");
    let mut ben = Program::watch(child);
    ben.type_line("I am Ben");
    anna.wait_for_line("I am Ben");
    anna.type_line("too much");
    let error = ben.fail();
    assert!(error.contains("standard output") && error.contains("space"), "{error}");
}
