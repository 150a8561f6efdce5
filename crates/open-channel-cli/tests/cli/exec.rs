//! A command serves each connection, and any bytes come through.
#![cfg(unix)] // it is run by sh

use std::fs::File;
use std::io::Write;

use crate::program::{Place, Program};

/// Does nothing for as long as the program is its parent.
#[cfg(target_os = "linux")]
const HANGS: &str =
    "while read _ _ _ parent _ </proc/$$/stat && [ $parent = $PPID ]; do sleep 0.1; done";

fn serve(place: &Place, command: &str) -> Program {
    place.start(&["-v", "join", "service", "--exec", command])
}

fn hosting(place: &Place, command: &str) -> Program {
    let mut host = serve(place, command);
    host.wait_for_error("this process hosts");
    host
}

#[test]
fn what_the_command_prints_are_the_answers() {
    let place = Place::new();
    let _host = hosting(&place, "while read a b; do echo $((a + b)); done");
    let answers = place.start(&["send", "service", "--answers", "1 2", "3 4"]).succeed();
    assert_eq!(answers, "3\n7");
    // Each connection has a command of its own.
    let mut send = place.start(&["send", "service", "--answers"]);
    send.type_line("20 22");
    send.wait_for_line("42");
    assert_eq!(place.start(&["send", "service", "--answers", "2 3"]).succeed(), "5");
    send.type_line("1 1");
    send.end_of_input();
    assert_eq!(send.succeed(), "42\n2");
    place.start(&["send", "service", "5 5"]).succeed();
}

#[test]
fn any_bytes_come_through_with_their_lengths() {
    let place = Place::new();
    let _host = hosting_with(&place, "cat", "length");
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let messages: [&[u8]; 5] = [&every, b"", b"\n", b"\0\0", &every[3..70_000]];
    let mut stream = Vec::new();
    for message in messages {
        stream.extend((message.len() as u32).to_be_bytes());
        stream.extend(message);
    }
    let input = place.path().join("input");
    File::create(&input).and_then(|mut file| file.write_all(&stream)).expect("a file");
    let args = ["send", "service", "--answers", "--framing", "length", "--timeout", "30"];
    let mut command = place.command(&args);
    let output = command.stdin(File::open(&input).expect("the file")).output().expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == stream, "{} bytes of {}", output.stdout.len(), stream.len());
}

fn hosting_with(place: &Place, command: &str, framing: &str) -> Program {
    let args = ["-v", "join", "service", "--exec", command, "--framing", framing];
    let mut host = place.start(&args);
    host.wait_for_error("this process hosts");
    host
}

#[test]
fn messages_may_end_with_zero_bytes_or_be_json() {
    let place = Place::new();
    let _host = hosting_with(&place, "tr '\\0' '|'", "lines");
    let args = ["send", "service", "--answers", "--framing", "json"];
    let answers = place.start(&[&args[..], &["one", "{\"a\": 1}", "2"]].concat()).succeed();
    assert_eq!(answers, "\"one\"\n{\"a\": 1}\n2");
    let mut wrong = place.start(&args);
    wrong.type_line("{no JSON}");
    let error = wrong.fail();
    assert!(error.contains("no JSON: \"{no JSON}\""), "{error}");
    drop(_host);
    let place = Place::new();
    let _host = hosting_with(&place, "cat", "nul");
    let args = ["send", "service", "--answers", "--framing", "nul"];
    let answers = place.start(&[&args[..], &["two\nlines", "x"]].concat()).succeed();
    assert_eq!(answers, "two\nlines\0x\0");
}

#[test]
fn the_command_knows_whom_it_serves() {
    let place = Place::new();
    let _host =
        hosting(&place, "echo $OPEN_CHANNEL_NAME $OPEN_CHANNEL_GENERATION $OPEN_CHANNEL_PEER_PID");
    let send = place.start(&["send", "service", "--answers", "hello"]);
    let pid = send.pid();
    let (_, answers, _) = send.finish();
    assert_eq!(answers, format!("service 1 {pid}"));
}

#[test]
fn a_command_that_fails_is_told_to_both_sides() {
    let place = Place::new();
    let mut host = hosting(&place, "read line; exit 3");
    let error = place.start(&["send", "service", "--answers", "hello"]).fail();
    assert!(error.contains("ended the socket"), "{error}");
    host.wait_for_error("\"read line; exit 3\" ended with exit status: 3");
    // The next one is served as the first was.
    place.start(&["send", "service", "--answers", "hello"]).fail();
}

#[test]
fn those_that_stand_by_take_over() {
    let place = Place::new();
    let mut first = hosting(&place, "sed s/^/first/");
    let mut second = serve(&place, "sed s/^/second/");
    assert_eq!(place.start(&["send", "service", "--answers", "!"]).succeed(), "first!");
    first.kill();
    second.wait_for_error("this process hosts");
    assert_eq!(place.start(&["send", "service", "--answers", "!"]).succeed(), "second!");
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_that_handles_nothing_is_named_with_the_command_to_look_at_it() {
    let place = Place::new();
    let _host = hosting(&place, HANGS);
    // More than the pipe to the command holds.
    let long = "x".repeat(100_000);
    let error = place.start(&["send", "service", &long, "--timeout", "1"]).fail();
    assert!(error.contains("acknowledged nothing within 1s"), "{error}");
    assert!(error.contains("open-channel ls \"service\""), "{error}");
    assert!(error.contains(place.path().join("run").to_str().expect("UTF-8")), "{error}");
}

/// A hand-over waits for the handler that hangs.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_the_program_at_once() {
    use rustix::process::Signal;

    let place = Place::new();
    let host = hosting(&place, HANGS);
    let long = "x".repeat(100_000);
    place.start(&["send", "service", &long, "--timeout", "1"]).fail();
    // Both come at once.
    host.signal(Signal::STOP);
    host.signal(Signal::TERM);
    host.signal(Signal::HUP);
    host.signal(Signal::CONT);
    let (status, _, errors) = host.finish();
    assert!(matches!(status.code(), Some(129 | 143)), "{status}");
    assert!(!errors.contains("handed over"), "{errors}");
}
