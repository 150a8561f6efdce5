//! Calls: one answer, or why there is none, whoever dies.

use std::collections::BTreeMap;

use crate::stage::{Actor, Stage};
use crate::topics::{PATIENT, host_of};

pub(crate) fn a_death_is_known_at_once(stage: &mut Stage) {
    let caller = stage.joined("caller", PATIENT);
    let callee = stage.joined("callee", PATIENT);
    callee.ask("serve-stuck s", "served");
    caller.tell("call s one 60000");
    callee.wait("serving one");
    callee.kill();
    let end = caller.wait("no-answer");
    assert_eq!(end.text, "no-answer one Died");
    caller.tell("call s two 60000");
    assert_eq!(caller.wait("no-answer two").word(2), "NoSuchService");
}

pub(crate) fn a_call_is_given_up_at_its_deadline_or_when_its_future_is_dropped(stage: &mut Stage) {
    let callee = stage.joined("callee", PATIENT);
    let caller = stage.joined("caller", PATIENT);
    callee.ask("serve-stuck s", "served");
    caller.tell("call s late 3000");
    callee.wait("serving late");
    assert_eq!(caller.wait("no-answer late").word(2), "TimedOut");
    callee.wait("aborted late");
    caller.tell("begin-call s dropped");
    callee.wait("serving dropped");
    caller.tell("drop dropped");
    callee.wait("aborted dropped");
}

pub(crate) fn a_call_goes_on_when_the_host_dies(stage: &mut Stage) {
    let host = stage.joined("host", PATIENT);
    let callee = stage.joined("callee", PATIENT);
    let caller = stage.joined("caller", PATIENT);
    assert!(host.is_host());
    callee.ask("serve s", "served");
    caller.tell("calls s");
    caller.wait("answer");
    host.kill();
    let mark = caller.mark();
    caller.wait_since(mark, "answer");
    caller.ask("stop", "stopped");
    assert_eq!(caller.count("no-answer"), 0);
    assert_eq!(caller.count("answer"), callee.count("serving"), "each ran once");
}

pub(crate) fn all_are_asked_and_the_dead_are_named(stage: &mut Stage) {
    let callees: Vec<Actor> =
        (0..3).map(|n| stage.joined(format!("callee-{n}"), PATIENT)).collect();
    let caller = stage.joined("caller", PATIENT);
    callees[0].ask("serve s", "served");
    callees[1].ask("serve s", "served");
    callees[2].ask("serve-stuck s", "served");
    caller.tell("call-all s");
    callees[2].wait("serving all");
    callees[2].kill();
    assert_eq!(caller.wait("all").text, "all 2 1 0");
}

/// No call is without its end; none was answered that did not run; none ran twice.
pub(crate) fn check(actors: &[&Actor]) -> usize {
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for actor in actors {
        for line in actor.lines().iter().filter(|line| line.is("serving")) {
            *runs.entry(line.word(1).into()).or_default() += 1;
        }
    }
    for (call, count) in &runs {
        assert_eq!(*count, 1, "{call} ran more than once");
    }
    for actor in actors {
        let lines = actor.lines();
        for line in lines.iter().filter(|line| line.is("answer")) {
            assert!(runs.contains_key(line.word(1)), "{} was answered and never ran", line.text);
        }
        if actor.died.borrow().is_none() {
            let begun = lines.iter().filter(|line| line.is("calling")).count();
            let ended = lines.iter().filter(|line| line.is("answer") || line.is("no-answer"));
            assert_eq!(begun, ended.count(), "calls of {} without an end", actor.label);
        }
    }
    runs.len()
}

pub(crate) fn calls_run_once_while_hosts_die(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..4).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    for actor in &living {
        actor.ask("serve s", "served");
        actor.tell("calls s");
    }
    let mut dead = Vec::new();
    for _ in 0..2 {
        for actor in &living {
            let mark = actor.mark();
            actor.wait_since(mark, "answer");
        }
        let killed = living.swap_remove(host_of(&living));
        killed.kill();
        dead.push(killed);
    }
    for actor in &living {
        let mark = actor.mark();
        actor.wait_since(mark, "answer");
    }
    for actor in &living {
        actor.ask("stop", "stopped");
    }
    check(&living.iter().chain(&dead).collect::<Vec<_>>());
}
