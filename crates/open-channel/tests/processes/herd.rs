//! Everybody starts at once: exactly one hosts.

use std::collections::BTreeSet;

use crate::ledger::Ledger;
use crate::stage::{Actor, Stage, now};

const HERD: usize = 32;
const ROUNDS: usize = 4;

fn herd(stage: &Stage, round: usize) -> Vec<Actor> {
    let actors: Vec<_> =
        (0..HERD).map(|n| stage.actor(format!("round {round}, process {n}"))).collect();
    // A directory that does not exist: making it is part of the race.
    let dir = stage.path().join(format!("round-{round}"));
    for actor in &actors {
        actor.wait("ready");
        actor.open(&format!("dir={}", dir.display()));
    }
    actors
}

pub(crate) fn thirty_two_processes_starting_at_once_find_one_host(stage: &mut Stage) {
    for round in 0..ROUNDS {
        let actors = herd(stage, round);
        actors.iter().for_each(|actor| actor.tell("join"));
        let joined: Vec<_> = actors.iter().map(|actor| actor.wait("joined")).collect();
        let hosts = joined.iter().filter(|line| line.word(1) == "host").count();
        let peers = joined.iter().filter(|line| line.word(1) == "peer").count();
        assert_eq!((hosts, peers), (1, HERD - 1), "{joined:?}");
        let generations: BTreeSet<u64> = joined.iter().map(|line| line.number(2)).collect();
        assert_eq!(generations, BTreeSet::from([1]));
        // Still so after everybody has checked.
        let states: Vec<_> =
            actors.iter().map(|actor| actor.ask("status", "status").text).collect();
        assert_eq!(
            states.iter().filter(|state| *state == "status host 1 connected").count(),
            1,
            "{states:?}"
        );
        assert_eq!(
            states.iter().filter(|state| *state == "status peer 1 connected").count(),
            HERD - 1,
            "{states:?}"
        );
    }
}

pub(crate) fn two_processes_at_the_very_same_instant_find_one_host(stage: &mut Stage) {
    let actors = [stage.actor("one"), stage.actor("other")];
    for round in 0..1000 {
        let dir = stage.path().join(format!("round-{round}"));
        let marks: Vec<_> = actors.iter().map(Actor::mark).collect();
        actors.iter().for_each(|actor| actor.open(&format!("dir={}", dir.display())));
        let at = now() + 1_000_000;
        actors.iter().for_each(|actor| actor.tell(&format!("join-at {at}")));
        let joined: Vec<_> = actors
            .iter()
            .zip(marks)
            .map(|(actor, mark)| actor.wait_since(mark, "joined").text)
            .collect();
        let hosts = joined.iter().filter(|line| *line == "joined host 1").count();
        let peers = joined.iter().filter(|line| *line == "joined peer 1").count();
        assert_eq!((hosts, peers), (1, 1), "round {round}: {joined:?}");
    }
}

pub(crate) fn a_herd_that_sends_before_anybody_hosts_loses_nothing(stage: &mut Stage) {
    let actors = herd(stage, 0);
    for actor in &actors {
        actor.tell("connect s");
        actor.tell("numbers s 50");
    }
    for actor in &actors {
        assert_eq!(actor.wait("streamed s").number(2), 50);
    }
    let ledger = Ledger::of(&actors);
    ledger.check_order_and_marks();
    for actor in &actors {
        ledger.check_complete(actor.wait("socket s").word(2), 50);
    }
    assert_eq!(ledger.redelivered(), 0, "no host was ever lost");
}
