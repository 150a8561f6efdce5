//! The exit status of `send` reports whether everything was acknowledged.

use crate::program::{Place, Program};

#[test]
fn without_a_host_it_fails_within_the_timeout_and_says_why() {
    let place = Place::new();
    let error = place.start(&["send", "nobody", "hello", "--timeout", "0.2"]).fail();
    assert!(error.contains("\"nobody\" was not reached within 200ms"), "{error}");
    assert!(error.contains("open-channel join") && error.contains("--timeout"), "{error}");
}

#[test]
fn a_host_that_is_gone_is_not_called_busy() {
    let place = Place::new();
    let mut room = place.start(&["join", "room"]);
    let mut send = place.start(&["send", "room", "--timeout", "2"]);
    send.type_line("to a host");
    room.wait_for_line("to a host");
    room.kill();
    room.finish();
    send.type_line("to nobody");
    send.end_of_input();
    let error = send.fail();
    let dir = place.path().join("run");
    assert!(error.contains(dir.to_str().expect("a path in UTF-8")), "{error}");
    assert!(error.contains("hosts it") && !error.contains("busy"), "{error}");
}

#[test]
fn a_timeout_that_is_too_long_is_told_so() {
    let place = Place::new();
    let (status, _, error) = place.start(&["send", "room", "--timeout", "1e300"]).finish();
    assert_eq!(status.code(), Some(2));
    assert!(error.contains("more than 1000000000 seconds"), "{error}");
}

#[test]
fn lines_without_a_host_fail_too() {
    let place = Place::new();
    let mut send = place.start(&["send", "nobody", "--timeout", "0.2"]);
    send.type_line("hello");
    send.end_of_input();
    send.fail();
}

#[test]
fn arguments_are_delivered_in_order() {
    let place = Place::new();
    let mut room = place.start(&["join", "room"]);
    place.start(&["send", "room", "one", "two", "", "three"]).succeed();
    room.wait_for_line("three");
    assert_eq!(room.printed(), ["one", "two", "", "three"]);
}

#[test]
fn lines_of_standard_input_are_delivered_in_order() {
    let place = Place::new();
    let mut room = place.start(&["join", "room"]);
    let mut send = place.start(&["send", "room"]);
    let lines: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    for line in &lines {
        send.type_line(line);
    }
    send.end_of_input();
    send.succeed();
    room.wait_for_line("4999");
    assert_eq!(room.printed(), lines);
}

#[test]
fn it_waits_for_a_host_that_comes_later() {
    let place = Place::new();
    let send = place.start(&["send", "room", "early", "--timeout", "30"]);
    let mut room = place.start(&["join", "room"]);
    room.wait_for_line("early");
    send.succeed();
}

#[test]
fn a_bad_name_is_refused_with_a_reason() {
    let place = Place::new();
    place.start(&["send", "", "hello"]).fail();
    place.start(&["send", &"x".repeat(256), "hello"]).fail();
}

#[test]
fn an_odd_name_is_a_name() {
    for name in ["a/b", "..", "🦀", "with space"] {
        let place = Place::new();
        let mut room = place.start(&["join", name]);
        place.start(&["send", name, "hello"]).succeed();
        room.wait_for_line("hello");
    }
}

#[test]
fn an_app_scope_and_a_directory_are_places_of_their_own() {
    let place = Place::new();
    let dir = place.path().join("elsewhere");
    let dir = dir.to_str().expect("a path in UTF-8");
    let mut scoped = place.start(&["--scope-app", "/srv/app.js", "join", "room"]);
    let mut elsewhere = place.start(&["join", "room", "--dir", dir]);
    place.start(&["send", "room", "hello", "--scope-app", "/srv/app.js"]).succeed();
    place.start(&["--dir", dir, "send", "room", "hello"]).succeed();
    scoped.wait_for_line("hello");
    elsewhere.wait_for_line("hello");
    place.start(&["send", "room", "hello", "--timeout", "0.2"]).fail();
}

#[test]
fn the_environment_names_the_app_scope_and_an_option_goes_before_it() {
    let place = Place::new();
    let start = |args: &[&str], variable: &str, value: &str| {
        Program::watch(
            place.command(args).env(variable, value).spawn().expect("starting the program"),
        )
    };
    let mut scoped = start(&["join", "room"], "OPEN_CHANNEL_APP", "shop");
    place.start(&["send", "room", "by option", "--scope-app", "shop"]).succeed();
    scoped.wait_for_line("by option");
    start(&["send", "room", "by variable"], "OPEN_CHANNEL_APP", "shop").succeed();
    scoped.wait_for_line("by variable");
    start(&["send", "room", "by both", "--scope-app", "shop"], "OPEN_CHANNEL_APP", "market")
        .succeed();
    scoped.wait_for_line("by both");
    let error =
        start(&["send", "room", "lost", "--timeout", "0.2"], "OPEN_CHANNEL_APP", "market").fail();
    assert!(error.contains("in the application \"market\""), "{error}");
    let error = start(&["send", "room", "lost"], "OPEN_CHANNEL_SCOPE", "everybody").fail();
    assert!(error.contains("OPEN_CHANNEL_SCOPE"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_member_that_is_suspended_does_not_make_it_fail() {
    use crate::join::{join_and_be_heard, open_room};

    let place = Place::new();
    let mut anna = open_room(&place, &["--stay"]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut anna);
    let cleo = join_and_be_heard(&place, "I am Cleo", &mut anna);
    cleo.signal(rustix::process::Signal::STOP);
    place.start(&["send", "room", "hello"]).succeed();
    anna.wait_for_line("hello");
    ben.wait_for_line("hello");
}
