//! The host is killed, and nothing is lost.

use open_channel::LinkKind;

use crate::ledger::Ledger;
use crate::stage::{Actor, Line, Stage};

const PEERS: usize = 8;
const KILLS: u64 = 8;
/// Small, so that a death finds a few hundred messages on their way.
const OUTBOX: &str = "outbox=16384 window=8192";

/// Waits until `actor` is on generation `generation`; returns its role.
pub(crate) fn connected(actor: &Actor, generation: u64) -> String {
    let line = actor.find(0, &format!("a connection to generation {generation}"), |line| {
        line.is("event connected") && line.number(3) >= generation
    });
    assert_eq!(line.number(3), generation, "{} skipped a generation", actor.label);
    line.word(2).to_owned()
}

/// The one of `actors` that hosts `generation`, when all are connected to it.
pub(crate) fn host_of(actors: &[Actor], generation: u64) -> usize {
    let roles: Vec<_> = actors.iter().map(|actor| connected(actor, generation)).collect();
    let hosts: Vec<_> = (0..roles.len()).filter(|&n| roles[n] == "host").collect();
    assert_eq!(hosts.len(), 1, "hosts of generation {generation}: {hosts:?} of {roles:?}");
    hosts[0]
}

/// Waits until the socket `s` of each of these has got something through since now.
pub(crate) fn traffic_flows<'a>(actors: impl IntoIterator<Item = &'a Actor>) {
    let marks: Vec<_> = actors.into_iter().map(|actor| (actor, actor.mark())).collect();
    for (actor, mark) in marks {
        actor.wait_since(mark, "flushed s");
    }
}

pub(crate) fn a_host_killed_again_and_again_under_traffic_loses_nothing(stage: &mut Stage) {
    let mut living: Vec<_> = (0..PEERS)
        .map(|n| {
            let actor = stage.joined(format!("process {n}"), OUTBOX);
            actor.tell("connect s");
            actor.tell("stream s");
            actor
        })
        .collect();
    let mut dead = Vec::new();
    for generation in 1..=KILLS {
        let host = host_of(&living, generation);
        traffic_flows(&living);
        let killed = living.swap_remove(host);
        killed.kill();
        dead.push(killed);
        // Each that goes is replaced, so that there are always eight.
        let actor = stage.joined(format!("newcomer {generation}"), OUTBOX);
        actor.tell("connect s");
        actor.tell("stream s");
        living.push(actor);
        let (newcomer, others) = living.split_last().unwrap();
        others.iter().for_each(|actor| assert!(!connected(actor, generation + 1).is_empty()));
        newcomer.find(0, "the new generation", |line| {
            line.is("event connected") && line.number(3) == generation + 1
        });
    }
    traffic_flows(&living);
    living.iter().for_each(|actor| actor.tell("stop s"));
    let accepted: Vec<_> = living.iter().map(|actor| actor.wait("streamed s").number(2)).collect();
    let ledger = Ledger::of(living.iter().chain(&dead));
    ledger.check_order_and_marks();
    for (actor, accepted) in living.iter().zip(accepted) {
        ledger.check_complete(actor.wait("socket s").word(2), accepted);
        assert_eq!(actor.count("error"), 0, "{}", actor.label);
    }
    for actor in living.iter().chain(&dead) {
        ledger.check_acknowledged_for_good(actor, "s", actor.wait("socket s").word(2));
    }
    assert!(ledger.total() > 1000, "hardly any traffic: {}", ledger.total());
    assert!(ledger.redelivered() > 0, "{KILLS} deaths and never a message on its way");
}

pub(crate) fn large_messages_survive_the_hosts_that_die_in_the_middle_of_them(stage: &mut Stage) {
    let mut hosts = vec![stage.joined("host 1", "window=1000000")];
    let sender = stage.joined("sender", "role=peer outbox=4000000");
    let socket = sender.ask("connect s", "socket s").word(2).to_owned();
    // Messages of many frames, some longer than the window.
    sender.tell("bulk s 120 700001");
    for generation in 1..=6 {
        hosts.push(stage.joined(format!("host {}", generation + 1), "window=1000000"));
        let host = &hosts[hosts.len() - 2];
        host.find(0, "ten messages", |line| {
            line.is("handled") && line.number(7) >= generation * 10
        });
        host.kill();
        assert_eq!(connected(&sender, generation + 1), "peer");
    }
    assert_eq!(sender.wait("streamed s").number(2), 120);
    let ledger = Ledger::of(&hosts);
    ledger.check_order_and_marks();
    ledger.check_complete(&socket, 120);
    for host in &hosts {
        assert!(!host.lines().iter().any(|line| line.is("corrupt")), "{}", host.label);
    }
}

pub(crate) fn replies_that_reached_the_peer_come_before_the_loss_of_the_host(stage: &mut Stage) {
    // As many small segments as TCP sends before the other side has acknowledged one. Its kernel
    // does that late while the process stands still.
    let count = if stage.usual_link() == LinkKind::Tcp { 8 } else { 20 };
    for round in 1..=10_u64 {
        let host = stage.joined(format!("host {round}"), "");
        let peer = stage.joined(format!("peer {round}"), "");
        peer.ask("connect s mute", "socket s");
        peer.ask("send s n 1", "sent s");
        peer.ask("flush s", "flush s");
        assert_eq!(peer.ask("link s", "link s").text, format!("link s {}", stage.usual_link()));
        peer.ask(&format!("send s ask {count}"), "sent s");
        host.find(0, "the question", |line| line.is("handled") && line.word(6) == "ask");
        // The answers arrive at a peer that stands still.
        peer.stop();
        host.ask("answer", "answered");
        host.kill();
        peer.resume();
        peer.wait("event host-lost");
        let lines = peer.lines();
        let lost = lines.iter().position(|line| line.is("event host-lost")).unwrap();
        let answers: Vec<_> = lines[..lost]
            .iter()
            .filter(|line| line.is("reply s"))
            .map(|line| line.number(4))
            .collect();
        assert_eq!(answers, (1..=count).collect::<Vec<_>>(), "round {round}");
    }
}

