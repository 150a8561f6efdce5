//! `tap`, `record` and `replay`: messages go by, and come again.
#![cfg(unix)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Place, Program};

/// The program with taps allowed wherever it hosts.
fn allowing(place: &Place, args: &[&str]) -> Program {
    let mut command = place.command(args);
    Program::watch(command.env("OPEN_CHANNEL_TAP", "1").spawn().expect("starting the program"))
}

/// The host of a channel that may be tapped, which has got a message.
fn room(place: &Place) -> Program {
    let mut host = allowing(place, &["join", "room", "--stay"]);
    place.start(&["send", "room", "knock", "--timeout", "30"]).succeed();
    host.wait_for_line("knock");
    host
}

fn tap(place: &Place, args: &[&str]) -> Program {
    let mut tap = place.start(&[&["-v", "tap"], args].concat());
    tap.wait_for_error("tapping");
    tap
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn file(place: &Place, name: &str) -> (PathBuf, String) {
    let path = place.path().join(name);
    let text = path.to_str().expect("UTF-8").to_owned();
    (path, text)
}

#[test]
fn messages_go_by_in_both_directions() {
    let place = Place::new();
    let host = room(&place);
    let mut ben = place.start(&["join", "room"]);
    let text = tap(&place, &["room", "--count", "2"]);
    let lines = tap(&place, &["room", "--json", "--count", "2"]);
    let mut from_ben =
        tap(&place, &["room", "--json", "--pid", &ben.pid().to_string(), "--direction", "to-host"]);
    ben.type_line("good morning");
    let text = text.succeed();
    let [first, second] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let pid = ben.pid();
    assert!(first.contains(&format!("{pid} > host")) && first.ends_with("12 B  good morning"));
    assert!(second.contains(&format!("host > {}", host.pid())), "{second}");
    let lines = lines.succeed();
    let mut lines = lines.lines().map(json);
    let first = lines.next().expect("a line");
    assert_eq!((&first["direction"], &first["pid"]), (&"to-host".into(), &pid.into()), "{first}");
    assert_eq!((&first["message"], &first["length"]), (&"good morning".into(), &12.into()));
    assert_eq!(lines.next().expect("a line")["direction"], "from-host");
    let line = from_ben.wait_for(|line| line.contains("good morning"));
    assert_eq!(json(&line)["socket"], first["socket"]);
    from_ben.signal(Signal::INT);
    assert_eq!(from_ben.finish().0.code(), Some(130));
}

#[test]
fn only_messages_of_the_right_length_are_shown_and_no_more_of_them_than_was_asked_for() {
    let place = Place::new();
    let _host = room(&place);
    let tap = tap(
        &place,
        &[
            "room",
            "--direction",
            "to-host",
            "--min-size",
            "3",
            "--max-size",
            "6",
            "--bytes",
            "3",
            "--count",
            "2",
        ],
    );
    place.start(&["send", "room", "no", "three", "too long", "äää"]).succeed();
    let text = tap.succeed();
    let words: Vec<&str> =
        text.lines().map(|line| line.split("B  ").last().unwrap_or("")).collect();
    assert_eq!(words, ["thr…", "ä…"], "{text}");
}

#[test]
fn nobody_taps_without_permission_or_a_channel_that_is_not_there() {
    let place = Place::new();
    let _host = crate::ls::host(&place, &[], "room");
    let error = place.start(&["tap", "room"]).fail();
    assert!(error.contains("does not allow taps: set OPEN_CHANNEL_TAP=1"), "{error}");
    let error = place.start(&["tap", "elsewhere"]).fail();
    assert!(error.contains("no channel \"elsewhere\" and no group"), "{error}");
    let mut command = place.command(&["join", "nonsense"]);
    let nonsense = command.env("OPEN_CHANNEL_TAP", "yes").spawn().expect("starting the program");
    let error = Program::watch(nonsense).fail();
    assert!(error.contains("`OPEN_CHANNEL_TAP` is neither 0 nor 1"), "{error}");
}

#[test]
fn what_members_of_a_group_do_is_shown_and_topics_are_chosen() {
    let place = Place::new();
    let mut reader = allowing(&place, &["-v", "sub", ">", "--group", "shop"]);
    reader.wait_for_error("subscribed");
    let mut server = place.start(&["-v", "serve", "price", "--group", "shop", "--", "cat"]);
    server.wait_for_error("serving");
    let mut all = tap(&place, &["shop", "--json"]);
    let mut tea = tap(&place, &["shop", "--json", "--topic", "tea.*", "--count", "1"]);
    let publish = |topic, text| place.start(&["pub", topic, text, "--group", "shop"]).succeed();
    publish("milk.sold", "two");
    publish("tea.sold", "one");
    assert_eq!(place.start(&["call", "price", "tea", "--group", "shop"]).succeed(), "tea");
    let line = json(&tea.wait_for(|_| true));
    assert_eq!((&line["act"], &line["name"]), (&"publish".into(), &"tea.sold".into()));
    assert_eq!((&line["message"], &line["length"]), (&"one".into(), &3.into()));
    let acts = ["\"act\":\"publish\"", "\"act\":\"call\"", "\"act\":\"answer\""];
    for act in acts {
        all.wait_for(|line| line.contains(act));
    }
    let call = all.wait_for(|line| line.contains(acts[1]));
    assert_eq!((&json(&call)["name"], &json(&call)["message"]), (&"price".into(), &"tea".into()));
    let answer = json(&all.wait_for(|line| line.contains(acts[2])));
    assert_eq!((&answer["pid"], &answer["message"]), (&server.pid().into(), &"tea".into()));
    let kept = ["bookkeeping", "deliver"];
    assert!(!all.printed().iter().any(|line| kept.iter().any(|word| line.contains(word))));
}

#[test]
fn a_tap_goes_on_with_the_next_host() {
    let place = Place::new();
    let mut host = room(&place);
    let mut next = allowing(&place, &["join", "room"]);
    next.type_line("hello");
    host.wait_for_line("hello");
    let mut tap = tap(&place, &["room", "--direction", "to-host", "--json"]);
    host.kill();
    tap.wait_for_error("another process hosts now");
    place.start(&["send", "room", "still there?", "--timeout", "30"]).succeed();
    let line = json(&tap.wait_for(|line| line.contains("still there?")));
    assert!(line["at"].as_f64() > Some(0.0), "{line}");
    next.kill();
    let (status, _, errors) = tap.finish();
    assert!(status.success() && errors.contains("all processes have left \"room\""), "{errors}");
}

#[test]
fn a_name_with_two_meanings_is_not_guessed() {
    let place = Place::new();
    let _room = room(&place);
    let mut reader = allowing(&place, &["-v", "sub", ">", "--group", "room"]);
    reader.wait_for_error("subscribed");
    let error = place.start(&["tap", "room"]).fail();
    assert!(error.contains("a channel of the user") && error.contains("--kind group"), "{error}");
    let _tap = tap(&place, &["room", "--kind", "group"]);
    let error = place.start(&["tap", "room", "--kind", "channel", "--topic", "a"]).fail();
    assert!(error.contains("--topic and --all are for groups"), "{error}");
}

#[test]
fn what_was_recorded_comes_again_in_order() {
    let place = Place::new();
    let mut host = room(&place);
    let (path, name) = file(&place, "room.jsonl");
    let mut record =
        place.start(&["-v", "record", "room", &name, "--count", "5", "--direction", "to-host"]);
    record.wait_for_error("tapping");
    place.start(&["send", "room", "one", "two"]).succeed();
    let mut bytes = place.start(&["send", "room", "--framing", "nul"]);
    bytes.type_line("three\nlines");
    bytes.end_of_input();
    bytes.succeed();
    place.start(&["send", "room", "four", "five"]).succeed();
    record.succeed();
    let recorded = std::fs::read_to_string(&path).expect("the recording");
    assert_eq!(recorded.lines().count(), 6, "{recorded}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("the recording").permissions().mode();
        assert_eq!(mode & 0o077, 0, "others may read it");
    }
    host.wait_for_line("five");
    let before = host.printed().len();
    place.start(&["replay", &name, "--at-once"]).succeed();
    place.start(&["send", "room", "the end"]).succeed();
    host.wait_for_line("the end");
    let mut again: Vec<&str> = host.printed()[before..].iter().map(String::as_str).collect();
    // Those of one socket keep their order; sockets have none.
    let place_of = |line: &str| again.iter().position(|one| *one == line);
    assert!(place_of("one") < place_of("two") && place_of("four") < place_of("five"), "{again:?}");
    assert!(place_of("three") < place_of("lines"), "{again:?}");
    again.sort_unstable();
    assert_eq!(again, ["", "five", "four", "lines", "one", "the end", "three", "two"]);
    let error = place.start(&["record", "room", &name]).fail();
    assert!(error.contains("could not make the file") && error.contains("exists"), "{error}");
}

#[test]
fn a_recording_ends_with_ctrl_c_and_is_whole_then() {
    let place = Place::new();
    let _host = room(&place);
    let (path, name) = file(&place, "room.jsonl");
    let mut record = place.start(&["-v", "record", "room", &name]);
    record.wait_for_error("tapping");
    place.start(&["send", "room", "one"]).succeed();
    let started = Instant::now();
    while !std::fs::read_to_string(&path).is_ok_and(|text| text.contains("\"one\"")) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is recorded");
        std::thread::yield_now();
    }
    record.signal(Signal::INT);
    let (status, ..) = record.finish();
    assert_eq!(status.code(), Some(0));
    place.start(&["replay", &name, "--at-once"]).succeed();
}

