//! `call` and `serve`: a command answers.
#![cfg(unix)]

use rustix::process::Signal;

use crate::program::{Place, Program};

fn serve(place: &Place, options: &[&str], script: &str) -> Program {
    let command = ["--", "sh", "-c", script];
    let mut server = place.start(&[&["-v", "serve", "shop"], options, &command].concat());
    server.wait_for_error("serving");
    server
}

#[test]
fn what_the_command_prints_is_the_answer() {
    let place = Place::new();
    let mut server = serve(&place, &[], "tr a-z A-Z; echo");
    assert_eq!(place.start(&["call", "shop", "tea"]).succeed(), "TEA");
    let mut call = place.start(&["call", "shop", "--framing", "json"]);
    call.type_line("two");
    call.type_line("lines");
    call.end_of_input();
    assert_eq!(call.succeed(), "\"TWO\\nLINES\\n\"");
    server.signal(Signal::TERM);
    server.end_of_input();
    let (status, ..) = server.finish();
    assert_eq!(status.code(), Some(143));
}

#[test]
fn a_failure_comes_with_the_last_line_of_its_errors() {
    let place = Place::new();
    let mut server = serve(&place, &[], "echo first >&2; echo 'no tea left' >&2; exit 3");
    let error = place.start(&["call", "shop", "tea"]).fail();
    assert!(error.contains("no tea left") && !error.contains("first"), "{error}");
    server.wait_for_error("no tea left");
    let place = Place::new();
    let _server = serve(&place, &[], "exit 3");
    let error = place.start(&["call", "shop", "tea"]).fail();
    assert!(error.contains("exit status: 3"), "{error}");
}

#[test]
fn nobody_and_nobody_in_time_are_told_apart() {
    let place = Place::new();
    let error = place.start(&["call", "shop", "tea"]).fail();
    assert!(error.contains("no member of the group \"shell\" serves \"shop\""), "{error}");
    let mut server = serve(
        &place,
        &[],
        "trap 'echo stopped >&2; exit 1' TERM; \
                                         while :; do sleep 0.02; done",
    );
    let error = place.start(&["call", "shop", "tea", "--timeout", "0.2"]).fail();
    assert!(error.contains("no answer within"), "{error}");
    // Nobody needs it any more.
    server.wait_for_error("stopped");
}

#[test]
fn the_death_of_a_server_is_an_error_at_once_or_the_next_one_is_asked() {
    let place = Place::new();
    let waits = "echo called >&2; while :; do sleep 0.02; done";
    let mut server = serve(&place, &[], waits);
    let call = place.start(&["call", "shop", "tea"]);
    server.wait_for_error("called");
    server.kill();
    let error = call.fail();
    assert!(error.contains("is gone: it may have run"), "{error}");

    let mut server = serve(&place, &[], waits);
    let call = place.start(&["call", "shop", "tea", "--idempotent"]);
    server.wait_for_error("called");
    let _next = serve(&place, &[], "echo here you are");
    server.kill();
    assert_eq!(call.succeed(), "here you are");
}

/// Each of the two waits for the other.
#[test]
fn several_calls_are_handled_at_a_time() {
    let place = Place::new();
    let meet = format!(
        "read name; read other; touch {0}/$name; while [ ! -e {0}/$other ]; do sleep 0.02; done; \
         echo $name",
        place.path().display()
    );
    let _server = serve(&place, &["--jobs", "2"], &meet);
    let anna = place.start(&["call", "shop", "anna\nben\n"]);
    let ben = place.start(&["call", "shop", "ben\nanna\n"]);
    assert_eq!(anna.succeed(), "anna");
    assert_eq!(ben.succeed(), "ben");
}

#[test]
fn all_are_asked_and_each_answers() {
    let place = Place::new();
    let _first = serve(&place, &[], "tr a-z A-Z");
    let mut second = serve(&place, &[], "rev");
    assert_eq!(place.start(&["call", "shop", "tea", "--all"]).succeed(), "TEA\naet");
    let _third = serve(&place, &[], "echo 'no tea left' >&2; exit 3");
    let (status, answers, errors) = place.start(&["call", "shop", "tea", "--all"]).finish();
    assert_eq!((status.code(), &*answers), (Some(1), "TEA\naet"));
    assert!(errors.contains("its handler failed: no tea left"), "{errors}");
    assert!(errors.contains("1 members did not answer"), "{errors}");
    let (_, lines, _) = place.start(&["call", "shop", "tea", "--all", "--json"]).finish();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("answered"), Some("answered"), Some("failed")]);
    assert_eq!((&lines[1]["pid"], &lines[1]["message"]), (&second.pid().into(), &"aet".into()));
    second.kill();
    let error = place.start(&["call", "elsewhere", "tea", "--all"]).fail();
    assert!(error.contains("no member of the group \"shell\" serves \"elsewhere\""), "{error}");
}
