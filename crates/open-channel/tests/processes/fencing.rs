//! A host that was stopped for too long is replaced, and handles nothing more.

use std::time::Duration;

use crate::actor::variables::RUNTIME;
use crate::failover::{connected, host_of, traffic_flows};
use crate::ledger::Ledger;
use crate::stage::{Actor, Stage, now};

const HOST_TIMEOUT: &str = "host_timeout=600";
/// For tests in which the load of the machine must not fence a process.
const PATIENT: &str = "host_timeout=2000";

fn all_accepted(actors: &[Actor]) -> Vec<u64> {
    actors.iter().for_each(|actor| actor.tell("stop s"));
    actors.iter().map(|actor| actor.wait("streamed s").number(2)).collect()
}

pub(crate) fn a_stopped_host_is_replaced_and_handles_nothing_more(stage: &mut Stage) {
    for round in 0..5 {
        let settings =
            format!("{HOST_TIMEOUT} dir={}", stage.path().join(format!("round-{round}")).display());
        let host = stage.joined("host", &settings);
        let successor = stage.joined("successor", &settings);
        let peer = stage.joined("peer", &format!("{settings} role=peer"));
        let socket = peer.ask("connect s", "socket s").word(2).to_owned();
        peer.ask("send s n 1", "sent s");
        peer.ask("flush s", "flush s");
        host.stop();
        // A stopped process would take these when it wakes up.
        for number in 2..=100 {
            peer.ask(&format!("send s n {number}"), "sent s");
        }
        assert_eq!(connected(&successor, 2), "host");
        assert_eq!(connected(&peer, 2), "peer");
        peer.ask("flush s", "flush s");
        let woken = now();
        host.resume();
        host.wait("event fenced");
        assert_eq!(connected(&host, 2), "peer");
        let ledger = Ledger::of([&host, &successor]);
        ledger.check_order_and_marks();
        ledger.check_complete(&socket, 100);
        assert!(
            ledger.after(1, woken).is_empty(),
            "handled by a fenced host: {:?}",
            ledger.after(1, woken)
        );
        host.wait(&format!("failed {socket}"));
        // And it is as good a peer as any.
        host.ask("connect s", "socket s");
        host.ask("numbers s 10", "streamed s");
    }
}

/// Also if the first thing it does is to close.
pub(crate) fn peers_of_a_fenced_host_are_not_told_of_a_hand_over(stage: &mut Stage) {
    for round in 0..6 {
        let dir = format!("dir={}", stage.path().join(format!("round-{round}")).display());
        let host = stage.joined("host", &format!("{HOST_TIMEOUT} {dir}"));
        let successor = stage.joined("successor", &format!("{HOST_TIMEOUT} {dir}"));
        // It still believes in the host when that wakes up.
        let patient = stage.joined("patient", &format!("host_timeout=20000 role=peer {dir}"));
        let socket = patient.ask("connect s", "socket s").word(2).to_owned();
        patient.ask("send s n 1", "sent s");
        patient.ask("flush s", "flush s");
        host.stop();
        assert_eq!(connected(&successor, 2), "host");
        if round % 2 == 0 {
            host.tell("shut");
        }
        host.resume();
        assert_eq!(connected(&patient, 2), "peer");
        assert_eq!(patient.count("event host-lost 1"), 1);
        assert_eq!(patient.count("event handed-over"), 0);
        let end = host.wait(&format!("failed {socket}"));
        assert!(end.text.contains("was stopped for too long"), "{end:?}");
    }
}

pub(crate) fn a_host_stopped_in_the_middle_of_traffic_loses_nothing(stage: &mut Stage) {
    let settings = format!("{HOST_TIMEOUT} outbox=16384 window=8192");
    // One thread, so that at most one message is in a handler's hands when it is stopped.
    let actors: Vec<_> = (0..5)
        .map(|n| {
            let actor = stage.actor_with(format!("process {n}"), &[(RUNTIME, "current")]);
            actor.open(&settings);
            actor.ask("join", "joined");
            actor.tell("connect s");
            actor.tell("stream s");
            actor
        })
        .collect();
    for generation in 1..=4 {
        let host = host_of(&actors, generation);
        traffic_flows(&actors);
        actors[host].stop();
        let others: Vec<_> = (0..actors.len()).filter(|&n| n != host).collect();
        for &n in &others {
            connected(&actors[n], generation + 1);
        }
        traffic_flows(others.iter().map(|&n| &actors[n]));
        let woken = now();
        actors[host].resume();
        actors[host].wait(&format!("event fenced {generation}"));
        assert_eq!(connected(&actors[host], generation + 1), "peer");
        traffic_flows(&actors);
        let late = Ledger::of(&actors);
        let late = late.after(generation, woken);
        assert!(late.len() <= 1, "handled by a fenced host: {late:?}");
    }
    let accepted = all_accepted(&actors);
    let ledger = Ledger::of(&actors);
    ledger.check_order_and_marks();
    for (actor, accepted) in actors.iter().zip(accepted) {
        ledger.check_complete(actor.wait("socket s").word(2), accepted);
    }
}