pub(crate) fn what_was_acknowledged_is_never_delivered_again(stage: &mut Stage) {
    let mut hosts = vec![stage.joined("host 0", "")];
    let peer = stage.joined("peer", "role=peer");
    peer.ask("connect s", "socket s");
    for generation in 1..=10_u64 {
        let successor = stage.joined(format!("host {generation}"), "");
        peer.ask("send s n", "sent s");
        peer.ask("flush s", "flush s");
        hosts.last().unwrap().kill();
        connected(&peer, generation + 1);
        hosts.push(successor);
    }
    peer.ask("send s last", "sent s");
    peer.ask("flush s", "flush s");
    let handled: Vec<_> = hosts
        .iter()
        .inspect(|host| host.catch_up())
        .flat_map(|host| host.lines().into_iter().filter(|line| line.is("handled")))
        .map(|line| (line.number(1), line.number(3), line.word(4).to_owned()))
        .collect();
    let expected: Vec<_> = (1..=11).map(|n| (n, n, "false".to_owned())).collect();
    assert_eq!(handled, expected);
}

pub(crate) fn what_was_taken_and_not_acknowledged_is_delivered_again_marked(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let successor = stage.joined("successor", "");
    let peer = stage.joined("peer", "role=peer");
    let socket = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("send s fine", "sent s");
    peer.ask("flush s", "flush s");
    peer.ask("send s hold", "sent s");
    // Handled, but behind one that is not.
    peer.ask("send s behind", "sent s");
    host.find(0, "the third message", |line| line.is("handled") && line.word(6) == "behind");
    host.kill();
    successor.find(0, "the third message", |line| line.is("handled") && line.word(6) == "behind");
    let handled: Vec<_> = successor
        .lines()
        .into_iter()
        .filter(|line| line.is("handled"))
        .map(|line| line.text)
        .collect();
    assert_eq!(
        handled,
        [
            format!("handled 2 {socket} 2 true 4 hold"),
            format!("handled 2 {socket} 3 true 6 behind")
        ]
    );
    successor.ask("release", "released");
    peer.ask("flush s", "flush s");
}

pub(crate) fn peers_that_never_host_wait_for_the_next_host(stage: &mut Stage) {
    let peer = stage.actor("peer");
    peer.open("role=peer");
    peer.ask("connect s", "socket s");
    peer.tell("stream s");
    let first = stage.joined("first", "");
    traffic_flows([&peer]);
    first.kill();
    peer.wait("event host-lost");
    let second = stage.joined("second", "");
    traffic_flows([&peer]);
    peer.tell("stop s");
    let accepted = peer.wait("streamed s").number(2);
    let ledger = Ledger::of([&first, &second]);
    ledger.check_order_and_marks();
    ledger.check_complete(peer.wait("socket s").word(2), accepted);
}

pub(crate) fn a_socket_that_does_not_reconnect_fails_with_its_host(stage: &mut Stage) {
    let mut host = stage.joined("host 1", "");
    let peer = stage.joined("peer", "role=peer");
    peer.ask("connect goes-on", "socket goes-on");
    for generation in 1..=2 {
        let successor = stage.joined(format!("host {}", generation + 1), "");
        let name = format!("stays-{generation}");
        let socket =
            peer.ask(&format!("connect {name} once"), &format!("socket {name}")).word(2).to_owned();
        for name in [name.as_str(), "goes-on"] {
            peer.ask(&format!("send {name} n {generation}"), &format!("sent {name}"));
            peer.ask(&format!("flush {name}"), &format!("flush {name}"));
        }
        match generation {
            1 => host.kill(),
            _ => drop(host.ask("shut", "shut")),
        }
        let failed = peer.wait(&format!("error recv {name}"));
        assert!(failed.text.contains("does not reconnect"), "{failed:?}");
        assert_eq!(connected(&successor, generation + 1), "host");
        peer.ask("send goes-on n 0", "sent goes-on");
        peer.ask("flush goes-on", "flush goes-on");
        assert_eq!(successor.count(&format!("accepted {socket}")), 0, "the next host heard of it");
        host = successor;
    }
    assert_eq!(peer.count("error recv goes-on"), 0);
}

pub(crate) fn what_a_process_holds_when_it_exits_comes_to_the_next_host(stage: &mut Stage) {
    let mut host = stage.joined("host 1", "");
    let peer = stage.joined("peer", "role=peer");
    // Both ends of a program: `std::process::exit`, and the end of `main`.
    for (generation, way) in (2..).zip(["exit", "return"]) {
        let successor = stage.joined(format!("host {generation}"), "");
        let socket =
            peer.ask(&format!("connect {way}"), &format!("socket {way}")).word(2).to_owned();
        peer.ask(&format!("send {way} hold"), &format!("sent {way}"));
        let took = |line: &Line| line.is("handled") && line.word(2) == socket;
        host.find(0, "the message", took);
        host.tell(way);
        assert_eq!(connected(&successor, generation), "host");
        let again = successor.find(0, "the message", took);
        assert_eq!(again.word(4), "true", "a handler had it: {again:?}");
        successor.ask("release", "released");
        peer.ask(&format!("flush {way}"), &format!("flush {way}"));
        host = successor;
    }
}