#[test]
fn a_group_does_again_what_its_members_did() {
    let place = Place::new();
    let mut reader = allowing(&place, &["-v", "sub", "log.>", "--group", "shop"]);
    reader.wait_for_error("subscribed");
    let (_, name) = file(&place, "shop.jsonl");
    let mut record =
        place.start(&["-v", "record", "shop", &name, "--count", "2", "--topic", "log.>"]);
    record.wait_for_error("tapping");
    place.start(&["pub", "log.tea", "one", "two", "--group", "shop"]).succeed();
    record.succeed();
    reader.kill();
    reader.finish();
    let mut other = place.start(&["-v", "sub", "log.>", "--group", "other", "--count", "2"]);
    other.wait_for_error("subscribed");
    place.start(&["replay", &name, "other", "--at-once"]).succeed();
    assert_eq!(other.succeed(), "one\ntwo");
}

/// A recording with one message at each of these times, in microseconds.
fn recording(place: &Place, times: &[u64]) -> String {
    let (path, name) = file(place, "written.jsonl");
    let mut text =
        "{\"open-channel-recording\":1,\"kind\":\"channel\",\"name\":\"room\"}\n".to_owned();
    for at in times {
        let message = serde_json::json!({
            "at": at, "direction": "to-host", "socket": "s", "message": format!("at {at}"),
        });
        text += &format!("{message}\n");
    }
    std::fs::write(path, text).expect("a recording");
    name
}

