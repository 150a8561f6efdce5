//! The files that are left when every process has gone: only the memory of one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::failover::connected;
use crate::ledger::Ledger;
use crate::rendezvous::gets_through;
use crate::stage::{Actor, Stage};

const HERD: usize = 12;

/// Everything in the runtime directory, by its path there.
fn left(stage: &Stage) -> Vec<String> {
    let names = |dir: &std::path::Path| -> Vec<String> {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let mut left = Vec::new();
    for name in names(&stage.runtime_dir()) {
        left.push(name.clone());
        left.extend(
            names(&stage.runtime_dir().join(&name)).iter().map(|inside| format!("{name}/{inside}")),
        );
    }
    left.sort();
    left
}

fn remembers(generation: u64) -> Vec<String> {
    vec!["generations".into(), format!("generations/{generation:020}")]
}

/// For any generation.
fn check_one_entry(left: &[String]) {
    let is_entry = |left: &String| left.starts_with("generations/");
    assert!(left.len() == 2 && left[0] == "generations" && is_entry(&left[1]), "{left:?}");
}

/// Leaves in an orderly way.
fn leave(actor: &Actor) {
    actor.ask("shut", "shut");
}

pub(crate) fn a_thousand_names_leave_one_entry_behind(stage: &mut Stage) {
    let actor = stage.actor("actor");
    actor.ask("names 1000", "named 1000");
    assert_eq!(left(stage), remembers(1000));
}

pub(crate) fn generations_go_on_when_the_directory_was_removed(stage: &mut Stage) {
    for generation in 1..=5 {
        let host = stage.joined(format!("host {generation}"), "");
        assert_eq!(connected(&host, generation), "host");
        leave(&host);
        assert_eq!(left(stage), remembers(generation));
    }
    // Not while somebody is there: one that may host takes over, and leaves last.
    let (host, peer) = (stage.joined("host", ""), stage.joined("peer", ""));
    leave(&host);
    assert_eq!(connected(&peer, 7), "host");
    gets_through(&peer);
    leave(&peer);
    assert_eq!(left(stage), remembers(7));
}

pub(crate) fn what_killed_processes_leave_the_next_one_removes(stage: &mut Stage) {
    for generation in 1..=3 {
        let host = stage.joined(format!("host {generation}"), "");
        assert_eq!(connected(&host, generation), "host");
        host.kill();
    }
    for leftover in ["0123456789abcdef.lock", "0123456789abcdef.sock", "fedcba9876543210.new"] {
        fs::write(stage.channel_dir().join(leftover), "").unwrap();
    }
    let last = stage.joined("last", "");
    assert_eq!(connected(&last, 4), "host");
    leave(&last);
    assert_eq!(left(stage), remembers(4));
}

pub(crate) fn names_of_killed_processes_that_never_come_again_are_removed_by_others(
    stage: &mut Stage,
) {
    let (killed, alive) = (stage.actor("killed"), stage.joined("alive", ""));
    killed.ask("hold-names 40", "held 40");
    killed.kill();
    let own = stage.runtime_dir().join("photos");
    fs::create_dir(&own).unwrap();
    assert_eq!(
        left(stage).iter().filter(|name| name.starts_with("held-") && !name.contains('/')).count(),
        40
    );
    let other = stage.actor("other");
    other.ask("names 40", "named 40");
    assert_eq!(left(stage).iter().filter(|name| name.starts_with("held-")).count(), 0);
    assert!(own.is_dir(), "it was no channel's");
    gets_through(&stage.joined("peer", "role=peer"));
    assert_eq!(alive.ask("status", "status").text, "status host 1 connected");
}

pub(crate) fn whoever_only_joins_removes_what_is_left(stage: &mut Stage) {
    let (host, tool) = (stage.joined("host", ""), stage.joined("tool", "role=peer"));
    host.kill();
    tool.wait("event host-lost 1");
    leave(&tool);
    assert_eq!(left(stage), remembers(1));
    // But not under a host that lives.
    let (host, tool) = (stage.joined("host", ""), stage.joined("tool", "role=peer"));
    leave(&tool);
    gets_through(&stage.joined("other", "role=peer"));
    assert_eq!(host.ask("status", "status").text, "status host 2 connected");
}

pub(crate) fn a_directory_with_something_else_in_it_stays(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let dir = stage.channel_dir();
    fs::write(dir.join("README"), "not ours").unwrap();
    leave(&host);
    assert_eq!(fs::read_to_string(dir.join("README")).unwrap(), "not ours");
    assert_eq!(connected(&stage.joined("next", ""), 2), "host");
}

/// Generations are hosted one after the other, each by one process.
fn check_hosts(actors: &[Actor], ledger: &Ledger) {
    let mut hosts = Vec::new();
    for actor in actors {
        actor.catch_up();
        let lines = actor.lines();
        hosts.extend(
            lines.iter().filter(|line| line.is("event became-host")).map(|line| line.number(2)),
        );
    }
    assert_eq!(hosts.iter().collect::<BTreeSet<_>>().len(), hosts.len(), "hosted twice: {hosts:?}");
    let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for delivery in ledger.all() {
        let span = spans.entry(delivery.generation).or_insert((delivery.at, delivery.at));
        *span = (span.0.min(delivery.at), span.1.max(delivery.at));
    }
    for ((one, (_, end)), (next, (begin, _))) in spans.iter().zip(spans.iter().skip(1)) {
        assert!(end < begin, "{one} handled until {end}, {next} from {begin}");
    }
}

/// The sockets whose messages were all acknowledged, and the numbers of their messages.
fn flushed(actor: &Actor) -> Vec<(String, u64)> {
    let lines = actor.lines();
    lines
        .iter()
        .filter(|line| line.is("flushed"))
        .map(|line| (line.word(1).to_owned(), line.number(2)))
        .collect()
}

pub(crate) fn a_herd_that_comes_and_goes_loses_nothing_and_leaves_nothing(stage: &mut Stage) {
    let actors: Vec<_> = (0..HERD).map(|n| stage.actor(format!("process {n}"))).collect();
    actors.iter().for_each(|actor| actor.tell("come-and-go 40 5"));
    for actor in &actors {
        actor.find(0, "its end", |line| line.is("went") || line.is("error come-and-go"));
        assert_eq!(actor.count("error come-and-go"), 0, "{}", actor.label);
    }
    let ledger = Ledger::of(&actors);
    ledger.check_order_and_marks();
    assert_eq!(ledger.total(), HERD * 40 * 5, "lost or repeated");
    check_hosts(&actors, &ledger);
    check_one_entry(&left(stage));
}

pub(crate) fn a_herd_of_which_some_are_killed_loses_nothing_and_leaves_nothing(stage: &mut Stage) {
    let mut actors: Vec<_> = (0..HERD).map(|n| stage.actor(format!("process {n}"))).collect();
    actors.iter().for_each(|actor| actor.tell("come-and-go 1000000 5"));
    for victim in 0..30 {
        // In the middle of any step.
        let mark = actors[victim % HERD].mark();
        actors[victim % HERD].wait_since(mark, "flushed");
        actors[victim].kill();
        let successor = stage.actor(format!("successor {victim}"));
        successor.tell("come-and-go 1000000 5");
        actors.push(successor);
        actors.swap(victim % HERD, HERD + victim);
    }
    actors.iter().for_each(Actor::kill);
    let ledger = Ledger::of(&actors);
    ledger.check_order_and_marks();
    for (socket, count) in actors.iter().flat_map(flushed) {
        ledger.check_complete(&socket, count);
    }
    let last = stage.joined("last", "");
    leave(&last);
    check_one_entry(&left(stage));
    actors.push(last);
    check_hosts(&actors, &ledger);
}
