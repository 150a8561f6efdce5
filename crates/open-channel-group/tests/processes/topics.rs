//! Publications: all of them, in order, once, whoever dies.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{Actor, Stage};

/// Long: nothing but a process that stands still is waited for.
pub(crate) const PATIENT: &str = "host=100000 stall=100000";
/// Short, so that a test sees the ends of them.
pub(crate) const QUICK: &str = "host=2000 stall=3000";

/// What a publisher was told of its publications.
#[derive(Default)]
struct Ends {
    handled: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

fn ends(publisher: &Actor) -> Ends {
    let mut ends = Ends::default();
    for line in publisher.lines() {
        if line.is("published") {
            ends.handled.insert(line.number(1));
        } else if line.is("unpublished") {
            ends.unknown.insert(line.number(1));
        }
    }
    ends
}

/// Everybody got each publisher's numbers in order, once, and without a gap; but for a subscriber
/// that was out of the view, and numbers whose publisher was. The number of deliveries.
pub(crate) fn check_all(actors: &[&Actor]) -> usize {
    let ends: BTreeMap<&str, Ends> =
        actors.iter().map(|actor| (actor.label.as_str(), ends(actor))).collect();
    let mut deliveries = 0;
    for subscriber in actors {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        // Publishers of whom something may be missing before their next number.
        let mut gaps: BTreeSet<String> = BTreeSet::new();
        for line in subscriber.lines() {
            if line.is("gap") {
                gaps.extend(last.keys().cloned());
            }
            if !line.is("got") {
                continue;
            }
            deliveries += 1;
            let (publisher, number) = (line.word(2).to_owned(), line.number(3));
            let gap = gaps.remove(&publisher);
            let Some(before) = last.insert(publisher.clone(), number) else { continue };
            let words = format!("{} got {number} of {publisher} after {before}", subscriber.label);
            assert!(number > before, "{words}");
            let unknown = &ends[publisher.as_str()].unknown;
            let missing = (before + 1..number).find(|number| !unknown.contains(number));
            assert!(gap || missing.is_none(), "{words}, without {missing:?}");
        }
        // A living subscriber that was never out has all that was handled, to the last.
        if subscriber.died.borrow().is_none() && subscriber.count("event put-out") == 0 {
            for (publisher, last) in last {
                let most = ends[publisher.as_str()].handled.last().copied().unwrap_or(0);
                assert!(last >= most, "{} lacks {most} of {publisher}", subscriber.label);
            }
        }
    }
    deliveries
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
        (0..3).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
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
        let actor = stage.joined(format!("newcomer-{round}"), PATIENT);
        actor.ask("subscribe news.>", "subscribed");
        actor.tell("publish news.local");
        living.push(actor);
    }
    traffic_flows(&living);
    for actor in &living {
        actor.ask("stop", "stopped");
    }
    for actor in &living {
        actor.catch_up();
        assert_eq!(actor.count("event put-out"), 0, "{}", actor.label);
        assert_eq!(actor.count("unpublished"), 0, "{}", actor.label);
    }
    check_all(&living.iter().chain(&dead).collect::<Vec<_>>());
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
    check_all(&[&reader, &publisher]);
    for actor in [&publisher, &latest, &reader] {
        assert_eq!(actor.count("event put-out"), 0, "{}", actor.label);
    }
}

/// Longer than any window and outbox.
pub(crate) fn large_payloads_pass_and_survive_the_host(stage: &mut Stage) {
    let host = stage.joined("host", PATIENT);
    let publisher = stage.joined("publisher", PATIENT);
    let reader = stage.joined("reader", PATIENT);
    assert!(host.is_host());
    reader.ask("lengths a", "subscribed");
    publisher.ask("publish-large a 5000000", "published-large");
    reader.wait("got-large 5000000");
    publisher.ask("set-large key 3000000", "set-large");
    host.kill();
    assert_eq!(reader.ask("length key", "length").number(2), 3_000_000);
    publisher.ask("publish-large a 16777216", "published-large");
    reader.wait("got-large 16777216");
    let newcomer = stage.joined("newcomer", PATIENT);
    assert_eq!(newcomer.ask("length key", "length").number(2), 3_000_000);
}
