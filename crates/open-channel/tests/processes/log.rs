//! The library reports its decisions as `tracing` events.

use rustix::net::Shutdown;

use crate::actor::variables::LOG;
use crate::failover::connected;
use crate::resume::connections;
use crate::stage::{Actor, Stage};

fn logging(stage: &Stage, label: &str, settings: &str) -> Actor {
    let actor = stage.actor_with(label, &[(LOG, "1")]);
    actor.open(&format!("host_timeout=600 {settings}"));
    actor.ask("join", "joined");
    actor
}

/// Waits for an event with these words.
fn logged(actor: &Actor, words: &str) {
    actor.find(0, words, |line| line.is("log") && line.text.contains(words));
}

pub(crate) fn the_decisions_are_logged(stage: &mut Stage) {
    let host = logging(stage, "host", "");
    logged(&host, "elected");
    let peer = logging(stage, "peer", "role=peer");
    let (_, path) = stage.published();
    let lifeline = connections(&peer, &path)[0].0;
    peer.ask("connect s", "socket s");
    peer.ask("numbers s 1", "streamed s");
    for (number, fd) in connections(&peer, &path) {
        if number != lifeline {
            rustix::net::shutdown(fd, Shutdown::Both).unwrap();
        }
    }
    logged(&peer, "resumed");
    logged(&host, "resumed");
    peer.ask("send s hold", "sent s");
    host.find(0, "the message", |line| line.is("handled") && line.word(6) == "hold");

    let successor = logging(stage, "successor", "");
    host.stop();
    assert_eq!(connected(&successor, 2), "host");
    logged(&peer, "lost the host");
    logged(&successor, "elected");
    logged(&successor, "redelivered");
    host.resume();
    logged(&host, "fenced");
    successor.ask("shut", "shut");
    logged(&successor, "handed over");
}