pub(crate) fn a_short_stop_changes_nothing(stage: &mut Stage) {
    let actors: Vec<_> = (0..3).map(|n| stage.joined(format!("process {n}"), PATIENT)).collect();
    for actor in &actors {
        actor.tell("connect s");
        actor.tell("stream s");
    }
    for _ in 0..5 {
        traffic_flows(&actors);
        actors[0].stop();
        // The time that passes meanwhile: a quarter of the timeout, for other programs' computing.
        actors[1].ask("block 500", "unblocked");
        actors[0].resume();
    }
    traffic_flows(&actors);
    let accepted = all_accepted(&actors);
    let ledger = Ledger::of(&actors);
    ledger.check_order_and_marks();
    assert_eq!(ledger.redelivered(), 0);
    for (actor, accepted) in actors.iter().zip(accepted) {
        ledger.check_complete(actor.wait("socket s").word(2), accepted);
        assert_eq!(actor.ask("status", "status").number(2), 1);
        assert_eq!(actor.count("event host-lost") + actor.count("event fenced"), 0);
    }
}

pub(crate) fn a_stopped_peer_changes_nothing(stage: &mut Stage) {
    let host = stage.joined("host", HOST_TIMEOUT);
    let sleeper = stage.joined("sleeper", HOST_TIMEOUT);
    let other = stage.joined("other", HOST_TIMEOUT);
    for actor in [&sleeper, &other] {
        actor.tell("connect s");
        actor.tell("stream s");
    }
    traffic_flows([&sleeper, &other]);
    let woken = {
        sleeper.stop();
        // Three timeouts long: it must not take its own sleep for the host's.
        other.ask("block 1800", "unblocked");
        let woken = sleeper.mark();
        sleeper.resume();
        woken
    };
    traffic_flows([&sleeper, &other]);
    for actor in [&host, &sleeper, &other] {
        assert_eq!(actor.ask("status", "status").number(2), 1, "{}", actor.label);
        assert_eq!(
            actor.count("event host-lost") + actor.count("event fenced"),
            0,
            "{}",
            actor.label
        );
    }
    assert!(sleeper.mark() > woken);
    let actors = [sleeper, other];
    let accepted = all_accepted(&actors);
    let ledger = Ledger::of([&host]);
    ledger.check_order_and_marks();
    assert_eq!(ledger.redelivered(), 0);
    for (actor, accepted) in actors.iter().zip(accepted) {
        ledger.check_complete(actor.wait("socket s").word(2), accepted);
    }
}

pub(crate) fn a_stopped_host_that_nobody_can_replace_is_found_again(stage: &mut Stage) {
    let host = stage.joined("host", HOST_TIMEOUT);
    let peer = stage.joined("peer", &format!("{HOST_TIMEOUT} role=peer"));
    let socket = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("numbers s 10", "streamed s");
    host.stop();
    peer.wait("event host-lost");
    for number in 11..=20 {
        peer.ask(&format!("send s n {number}"), "sent s");
    }
    host.resume();
    peer.ask("flush s", "flush s");
    let ledger = Ledger::of([&host]);
    ledger.check_order_and_marks();
    ledger.check_complete(&socket, 20);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    assert_eq!(peer.ask("status", "status").text, "status peer 1 connected");
}

pub(crate) fn a_host_whose_application_is_busy_is_not_fenced(stage: &mut Stage) {
    let host = stage.actor_with("host", &[(RUNTIME, "current")]);
    host.open(PATIENT);
    host.ask("join", "joined");
    let other = stage.joined("other", PATIENT);
    let peer = stage.joined("peer", &format!("{PATIENT} role=peer"));
    let socket = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("numbers s 10", "streamed s");
    host.tell("block 5000");
    host.wait("blocking");
    for number in 11..=100 {
        peer.ask(&format!("send s n {number}"), "sent s");
    }
    // Newcomers get in too while the application computes.
    let newcomer = stage.joined("newcomer", PATIENT);
    let blocked = host.wait("blocking").at;
    let unblocked = host.wait("unblocked").at;
    assert!(Duration::from_nanos(unblocked - blocked) >= Duration::from_secs(4));
    peer.ask("flush s", "flush s");
    let ledger = Ledger::of([&host, &other, &newcomer]);
    ledger.check_order_and_marks();
    ledger.check_complete(&socket, 100);
    assert_eq!(ledger.redelivered(), 0);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    for actor in [&other, &peer, &newcomer] {
        assert_eq!(actor.ask("status", "status").text, "status peer 1 connected");
        assert_eq!(actor.count("event host-lost"), 0);
    }
}
