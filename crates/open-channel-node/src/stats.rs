//! The library's statistics as JavaScript gets them: times in milliseconds, and what there is not
//! is left out.

use std::time::Duration;

use napi_derive::napi;
use open_channel::{SocketStats, Stall, StallEnd};

/// The state and the counters of one socket.
#[napi(object)]
pub struct NativeSocketStats {
    pub id: String,
    pub accepted: bool,
    pub link: Option<String>,
    pub peer_pid: Option<u32>,
    pub links: f64,
    pub generation: f64,
    pub sent: f64,
    pub sent_bytes: f64,
    pub acknowledged: f64,
    pub unacknowledged: f64,
    pub outbox_bytes: f64,
    pub outbox_limit: f64,
    pub received: f64,
    pub received_bytes: f64,
    pub handled: f64,
    pub held: f64,
    pub inbox_bytes: f64,
    pub inbox_limit: f64,
    pub redelivered: f64,
    pub highest_attempt: u32,
    pub oldest_unacknowledged: Option<f64>,
    pub oldest_unhandled: Option<f64>,
    pub stalled: Option<f64>,
}

impl From<SocketStats> for NativeSocketStats {
    fn from(stats: SocketStats) -> Self {
        Self {
            id: stats.id.to_string(),
            accepted: stats.accepted,
            link: stats.link.map(|kind| kind.name().to_owned()),
            peer_pid: stats.peer.and_then(|peer| peer.process_id()),
            links: stats.links as f64,
            generation: stats.generation as f64,
            sent: stats.sent as f64,
            sent_bytes: stats.sent_bytes as f64,
            acknowledged: stats.acknowledged as f64,
            unacknowledged: stats.unacknowledged as f64,
            outbox_bytes: stats.outbox_bytes as f64,
            outbox_limit: stats.outbox_limit as f64,
            received: stats.received as f64,
            received_bytes: stats.received_bytes as f64,
            handled: stats.handled as f64,
            held: stats.held as f64,
            inbox_bytes: stats.inbox_bytes as f64,
            inbox_limit: stats.inbox_limit as f64,
            redelivered: stats.redelivered as f64,
            highest_attempt: stats.highest_attempt,
            oldest_unacknowledged: stats.oldest_unacknowledged.map(millis),
            oldest_unhandled: stats.oldest_unhandled.map(millis),
            stalled: stats.stalled.map(millis),
        }
    }
}

/// The state of a channel in this process.
#[napi(object)]
pub struct NativeChannelStats {
    pub hosting: Option<f64>,
    pub sockets: Vec<NativeSocketStats>,
    pub hosted: Vec<NativeSocketStats>,
}

impl From<open_channel::ChannelStats> for NativeChannelStats {
    fn from(stats: open_channel::ChannelStats) -> Self {
        let all = |sockets: Vec<SocketStats>| sockets.into_iter().map(Into::into).collect();
        Self {
            hosting: stats.hosting.map(millis),
            sockets: all(stats.sockets),
            hosted: all(stats.hosted),
        }
    }
}

/// A stall, or the end of one.
#[napi(object)]
pub struct NativeStall {
    pub id: String,
    pub accepted: bool,
    pub oldest: Option<f64>,
    pub messages: Option<f64>,
    pub bytes: Option<f64>,
    pub lasted: Option<f64>,
    pub acknowledged: Option<bool>,
}

impl From<Stall> for NativeStall {
    fn from(stall: Stall) -> Self {
        Self {
            id: stall.socket.to_string(),
            accepted: stall.accepted,
            oldest: Some(millis(stall.oldest)),
            messages: Some(stall.messages as f64),
            bytes: Some(stall.bytes as f64),
            lasted: None,
            acknowledged: None,
        }
    }
}

impl From<StallEnd> for NativeStall {
    fn from(end: StallEnd) -> Self {
        Self {
            id: end.socket.to_string(),
            accepted: end.accepted,
            oldest: None,
            messages: None,
            bytes: None,
            lasted: Some(millis(end.lasted)),
            acknowledged: Some(end.acknowledged),
        }
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
