//! A host that closes in an orderly way.

use std::time::Duration;

use crate::failover::{connected, host_of, traffic_flows};
use crate::ledger::Ledger;
use crate::stage::Stage;

pub(crate) fn an_orderly_close_under_traffic_loses_and_repeats_nothing(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let peers: Vec<_> = (0..4).map(|n| stage.joined(format!("peer {n}"), "outbox=16384")).collect();
    for peer in &peers {
        peer.tell("connect s");
        peer.tell("stream s");
    }
    traffic_flows(&peers);
    host.ask("shut", "shut");
    host_of(&peers, 2);
    traffic_flows(&peers);
    peers.iter().for_each(|peer| peer.tell("stop s"));
    let accepted: Vec<_> = peers.iter().map(|peer| peer.wait("streamed s").number(2)).collect();
    let ledger = Ledger::of(peers.iter().chain([&host]));
    ledger.check_order_and_marks();
    for (peer, accepted) in peers.iter().zip(accepted) {
        let socket = peer.wait("socket s").word(2).to_owned();
        ledger.check_complete(&socket, accepted);
        assert_eq!(
            ledger.of_socket(&socket).len() as u64,
            accepted,
            "repeated, though every handler finished"
        );
        assert_eq!(peer.count("event handed-over"), 1, "{}", peer.label);
        assert_eq!(peer.count("event host-lost") + peer.count("error"), 0, "{}", peer.label);
    }
    assert_eq!(ledger.repeated(), 0);
}

pub(crate) fn hosting_goes_round_by_orderly_closes(stage: &mut Stage) {
    let mut actors: Vec<_> =
        (0..6).map(|n| stage.joined(format!("process {n}"), "outbox=16384")).collect();
    let sender = stage.joined("sender", "role=peer outbox=16384");
    let socket = sender.ask("connect s", "socket s").word(2).to_owned();
    sender.tell("stream s");
    let mut gone = Vec::new();
    for generation in 1..=5 {
        traffic_flows([&sender]);
        let host = actors.swap_remove(host_of(&actors, generation));
        host.ask("shut", "shut");
        assert_eq!(connected(&sender, generation + 1), "peer");
        gone.push(host);
    }
    traffic_flows([&sender]);
    sender.tell("stop s");
    let accepted = sender.wait("streamed s").number(2);
    let ledger = Ledger::of(actors.iter().chain(&gone));
    ledger.check_order_and_marks();
    ledger.check_complete(&socket, accepted);
    assert_eq!(
        ledger.of_socket(&socket).len() as u64,
        accepted,
        "repeated, though every handler finished"
    );
    assert_eq!(sender.count("event handed-over"), 5);
    assert_eq!(sender.count("event host-lost") + sender.count("error"), 0);
}

pub(crate) fn a_handler_that_does_not_finish_cannot_hold_up_the_hand_over(stage: &mut Stage) {
    let host = stage.joined("host", "host_timeout=600");
    let successor = stage.joined("successor", "host_timeout=600");
    let peer = stage.joined("peer", "role=peer host_timeout=600");
    peer.ask("connect s", "socket s");
    peer.ask("send s hold", "sent s");
    host.find(0, "the message", |line| line.is("handled") && line.word(6) == "hold");
    let started = crate::stage::now();
    host.ask("shut", "shut");
    assert_eq!(connected(&successor, 2), "host");
    let again =
        successor.find(0, "the message", |line| line.is("handled") && line.word(6) == "hold");
    assert_eq!(again.word(4), "true", "a handler had it: {again:?}");
    assert!(Duration::from_nanos(again.at - started) < Duration::from_secs(5), "held up");
    assert_eq!(connected(&peer, 2), "peer");
}

/// Its time limit is shorter than the host's limit for its handlers.
pub(crate) fn a_newcomer_is_put_off_while_a_host_leaves(stage: &mut Stage) {
    let host = stage.joined("host", "host_timeout=120000");
    let peer = stage.joined("peer", "role=peer host_timeout=120000");
    peer.ask("connect s", "socket s");
    peer.ask("send s hold", "sent s");
    host.find(0, "the message", |line| line.is("handled") && line.word(6) == "hold");
    host.tell("shut");
    host.wait("failed");
    let newcomer = stage.actor("newcomer");
    newcomer.open("host_timeout=200 connect_timeout=1500");
    let error = newcomer.ask("join", "error join");
    assert!(error.text.contains("handing over"), "it took the host for a stuck one: {error:?}");
    host.ask("release", "released");
    host.wait("shut");
}

pub(crate) fn a_host_that_closes_delivers_nothing_more_from_the_call_on(stage: &mut Stage) {
    // Longer than a test may take: nobody gives up here.
    let patient = "host_timeout=120000";
    let host = stage.joined("host", patient);
    let successor = stage.joined("successor", patient);
    let peer = stage.joined("peer", "role=peer host_timeout=120000");
    let socket = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("send s n 1", "sent s");
    peer.ask("flush s", "flush s");
    host.ask("connect own", "socket own");
    host.ask("send own hold", "sent own");
    host.find(0, "its own message", |line| line.is("handled") && line.word(6) == "hold");
    host.tell("shut");
    // Its own message prevents it from leaving. The peer's messages are for the next host already.
    host.wait(&format!("failed {socket}"));
    peer.ask("send s n 2", "sent s");
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    host.ask("release", "released");
    host.wait("shut");
    assert_eq!(connected(&successor, 2), "host");
    successor.find(0, "the message", |line| line.is("handled") && line.word(2) == socket);
    peer.ask("flush s", "flush s");
    let ledger = Ledger::of([&host, &successor]);
    ledger.check_order_and_marks();
    ledger.check_complete(&socket, 2);
    assert_eq!(ledger.of_socket(&socket).len(), 2, "no host got what the other had");
}
