//! `lead`: the command runs in exactly one place, and in the next one when that goes.
#![cfg(unix)]

use std::collections::HashMap;

use rustix::process::Signal;

use crate::ledger::Ledger;
use crate::program::{Place, Program};

/// Says that it runs, and ends when it is asked to.
const RUNS: &str = "trap 'echo stopped; exit 0' TERM; echo running; \
                    while :; do sleep 0.02; done";
/// Writes without an end, and cannot be asked to.
const NEVER_ENDS: &str = "trap '' TERM; echo running; \
                          while echo \"$0 $OPEN_CHANNEL_TOKEN go\" >>\"$1\"; do sleep 0.02; done";

fn lead(place: &Place, options: &[&str], command: &[&str]) -> Program {
    place.start(&[&["lead", "cron"], options, &["--"], command].concat())
}

#[test]
fn the_command_never_runs_in_two_places_however_many_leaders_are_killed() {
    let place = Place::new();
    let ledger = Ledger::new(&place);
    let mut programs = HashMap::new();
    for name in ["k1", "k2", "k3", "k4", "p5"] {
        let words = ledger.stubborn(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        programs.insert(name.to_owned(), lead(&place, &[], &words));
    }
    ledger.let_end("p5");
    for count in 1..=5 {
        let begun = ledger.wait_for_begun(count);
        let name = &begun[count - 1];
        if name.starts_with('k') {
            programs.get_mut(name).expect("it was started").kill();
            ledger.let_end(name);
        }
    }
    programs.remove("p5").expect("it was started").succeed();
    for (_, killed) in programs {
        killed.finish();
    }
    assert_eq!(ledger.check(), 5);
}

#[test]
fn a_leader_that_is_asked_to_stop_stops_its_command_and_the_next_one_leads() {
    let place = Place::new();
    let mut first = lead(&place, &[], &["sh", "-c", RUNS]);
    first.wait_for_line("running");
    let mut second = lead(&place, &[], &["sh", "-c", RUNS]);
    first.signal(Signal::TERM);
    let (status, output, errors) = first.finish();
    assert_eq!((status.code(), output.as_str()), (Some(143), "running\nstopped"), "{errors}");
    second.wait_for_line("running");
    second.signal(Signal::TERM);
    let (status, output, errors) = second.finish();
    assert_eq!((status.code(), output.as_str()), (Some(143), "running\nstopped"), "{errors}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_command_of_a_killed_leader_is_asked_to_stop() {
    let place = Place::new();
    let mut first = lead(&place, &[], &["sh", "-c", RUNS]);
    first.wait_for_line("running");
    let mut second = lead(&place, &[], &["sh", "-c", RUNS]);
    first.kill();
    first.wait_for_line("stopped");
    second.wait_for_line("running");
}

#[test]
fn where_the_role_is_lost_the_command_is_killed_after_the_grace_and_waits_for_its_turn() {
    let place = Place::new();
    let ledger = Ledger::new(&place);
    let path = ledger.path().to_str().expect("UTF-8");
    let endless = ["sh", "-c", NEVER_ENDS, "first", path];
    let mut first =
        place.start(&[&["-v", "lead", "cron", "--grace", "0.1", "--"][..], &endless].concat());
    ledger.wait_for_begun(1);
    ledger.let_end("second");
    let words = ledger.stubborn("second");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    lead(&place, &["--steal"], &words).succeed();
    first.wait_for_error("this process leads no more");
    // Again, after the second.
    assert_eq!(ledger.wait_for_begun(3), ["first", "second", "first"]);
    first.signal(Signal::TERM);
    let (status, output, _) = first.finish();
    assert_eq!((status.code(), output.as_str()), (Some(143), "running\nrunning"));
    assert_eq!(ledger.check(), 1);
}

#[test]
fn its_exit_status_is_that_of_a_command_that_ends_by_itself() {
    let place = Place::new();
    let (status, ..) = lead(&place, &[], &["sh", "-c", "exit 3"]).finish();
    assert_eq!(status.code(), Some(3));
    lead(&place, &[], &["true"]).succeed();
    let (status, ..) = lead(&place, &[], &["no-such-command"]).finish();
    assert_eq!(status.code(), Some(127));
}
