//! The host's answers to processes that ask how it is. They need not be members of the channel.
//!
//! The background runtime answers, so a blocked application changes nothing.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::{
    Direction, Frame, HostStatus, MAX_CHUNK, ProcessStatus, SocketStatus, Traffic,
};

use crate::channel::shared::Shared;
use crate::connection::stats::SocketStats;
use crate::link::Stream;
use crate::membership::handshake::{read_frame, write_frame};
use crate::membership::host::{Host, Phase};
use crate::membership::tap;
use crate::rendezvous::identity::Scope;
use crate::sys::{self, UserId};

/// Sockets that one answer describes at most. So an answer has at most half a megabyte.
const MOST_DESCRIBED: usize = 512;
/// Time for the next question to come, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers until the other side goes, asks for something else, or this host is gone.
pub(super) async fn answer(stream: Stream, shared: &Shared, host: &Host) {
    loop {
        let question = tokio::select! {
            question = tokio::time::timeout(PATIENCE, read_frame(&stream)) => question,
            _ = host.over() => return,
        };
        if let Ok(Ok(Frame::TapRequest(request))) = question {
            // An asker that is gone, or a host, is an end like another.
            return drop(tap::serve(&stream, host, request).await);
        }
        let answer = async {
            match question {
                Ok(Ok(Frame::StatusRequest { sockets })) => {
                    let (status, sockets) = describe(shared, host, sockets as usize);
                    write(&stream, status, sockets).await
                }
                Ok(Ok(Frame::DetailRequest { most })) => {
                    write_detail(&stream, shared.detail(most as usize)).await
                }
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        };
        if !matches!(tokio::time::timeout(PATIENCE, answer).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// What the program on top of the channel says of itself, in as many parts as it takes.
async fn write_detail(stream: &Stream, mut detail: Bytes) -> io::Result<()> {
    loop {
        let payload = detail.split_to(detail.len().min(MAX_CHUNK));
        let more = !detail.is_empty();
        write_frame(stream, &Frame::Detail { more, payload }).await?;
        if !more {
            return Ok(());
        }
    }
}

async fn write(stream: &Stream, status: HostStatus, sockets: Vec<SocketStatus>) -> io::Result<()> {
    write_frame(stream, &Frame::HostStatus(Box::new(status))).await?;
    for socket in sockets {
        write_frame(stream, &Frame::SocketStatus(Box::new(socket))).await?;
    }
    Ok(())
}

fn describe(shared: &Shared, host: &Host, most: usize) -> (HostStatus, Vec<SocketStatus>) {
    let connections = host.connections();
    let live = connections.iter().filter(|connection| !connection.is_over());
    let mut stats: Vec<SocketStats> = live.map(|connection| connection.stats()).collect();
    let mut totals = Traffic::default();
    stats.iter().for_each(|stats| totals += traffic(stats));
    let (sockets, stalled) =
        (stats.len(), stats.iter().filter(|stats| stats.stalled.is_some()).count());
    // Those that have waited longest come first, as not all may be described.
    let waiting = |stats: &SocketStats| stats.oldest_unhandled.max(stats.oldest_unacknowledged);
    stats.sort_by_key(|stats| std::cmp::Reverse((waiting(stats), stats.id)));
    stats.truncate(most.min(MOST_DESCRIBED));
    let described: Vec<SocketStatus> = stats.iter().map(socket).collect();
    let settings = &shared.settings;
    let status = HostStatus {
        name: shared.name().to_owned(),
        app: match &shared.identity.scope {
            Scope::User => None,
            Scope::App(app) => Some(app.clone()),
        },
        process: process(Some(std::process::id()), UserId::current().to_string()),
        library: env!("CARGO_PKG_VERSION").into(),
        generation: host.generation(),
        hosting: host.age(),
        leaving: *host.phase.borrow() != Phase::Open,
        stall_after: settings.stall_after,
        sockets: saturated(sockets),
        max_sockets: saturated(settings.max_connections),
        stalled: saturated(stalled),
        totals,
        described: saturated(described.len()),
    };
    (status, described)
}

fn socket(stats: &SocketStats) -> SocketStatus {
    let peer = stats.peer.as_ref();
    let user = peer.map(|peer| peer.user().to_string()).unwrap_or_default();
    SocketStatus {
        id: stats.id,
        process: process(peer.and_then(|peer| peer.process_id()), user),
        link: stats.link.map(|link| link.to_string()).unwrap_or_default(),
        links: stats.links,
        traffic: traffic(stats),
        stalled: stats.stalled,
    }
}

fn process(pid: Option<u32>, user: String) -> ProcessStatus {
    let program = pid.and_then(sys::program_name).unwrap_or_default();
    ProcessStatus { pid: pid.unwrap_or(0), program, user }
}

fn traffic(stats: &SocketStats) -> Traffic {
    let sent = Direction {
        messages: stats.sent,
        finished: stats.acknowledged,
        open: stats.unacknowledged,
        bytes: stats.sent_bytes,
        open_bytes: stats.outbox_bytes as u64,
        limit: stats.outbox_limit as u64,
        oldest: stats.oldest_unacknowledged,
    };
    let received = Direction {
        messages: stats.received,
        finished: stats.handled,
        open: stats.received.saturating_sub(stats.handled),
        bytes: stats.received_bytes,
        open_bytes: stats.inbox_bytes as u64,
        limit: stats.inbox_limit as u64,
        oldest: stats.oldest_unhandled,
    };
    Traffic {
        sent,
        received,
        held: stats.held,
        redelivered: stats.redelivered,
        highest_attempt: stats.highest_attempt,
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
