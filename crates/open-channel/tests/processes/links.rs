//! Which link processes use, by themselves and forced.

use crate::actor::variables::{DENIED, LOG};
use crate::failover::{connected, traffic_flows};
use crate::ledger::Ledger;
use crate::portable;
use crate::rendezvous::gets_through;
use crate::stage::{Actor, Stage, opening};

const LINK: &str = "OPEN_CHANNEL_LINK";
const TCP: &str = "loopback tcp";

/// A file system without sockets, as some that containers and virtual machines share.
const NO_SOCKET_FILES: (&str, &str) = (DENIED, "socket-file 1");

/// The link of this socket, once something got through it.
pub(crate) fn link_of(actor: &Actor, socket: &str) -> String {
    let answer = format!("link {socket}");
    let line = actor.ask(&answer, &answer).text;
    line[answer.len()..].trim().to_owned()
}

/// A new socket, through which something got.
fn proven_socket(actor: &Actor, socket: &str) {
    actor.ask(&format!("connect {socket}"), &format!("socket {socket}"));
    actor.ask(&format!("send {socket} fine"), &format!("sent {socket}"));
    actor.ask(&format!("flush {socket}"), &format!("flush {socket}"));
}

pub(crate) fn where_no_socket_file_can_be_made_the_host_listens_on_tcp(stage: &mut Stage) {
    let hosting = |label: &str| {
        let host = stage.actor_with(label, &[NO_SOCKET_FILES, (LOG, "yes")]);
        host.open("");
        host.ask("join", "joined");
        host
    };
    let host = hosting("host");
    let why = "this host listens on loopback TCP";
    let logged = host.find(0, why, |line| line.text.contains(why));
    assert!(logged.text.contains("making a Unix socket failed there"), "{logged:?}");
    // Two that could listen on a socket, and one that never hosts.
    let peer = stage.joined("peer", "role=peer");
    peer.ask("connect s", "socket s");
    peer.tell("stream s");
    traffic_flows([&peer]);
    assert_eq!(link_of(&peer, "s"), TCP);
    // The host's own.
    proven_socket(&host, "own");
    assert_eq!(link_of(&host, "own"), "in-process");
    // And back to a socket with the next host, which can make one.
    let successor = stage.joined("successor", "");
    host.kill();
    assert_eq!(connected(&successor, 2), "host");
    traffic_flows([&peer]);
    assert_eq!(link_of(&peer, "s"), portable::USUAL_LINK.to_string());
    // And to a port again.
    let last = hosting("last");
    successor.kill();
    assert_eq!(connected(&last, 3), "host");
    traffic_flows([&peer]);
    assert_eq!(link_of(&peer, "s"), TCP);
}

pub(crate) fn a_forced_socket_is_an_error_where_none_can_be_made(stage: &mut Stage) {
    let host = stage.actor_with("host", &[NO_SOCKET_FILES, (LINK, "unix")]);
    host.open("");
    let error = host.ask("join", "error join").text;
    assert!(error.contains("making a Unix socket failed there"), "{error}");
}

pub(crate) fn without_tcp_the_error_is_that_of_the_socket(stage: &mut Stage) {
    let host = stage.actor_with("host", &[(DENIED, "bind 1"), (LOG, "yes")]);
    host.open("");
    let error = host.ask("join", "error join").text;
    assert!(error.contains("making a Unix socket failed there"), "{error}");
    let nor = "nor can it listen on loopback TCP";
    host.find(0, nor, |line| line.text.contains(nor));
}

pub(crate) fn links_that_do_not_meet_are_both_named(stage: &mut Stage) {
    let directory = |name: &str| format!("dir={}", stage.path().join(name).display());
    for (n, (host, peer, named)) in [
        ("", "link=tcp", ["unix socket alone", "to use loopback tcp"]),
        ("link=unix", "link=tcp", ["unix socket alone", "to use loopback tcp"]),
        ("link=tcp", "link=unix", ["loopback tcp alone", "to use unix socket"]),
        ("link=tcp", "link=ring", ["loopback tcp alone", "to use shared memory"]),
        ("link=tcp", "link=local", ["loopback tcp alone", "to use in-process"]),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = directory(&format!("round-{n}"));
        let host = stage.joined(format!("host {n}"), &format!("{host} {dir}"));
        let bystander = stage.joined(format!("bystander {n}"), &format!("role=peer {dir}"));
        for role in ["", "role=peer"] {
            let newcomer = stage.actor(format!("newcomer {n} {role}"));
            newcomer.open(&format!("{peer} {role} {dir}"));
            let error = newcomer.ask("join", "error join").text;
            for named in named.into_iter().chain(["no common link", LINK]) {
                assert!(error.contains(named), "{error}");
            }
            newcomer.tell("connect s");
            let error = newcomer.wait("error recv s").text;
            assert!(error.contains("no common link"), "{error}");
        }
        gets_through(&bystander);
        assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    }
}

/// The next host may listen with the link that it needs.
pub(crate) fn whoever_had_a_host_waits_for_the_next_one_with_its_link(stage: &mut Stage) {
    let first = stage.joined("first", "link=tcp");
    let peer = stage.joined("peer", "role=peer link=tcp");
    peer.ask("connect s", "socket s");
    peer.tell("stream s");
    traffic_flows([&peer]);
    let second = stage.joined("second", "");
    first.kill();
    assert_eq!(connected(&second, 2), "host");
    peer.wait("event host-lost 1");
    gets_through(&stage.joined("other", "role=peer"));
    second.kill();
    let third = stage.joined("third", "link=tcp");
    assert_eq!(connected(&third, 3), "host");
    traffic_flows([&peer]);
    peer.tell("stop s");
    let accepted = peer.wait("streamed s").number(2);
    let ledger = Ledger::of([&first, &third]);
    ledger.check_complete(peer.wait("socket s").word(2), accepted);
    assert_eq!(peer.count("event closed") + peer.count("error"), 0);
}

pub(crate) fn the_environment_forces_a_link_and_a_setting_goes_before_it(stage: &mut Stage) {
    let host = stage.actor_with("host", &[(LINK, "tcp")]);
    host.open("");
    host.ask("join", "joined");
    // Nothing forced, and the same forced in two ways.
    for (settings, environment) in [
        ("", &[][..]),
        ("", &[(LINK, "")]),
        ("link=tcp", &[(LINK, "unix")]),
        ("", &[(LINK, "tcp")]),
    ] {
        let peer = stage.actor_with(format!("{settings} {environment:?}"), environment);
        peer.open(&format!("role=peer {settings}"));
        peer.ask("join", "joined");
        proven_socket(&peer, "s");
        assert_eq!(link_of(&peer, "s"), TCP);
    }
    // Its own sockets are no exception.
    proven_socket(&host, "own");
    assert_eq!(link_of(&host, "own"), TCP);
    for nonsense in ["udp", "TCP", "tcp ", "\u{e9}"] {
        let refused = stage.actor_with(nonsense, &[(LINK, nonsense)]);
        let error = refused.ask(&opening(""), "error open").text;
        for part in [LINK, "`ring`", "`unix`", "`tcp`", "`local`"] {
            assert!(error.contains(part), "{error}");
        }
        refused.open("role=peer link=tcp");
    }
}
