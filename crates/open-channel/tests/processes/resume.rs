//! Connections that break while both processes live.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{Shutdown, SocketAddrAny, SocketAddrUnix};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::failover::traffic_flows;
use crate::ledger::Ledger;
use crate::raw::{self, Hello};
use crate::ring::stage_until;
use crate::stage::{Actor, Stage, now};

/// The process's descriptors that are connected to the socket at `path`, or to the port in its
/// place, by number.
pub(crate) fn connections(actor: &Actor, path: &Path) -> Vec<(i32, OwnedFd)> {
    let pidfd = pidfd_open(actor.pid, PidfdFlags::empty()).unwrap();
    let port = std::fs::read_to_string(path.with_extension("tcp")).ok();
    let port: Option<SocketAddr> = port.map(|text| text.lines().nth(1).unwrap().parse().unwrap());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(actor.proc("fd")).unwrap().map_while(Result::ok) {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Descriptors come and go during the check.
        let Ok(fd) = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) else { continue };
        let Ok(Some(peer)) = rustix::net::getpeername(&fd) else { continue };
        let leads_there = match port {
            Some(port) => SocketAddr::try_from(peer).is_ok_and(|peer| peer == port),
            None => path_of(peer).is_some_and(|peer| peer == path),
        };
        if leads_there {
            found.push((number, fd));
        }
    }
    found
}

fn path_of(address: SocketAddrAny) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let address = SocketAddrUnix::try_from(address).ok()?;
    Some(Path::new(std::ffi::OsStr::from_bytes(address.path_bytes()?)).to_owned())
}

pub(crate) fn broken_connections_resume_exactly_once(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let (_, path) = stage.published();
    let peers: Vec<_> =
        (0..4).map(|n| stage.joined(format!("peer {n}"), "outbox=16384 window=8192")).collect();
    // Before there is a socket, the only connection is the lifeline.
    let lifelines: Vec<_> = peers
        .iter()
        .map(|peer| {
            let found = connections(peer, &path);
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].0
        })
        .collect();
    for peer in &peers {
        peer.tell("connect s");
        peer.tell("stream s");
    }
    traffic_flows(&peers);
    for round in 0..30 {
        let how = [Shutdown::Both, Shutdown::Read, Shutdown::Write][round % 3];
        for (peer, lifeline) in peers.iter().zip(&lifelines) {
            let breaks = |(number, fd): (_, &OwnedFd)| {
                number != *lifeline && rustix::net::shutdown(fd, how).is_ok()
            };
            // It may be about to come back from the last time.
            stage_until(|| {
                connections(peer, &path).into_iter().filter(|it| breaks((it.0, &it.1))).count() > 0
            });
        }
        traffic_flows(&peers);
    }
    peers.iter().for_each(|peer| peer.tell("stop s"));
    let accepted: Vec<_> = peers.iter().map(|peer| peer.wait("streamed s").number(2)).collect();
    let ledger = Ledger::of(peers.iter().chain([&host]));
    ledger.check_order_and_marks();
    assert_eq!(ledger.redelivered(), 0, "the host never changed");
    assert_eq!(ledger.repeated(), 0);
    for (peer, accepted) in peers.iter().zip(accepted) {
        ledger.check_complete(peer.wait("socket s").word(2), accepted);
        assert_eq!(peer.count("event host-lost") + peer.count("error"), 0, "{}", peer.label);
        assert_eq!(peer.ask("status", "status").text, "status peer 1 connected");
    }
    assert_eq!(host.count("accepted"), peers.len(), "a resumed socket is not a new one");
}

