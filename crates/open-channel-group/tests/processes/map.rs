//! The map: every write once, at every member, whoever dies.

use crate::stage::{Actor, Stage};
use crate::topics::{PATIENT, host_of};

/// The counter has each increment that was acknowledged, and no other than those whose end nobody
/// knows.
pub(crate) fn check(actors: &[&Actor], value: u64) {
    let (mut known, mut unknown) = (0, 0);
    let mut numbers = Vec::new();
    for actor in actors {
        let lines = actor.lines();
        let begun = lines.iter().filter(|line| line.is("counting")).count() as u64;
        let counted = lines.iter().filter(|line| line.is("counted"));
        let counted: Vec<u64> = counted.map(|line| line.number(1)).collect();
        known += counted.len() as u64;
        unknown += begun - counted.len() as u64;
        numbers.extend(counted);
    }
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        assert_ne!(pair[0], pair[1], "two increments have one number");
    }
    let most = known + unknown;
    assert!((known..=most).contains(&value), "{value} is not from {known} to {most}");
}

pub(crate) fn increments_are_applied_once_while_hosts_die(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..4).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    living.iter().for_each(|actor| actor.tell("counts n"));
    let mut dead = Vec::new();
    for round in 0..4 {
        for actor in &living {
            let mark = actor.mark();
            actor.wait_since(mark, "counted");
        }
        let killed = living.swap_remove(host_of(&living));
        killed.kill();
        dead.push(killed);
        let newcomer = stage.joined(format!("newcomer-{round}"), PATIENT);
        newcomer.tell("counts n");
        living.push(newcomer);
    }
    for actor in &living {
        let mark = actor.mark();
        actor.wait_since(mark, "counted");
    }
    for actor in &living {
        actor.ask("stop", "stopped");
        assert_eq!(actor.count("uncounted"), 0, "{}", actor.label);
    }
    let values: Vec<u64> =
        living.iter().map(|actor| actor.ask("get n", "value").number(2)).collect();
    check(&living.iter().chain(&dead).collect::<Vec<_>>(), values[0]);
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
}

pub(crate) fn what_was_acknowledged_is_there_after_the_host_died(stage: &mut Stage) {
    let one = stage.joined("one", PATIENT);
    let other = stage.joined("other", PATIENT);
    assert!(one.is_host());
    other.ask("watch k", "watching");
    one.ask("set key value", "set");
    assert_eq!(other.ask("get key", "value").word(2), "value");
    other.wait("change key value");
    one.kill();
    other.wait("event serving 2");
    assert_eq!(other.ask("get key", "value").word(2), "value");
    assert_eq!(other.ask("cas key value new", "cas").word(2), "true");
    assert_eq!(other.ask("cas key value newer", "cas").word(2), "false");
    let newcomer = stage.joined("newcomer", PATIENT);
    assert_eq!(newcomer.ask("get key", "value").word(2), "new");
}

pub(crate) fn a_value_expires_at_every_member(stage: &mut Stage) {
    let one = stage.joined("one", PATIENT);
    let other = stage.joined("other", PATIENT);
    other.ask("watch k", "watching");
    one.ask("set-for key value 200", "set");
    other.wait("change key value");
    other.wait("change key -");
    assert_eq!(other.ask("get key", "value").word(2), "-");
}

pub(crate) fn the_map_dies_with_its_last_member(stage: &mut Stage) {
    let one = stage.joined("one", PATIENT);
    one.ask("set key value", "set");
    one.kill();
    // Nobody lives, so this one begins at once.
    let next = stage.joined("next", PATIENT);
    assert_eq!(next.ask("get key", "value").word(2), "-");
}

/// The host is dead and the only member is stopped, so that a new process hosts.
pub(crate) fn a_newcomer_that_hosts_waits_for_what_others_have(stage: &mut Stage) {
    let host = stage.joined("host", PATIENT);
    let member = stage.joined("member", PATIENT);
    host.ask("set key value", "set");
    member.stop();
    host.kill();
    let newcomer = stage.actor("newcomer");
    newcomer.tell(&format!("join {PATIENT}"));
    stage.wait_for_generation(2);
    member.resume();
    newcomer.wait("joined");
    assert_eq!(newcomer.ask("get key", "value").word(2), "value");
    assert_eq!(member.ask("get key", "value").word(2), "value");
    assert_eq!(member.count("event put-out"), 0);
}
