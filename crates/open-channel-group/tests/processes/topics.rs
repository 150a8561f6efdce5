//! Publications: all of them, in order, once, whoever dies.

use std::collections::BTreeMap;

use crate::stage::{Actor, Stage};

/// Short, so that a test sees the ends of them.
pub(crate) const QUICK: &str = "host=1000 stall=2000";

/// The numbers that a subscriber got of each publisher, in order.
fn read(actor: &Actor) -> BTreeMap<String, Vec<u64>> {
    let mut read: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in actor.lines() {
        if line.is("got") {
            read.entry(line.word(2).into()).or_default().push(line.number(3));
        }
    }
    read
}

/// Each publisher's numbers come without a gap, in order and once.
pub(crate) fn check_order(subscriber: &Actor) {
    for (publisher, numbers) in read(subscriber) {
        for pair in numbers.windows(2) {
            assert_eq!(
                pair[0] + 1,
                pair[1],
                "{} got these of {publisher} in a row",
                subscriber.label
            );
        }
    }
}

/// All that a publisher was told of as handled is here, from the first one that is.
pub(crate) fn check_complete(subscriber: &Actor, publisher: &Actor) {
    let read = read(subscriber);
    let got = read.get(&publisher.label).map_or(&[][..], Vec::as_slice);
    let lines = publisher.lines();
    let acknowledged = lines.iter().filter(|line| line.is("published")).map(|line| line.number(1));
    let (Some(first), Some(last)) = (got.first().copied(), acknowledged.max()) else {
        panic!("{} got nothing of {}", subscriber.label, publisher.label)
    };
    let missing: Vec<u64> = (first..=last).filter(|n| got.binary_search(n).is_err()).collect();
    assert!(missing.is_empty(), "{} lacks {missing:?} of {}", subscriber.label, publisher.label);
}

/// Waits until each of these has published something since now.
pub(crate) fn traffic_flows(actors: &[Actor]) {
    let marks: Vec<_> = actors.iter().map(|actor| (actor, actor.mark())).collect();
    for (actor, mark) in marks {
        actor.wait_since(mark, "published");
    }
}

pub(crate) fn host_of(actors: &[Actor]) -> usize {
    let hosts: Vec<_> = (0..actors.len()).filter(|&n| actors[n].is_host()).collect();
    assert_eq!(hosts.len(), 1, "hosts: {hosts:?}");
    hosts[0]
}

pub(crate) fn publications_reach_all_and_survive_the_host(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..3).map(|n| stage.joined(format!("process-{n}"), QUICK)).collect();
    for actor in &living {
        actor.ask("subscribe news.>", "subscribed");
    }
    for actor in &living {
        actor.tell("publish news.local");
    }
    let mut dead = Vec::new();
    for round in 0..4 {
        traffic_flows(&living);
        let host = host_of(&living);
        let killed = living.swap_remove(host);
        killed.kill();
        dead.push(killed);
        traffic_flows(&living);
        let actor = stage.joined(format!("newcomer-{round}"), QUICK);
        actor.ask("subscribe news.>", "subscribed");
        actor.tell("publish news.local");
        living.push(actor);
    }
    traffic_flows(&living);
    for actor in &living {
        actor.ask("stop", "stopped");
    }
    for subscriber in living.iter().chain(&dead) {
        subscriber.catch_up();
        check_order(subscriber);
        assert_eq!(subscriber.count("event put-out"), 0, "{}", subscriber.label);
    }
    for subscriber in &living {
        for publisher in &living {
            check_complete(subscriber, publisher);
        }
        assert_eq!(subscriber.count("unpublished"), 0, "{}", subscriber.label);
    }
    for actor in &living {
        assert_eq!(actor.close().text, "closed in order");
    }
    let left: Vec<_> = std::fs::read_dir(stage.runtime_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "generations")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// It is put out of the view, and the others go on. A subscription to the latest never is.
pub(crate) fn a_stuck_subscriber_holds_nobody_up_for_long(stage: &mut Stage) {
    let settings = "host=1000 stall=1000 window=4096";
    let publisher = stage.joined("publisher", settings);
    let stuck = stage.joined("stuck", settings);
    let latest = stage.joined("latest", settings);
    let reader = stage.joined("reader", settings);
    for actor in [&stuck, &latest] {
        actor.tell("stick");
    }
    stuck.ask("subscribe a", "subscribed");
    latest.ask("latest a", "subscribed");
    reader.ask("subscribe a", "subscribed");
    publisher.tell("publish a");
    stuck.wait("event put-out Stalled");
    for actor in [&publisher, &reader] {
        let mark = actor.mark();
        actor.wait_since(mark, if actor.label == "reader" { "got" } else { "published" });
    }
    stuck.tell("loosen");
    publisher.ask("stop", "stopped");
    check_order(&reader);
    check_complete(&reader, &publisher);
    for actor in [&publisher, &latest, &reader] {
        assert_eq!(actor.count("event put-out"), 0, "{}", actor.label);
    }
}