pub(crate) fn a_welcome_that_got_lost_leaves_no_second_session(stage: &mut Stage) {
    let host = stage.joined("host", "resume_timeout=300");
    let (_, path) = stage.published();
    let hello = |generation, first| Hello { generation, first, socket: 4711, ..Hello::default() };
    // It is gone before it has taken its welcome, and comes again as one that was never here.
    drop(raw::exchange_hello(&path, &hello(0, 1)));
    host.wait("accepted");
    let (mut stream, _) = raw::exchange_hello(&path, &hello(0, 1));
    // The limit is longer than the host holds anything of the first attempt.
    let started = now();
    let mut seq = 0;
    while now() - started < 1_000_000_000 {
        seq += 1;
        stream.write_all(&raw::data(seq, format!("n {seq}").as_bytes())).unwrap();
        host.find(0, "the message", |line| line.is("handled") && line.number(7) == seq);
    }
    drop(stream);
    let (_stream, welcome) = raw::exchange_hello(&path, &hello(1, seq + 1));
    assert_eq!(welcome[10], 1, "the session was forgotten");
    assert_eq!(host.count("accepted"), 1, "two listeners for one socket");
    assert_eq!(host.count("failed"), 0);
}

pub(crate) fn a_welcome_that_nobody_waits_for_does_not_end_the_socket(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let (_, path) = stage.published();
    for round in 1..=20 {
        let hello = Hello { socket: round, ..Hello::default() }.encode();
        host.stop();
        // It gave up before the host came to it; the next attempt is there already.
        raw::connect(&path).write_all(&hello).unwrap();
        let mut stream = raw::connect(&path);
        stream.write_all(&hello).unwrap();
        host.resume();
        assert_eq!(raw::read_frame(&mut stream).expect("an answer").0, raw::WELCOME);
        stream.write_all(&raw::data(1, b"fine")).unwrap();
        let id = format!("{round:032x}");
        host.find(0, "the message", |line| line.is("handled") && line.word(2) == id);
        // An end of its socket would be reported before this.
        stream.write_all(&raw::frame(7, 0, b"")).unwrap();
        assert_eq!(raw::read_frame(&mut stream), Some((6, 1_u64.to_le_bytes().to_vec())));
    }
    assert_eq!(host.count("accepted"), 20);
}

pub(crate) fn half_a_socket_resumes_like_a_whole_one(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let (_, path) = stage.published();
    // The host has ended its direction. Messages that the peer still sends are not lost with the
    // connection.
    let (mut stream, _) = raw::exchange_hello(&path, &Hello { socket: 1, ..Hello::default() });
    stream.write_all(&raw::data(1, b"finish")).unwrap();
    assert_eq!(raw::read_frame(&mut stream), Some((5, 1_u64.to_le_bytes().to_vec())), "its end");
    drop(stream);
    let again = Hello { socket: 1, generation: 1, first: 1, recv_next: 2, ..Hello::default() };
    let (mut stream, welcome) = raw::exchange_hello(&path, &again);
    assert_eq!(welcome[10], 1, "forgotten");
    stream.write_all(&raw::data(2, b"still here")).unwrap();
    host.find(0, "the second message", |line| {
        line.is("handled") && line.text.ends_with("still here")
    });

    // The peer has ended its direction: it still hears the answer.
    let peer = stage.joined("peer", "role=peer");
    let lifeline = connections(&peer, &path)[0].0;
    peer.ask("connect s", "socket s");
    peer.ask("send s flood", "sent s");
    peer.ask("finish s", "finished s");
    peer.ask("flush s", "flush s");
    for (number, fd) in connections(&peer, &path) {
        if number != lifeline {
            rustix::net::shutdown(fd, Shutdown::Both).unwrap();
        }
    }
    // More than the first connection can have carried.
    peer.until("hundred more answers", |lines| {
        (lines.iter().filter(|line| line.is("reply s")).count() > 100).then_some(())
    });
    assert_eq!(peer.count("error") + host.count("error"), 0);
}

pub(crate) fn a_session_is_kept_for_the_resume_timeout(stage: &mut Stage) {
    let host = stage.joined("host", "resume_timeout=500");
    let (_, path) = stage.published();
    let (stream, _) = raw::exchange_hello(&path, &Hello { socket: 1, ..Hello::default() });
    host.wait("accepted");
    let left = now();
    drop(stream);
    let kept = Duration::from_nanos(host.wait("failed").at - left);
    // The default is ten seconds.
    assert!((Duration::from_millis(500)..Duration::from_secs(8)).contains(&kept), "{kept:?}");
}
