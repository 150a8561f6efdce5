//! `pub` and `sub`: all who care are told, over the death of a host.

use std::process::Stdio;

use serde_json::Value;

use crate::program::{Place, Program};

fn subscriber(place: &Place, args: &[&str]) -> Program {
    let mut subscriber = place.start(&[&["-v", "sub"], args].concat());
    subscriber.wait_for_error("subscribed");
    subscriber
}

#[test]
fn all_subscribers_print_what_they_care_for() {
    let place = Place::new();
    let all = subscriber(&place, &["news.>", "--count", "3"]);
    let one = subscriber(&place, &["news.*.local", "--count", "1"]);
    place.start(&["pub", "news.sport", "2:1", "3:1"]).succeed();
    let mut publisher = place.start(&["pub", "news.city.local"]);
    publisher.type_line("a line");
    publisher.end_of_input();
    publisher.succeed();
    assert_eq!(all.succeed(), "2:1\n3:1\na line");
    assert_eq!(one.succeed(), "a line");
    // Nobody is no error.
    place.start(&["pub", "news.sport", "4:1"]).succeed();
}

#[test]
fn with_json_topic_and_sender_are_there_and_any_bytes() {
    let place = Place::new();
    let subscriber = subscriber(&place, &[">", "--json", "--count", "2"]);
    let mut publisher = place.start(&["pub", "a.b", "--framing", "nul"]);
    let pid = publisher.pid();
    publisher.type_line("two\nlines\0");
    publisher.end_of_input();
    publisher.succeed();
    let printed = subscriber.succeed();
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["topic"], "a.b");
    assert_eq!(lines[0]["message"], "two\nlines");
    assert_eq!(lines[0]["pid"], pid);
    assert_eq!(lines[0]["sender"].as_str().map(str::len), Some(16));
    assert_eq!(lines[0]["sender"], lines[1]["sender"]);
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_when_the_host_is_killed() {
    let place = Place::new();
    // The first one hosts the group.
    let mut host = subscriber(&place, &["elsewhere"]);
    host.wait_for_error("this process hosts");
    let mut reader = subscriber(&place, &["numbers", "--count", "60"]);
    let mut publisher = place.start(&["pub", "numbers"]);
    for number in 0..20 {
        publisher.type_line(&number.to_string());
    }
    reader.wait_for_line("10");
    host.kill();
    for number in 20..60 {
        publisher.type_line(&number.to_string());
    }
    publisher.end_of_input();
    publisher.succeed();
    let numbers: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(reader.succeed(), numbers.join("\n"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let mut command = place.command(&["-v", "sub", "t"]);
    let mut child = command.stdin(Stdio::null()).spawn().expect("starting the program");
    drop(child.stdout.take());
    let mut subscriber = Program::watch(child);
    subscriber.wait_for_error("subscribed");
    place.start(&["pub", "t", "nobody reads this"]).succeed();
    let (status, ..) = subscriber.finish();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_cannot_be_a_topic_is_told_in_one_line() {
    let place = Place::new();
    for args in [&["pub", "a..b", "x"][..], &["sub", "a.>.b"]] {
        let error = place.start(args).fail();
        assert!(error.contains("topic") || error.contains("pattern"), "{error}");
    }
}
