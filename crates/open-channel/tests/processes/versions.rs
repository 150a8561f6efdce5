//! Processes of two versions without a common one, as in the middle of an update. These tests run
//! in a build that speaks a version of its own. The other one is the ordinary build beside it.
//!
//! `cargo xtask test` runs them with `RUSTFLAGS='--cfg open_channel_test_version="9"'` and a target
//! directory of its own.

use std::path::PathBuf;

use crate::actor::variables::LOG;
use crate::failover::{connected, traffic_flows};
use crate::stage::{Actor, Stage};

/// Whether this is the build that speaks another version.
pub(crate) const IS_OTHER: bool = cfg!(open_channel_test_version = "9");

/// One program of two.
#[derive(Clone)]
struct Program {
    name: &'static str,
    versions: &'static str,
    executable: PathBuf,
}

impl Program {
    /// Both, and both ways round: what the first does, the second may find.
    fn pairs() -> [(Self, Self); 2] {
        let this = std::env::current_exe().unwrap();
        // target/other-version/debug/deps/processes-… beside target/debug/deps/processes-…
        // No other test program of the workspace may have this name.
        let target = this.ancestors().nth(4).unwrap();
        let deps = target.join("debug/deps");
        let built = std::fs::read_dir(&deps)
            .unwrap_or_else(|_| panic!("nothing is built in {}", deps.display()));
        let built = built.map(|entry| entry.unwrap()).filter(|entry| {
            let name = entry.file_name().into_string().unwrap_or_default();
            name.starts_with("processes-") && !name.contains('.')
        });
        let newest = built.max_by_key(|entry| entry.metadata().unwrap().modified().unwrap());
        let ordinary = newest.expect("the tests of the ordinary build").path();
        let old = Self { name: "old", versions: "1 to ", executable: ordinary };
        let new = Self { name: "new", versions: "9 to 9", executable: this };
        [(old.clone(), new.clone()), (new, old)]
    }

    fn opened(&self, stage: &Stage, label: &str, settings: &str) -> Actor {
        let label = format!("{label}, {}", self.name);
        let actor = stage.actor_of(&self.executable, label, &[(LOG, "yes")]);
        actor.open(settings);
        actor
    }

    fn joined(&self, stage: &Stage, label: &str, settings: &str) -> Actor {
        let actor = self.opened(stage, label, settings);
        actor.ask("join", "joined");
        actor
    }

    /// A process that cannot join yet, and has reported why.
    fn waiting(&self, stage: &Stage, label: &str, others: &Self, settings: &str) -> Actor {
        let actor = self.opened(stage, label, settings);
        actor.tell("join");
        actor.find(0, "that it waits", |line| {
            let host = format!("the host speaks {}", others.versions);
            line.text.contains("waiting for another host") && line.text.contains(&host)
        });
        actor
    }
}

/// Newcomers wait longer than anything takes here.
const PATIENT: &str = "connect_timeout=25000 host_timeout=1000";

pub(crate) fn a_newcomer_waits_for_the_host_to_leave(stage: &mut Stage) {
    for (first, second) in Program::pairs() {
        let host = first.joined(stage, "host", PATIENT);
        let newcomer = second.waiting(stage, "newcomer", &first, PATIENT);
        newcomer.ask("connect s", "socket s");
        newcomer.ask("send s n 1", "sent s");
        newcomer.tell("flush s");
        host.ask("shut", "shut");
        newcomer.wait("flush s");
        assert!(newcomer.wait("joined").text.starts_with("joined host"));
        assert_eq!(newcomer.count("error"), 0);
        newcomer.ask("shut", "shut");
    }
}

pub(crate) fn a_newcomer_that_waits_in_vain_names_both_versions(stage: &mut Stage) {
    for (first, second) in Program::pairs() {
        let host = first.joined(stage, "host", PATIENT);
        for settings in ["", "role=peer"] {
            let newcomer =
                second.opened(stage, "newcomer", &format!("connect_timeout=1000 {settings}"));
            newcomer.ask("connect s", "socket s");
            newcomer.tell("send s lost");
            newcomer.tell("join");
            for failed in ["error recv s", "error join"] {
                let error = newcomer.wait(failed).text;
                assert!(error.contains("no common protocol version"), "{error}");
                let both = [&first, &second].map(|program| error.contains(program.versions));
                assert_eq!(both, [true, true], "{error}");
            }
        }
        host.ask("shut", "shut");
    }
}

pub(crate) fn a_newcomer_does_not_take_over_from_those_that_it_cannot_serve(stage: &mut Stage) {
    for (first, second) in Program::pairs() {
        let mut hosts: Vec<_> =
            (0..4).map(|n| first.joined(stage, &format!("process {n}"), PATIENT)).collect();
        let peer = first.joined(stage, "peer", &format!("{PATIENT} role=peer outbox=16384"));
        peer.tell("connect s");
        peer.tell("stream s");
        let newcomers: Vec<_> = (0..3)
            .map(|n| second.waiting(stage, &format!("newcomer {n}"), &first, PATIENT))
            .collect();
        let first_generation = peer.ask("status", "status").number(2);
        for generation in first_generation.. {
            traffic_flows([&peer]);
            if hosts.len() == 1 {
                break;
            }
            let host =
                hosts.iter().position(|actor| actor.ask("status", "status").word(1) == "host");
            hosts.swap_remove(host.unwrap()).kill();
            connected(&peer, generation + 1);
        }
        for newcomer in &newcomers {
            assert_eq!(newcomer.count("joined") + newcomer.count("error"), 0, "{}", newcomer.label);
        }
        assert_eq!(peer.count("error"), 0);
        peer.tell("stop s");
        peer.wait("streamed s");
        peer.ask("shut", "shut");
        hosts.remove(0).ask("shut", "shut");
        newcomers.iter().for_each(|newcomer| drop(newcomer.wait("joined")));
    }
}

pub(crate) fn what_a_peer_sent_waits_for_a_host_of_its_version(stage: &mut Stage) {
    for (first, second) in Program::pairs() {
        let host = first.joined(stage, "host", PATIENT);
        let peer = first.joined(stage, "peer", &format!("{PATIENT} role=peer"));
        peer.ask("connect s", "socket s");
        let between = second.waiting(stage, "between", &first, PATIENT);
        host.kill();
        peer.ask("send s n 1", "sent s");
        // Nobody of the peer's version can host: after a while there is nothing to wait for.
        assert!(between.wait("joined").text.starts_with("joined host"));
        peer.find(0, "that it waits", |line| line.text.contains("waiting for another host"));
        peer.ask("send s n 2", "sent s");
        peer.tell("flush s");
        between.ask("shut", "shut");
        let host = first.joined(stage, "next host", PATIENT);
        peer.wait("flush s");
        assert_eq!(host.count("handled"), 2);
        assert_eq!(peer.count("error"), 0);
        peer.ask("shut", "shut");
        host.ask("shut", "shut");
    }
}
