//! `lock`: never two holders, however they end, and the manners of flock(1).
#![cfg(unix)]

use std::collections::HashMap;

use rustix::process::Signal;

use crate::ledger::Ledger;
use crate::program::{Place, Program};

/// Says that it runs, and what it is asked.
const WAITS: &str = "trap 'echo terminated; exit 5' TERM; trap 'echo interrupted; exit 6' INT; \
                     echo running; while :; do sleep 0.02; done";

fn lock(place: &Place, options: &[&str], command: &[&str]) -> Program {
    place.start(&[&["lock", "door"], options, &["--"], command].concat())
}

/// A program whose command runs, and so holds the lock.
fn holder(place: &Place, options: &[&str]) -> Program {
    let mut holder = lock(place, options, &["sh", "-c", WAITS]);
    holder.wait_for_line("running");
    holder
}

#[track_caller]
fn ends_with(program: Program, status: i32) -> (String, String) {
    let (ended, stdout, stderr) = program.finish();
    assert_eq!(ended.code(), Some(status), "{ended}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn there_are_never_two_holders_however_many_are_killed() {
    let place = Place::new();
    let ledger = Ledger::new(&place);
    let mut programs = HashMap::new();
    for name in ["k1", "k2", "p3", "k4", "p5", "k6"] {
        let words = ledger.stubborn(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        programs.insert(name.to_owned(), lock(&place, &[], &words));
        if name.starts_with('p') {
            ledger.let_end(name);
        }
    }
    for count in 1..=6 {
        let begun = ledger.wait_for_begun(count);
        let name = &begun[count - 1];
        // Its command goes on, and with it the lock is held.
        if name.starts_with('k') {
            programs.get_mut(name).expect("it was started").kill();
            ledger.let_end(name);
        }
    }
    for (name, program) in programs {
        if name.starts_with('p') {
            program.succeed();
        } else {
            program.finish();
        }
    }
    assert_eq!(ledger.check(), 6, "a command was not run to its end");
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_whose_program_is_killed_is_asked_to_end_and_the_next_one_has_the_lock() {
    let place = Place::new();
    let mut first = holder(&place, &[]);
    let mut second = lock(&place, &[], &["sh", "-c", WAITS]);
    first.kill();
    first.wait_for_line("terminated");
    second.wait_for_line("running");
    second.signal(Signal::TERM);
    ends_with(second, 143);
}

#[test]
fn its_exit_status_is_that_of_the_command() {
    let place = Place::new();
    ends_with(lock(&place, &[], &["true"]), 0);
    ends_with(lock(&place, &[], &["sh", "-c", "exit 7"]), 7);
    ends_with(lock(&place, &[], &["sh", "-c", "kill -9 $$"]), 137);
    let (_, error) = ends_with(lock(&place, &[], &["no-such-command"]), 127);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("could not run \"no-such-command\""), "{error}");
    let (_, error) = ends_with(lock(&place, &[], &["/"]), 126);
    assert!(error.contains("could not run \"/\""), "{error}");
    // Without the two hyphens, as with flock(1).
    let plain = place.start(&["lock", "door", "sh", "-c", "echo \"$OPEN_CHANNEL_NAME\""]);
    assert_eq!(plain.succeed(), "door");
}

#[test]
fn who_does_not_wait_is_refused_with_the_chosen_status() {
    let place = Place::new();
    let holder = holder(&place, &[]);
    for (options, status) in [
        (&["--nonblock"][..], 1),
        (&["-n", "-E", "9"], 9),
        (&["--nonblock", "--shared", "--conflict-exit-code", "8"], 8),
        (&["--timeout", "0.05"], 1),
        (&["-w", "0.05", "-s", "-E", "7"], 7),
    ] {
        let (output, errors) = ends_with(lock(&place, options, &["echo", "done"]), status);
        assert_eq!((output.as_str(), errors.as_str()), ("", ""), "{options:?}");
    }
    // Another name, or another group, is another lock.
    place.start(&["lock", "window", "-n", "--", "true"]).succeed();
    place.start(&["lock", "door", "-n", "--group", "other", "--", "true"]).succeed();
    holder.signal(Signal::TERM);
    ends_with(holder, 143);
    lock(&place, &["-n"], &["true"]).succeed();
}

#[test]
fn sharers_are_in_together_and_one_alone_waits_for_them() {
    let place = Place::new();
    let first = holder(&place, &["--shared"]);
    let second = holder(&place, &["--shared"]);
    ends_with(lock(&place, &["-n"], &["true"]), 1);
    let mut alone = lock(&place, &[], &["sh", "-c", WAITS]);
    first.signal(Signal::INT);
    let (output, _) = ends_with(first, 130);
    assert_eq!(output, "running\ninterrupted");
    second.signal(Signal::HUP);
    ends_with(second, 129);
    alone.wait_for_line("running");
    ends_with(lock(&place, &["-n", "-s"], &["true"]), 1);
    alone.signal(Signal::TERM);
    ends_with(alone, 143);
}

#[test]
fn a_command_whose_lock_is_stolen_gets_sigterm_and_the_thief_waits_for_its_end() {
    let place = Place::new();
    let ledger = Ledger::new(&place);
    let words = ledger.stubborn("victim");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let victim = lock(&place, &[], &words);
    ledger.wait_for_begun(1);
    ledger.let_end("thief");
    let words = ledger.stubborn("thief");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    lock(&place, &["--steal"], &words).succeed();
    let (_, error) = ends_with(victim, 0); // its command does not mind
    assert!(error.contains("the lock \"door\" was taken away"), "{error}");
    assert_eq!(ledger.check(), 2);

    let victim = holder(&place, &[]);
    lock(&place, &["--steal"], &["true"]).succeed();
    let (output, _) = ends_with(victim, 5);
    assert_eq!(output, "running\nterminated");
}

#[test]
fn commands_in_the_command_meet_in_the_same_group() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_open-channel");
    let again = [program, "lock", "door", "-n", "-E", "9", "--", "true"];
    let elsewhere = place.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    for options in [&["--group", "g"][..], &["--dir", elsewhere], &["--scope-app", "app"]] {
        let nested = place.start(&[&["lock", "door"], options, &["--"], &again].concat());
        ends_with(nested, 9);
    }
}