#[test]
fn messages_come_no_sooner_than_they_were_recorded() {
    let place = Place::new();
    let mut host = room(&place);
    let name = recording(&place, &[0, 700_000]);
    let started = Instant::now();
    place.start(&["replay", &name]).succeed();
    assert!(started.elapsed() >= Duration::from_millis(700), "{:?}", started.elapsed());
    // Much longer than a test may take.
    let name = recording(&place, &[0, 7_200_000_000]);
    place.start(&["replay", &name, "--speed", "100000"]).succeed();
    host.wait_for_line("at 7200000000");
    let error = place.start(&["replay", &name, "--speed", "0"]).finish().2;
    assert!(error.contains("not a number between"), "{error}");
}

#[test]
fn a_damaged_recording_is_refused_before_anything_is_sent() {
    let place = Place::new();
    let mut host = room(&place);
    let name = recording(&place, &[0, 1]);
    let whole = std::fs::read(&name).expect("the recording");
    for (damaged, words) in [
        (&whole[..whole.len() - 3], "line 3 is cut off"),
        (&whole[..30], "is cut off"),
        (&b"\xff\xfe\n"[..], "no recording"),
        (&b""[..], "no recording"),
    ] {
        std::fs::write(&name, damaged).expect("a damaged recording");
        let error = place.start(&["replay", &name]).fail();
        assert!(error.contains(words) && error.contains("written.jsonl"), "{words}: {error}");
    }
    let error = place.start(&["replay", "/dev/zero"]).fail();
    assert!(error.contains("no file"), "{error}");
    place.start(&["send", "room", "the end"]).succeed();
    host.wait_for_line("the end");
    assert!(!host.printed().iter().any(|line| line.starts_with("at ")), "{:?}", host.printed());
}
