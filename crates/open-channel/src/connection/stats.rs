//! The statistics of a socket, for people and for programs that show them.

use std::time::Duration;

use open_channel_proto::SocketId;

use crate::link::{LinkKind, PeerInfo};

/// Statistics of one socket; from [`Socket::stats`](crate::Socket::stats).
///
/// Messages are counted by their sequence numbers, so that counting costs nothing. The host's end
/// counts those of this host's time. The bytes of messages that wait count with
/// [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD) on top of each message's length.
///
/// Ages come from regular checks, so that an age is less than the true one by at most the time
/// between two checks. That is an eighth of [`stall_after`](crate::Builder::stall_after), or a
/// second if that is less. Time in which this process was stopped does not count. After a long
/// backlog, an age may be less exact. It is never more than the true one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// The socket.
    pub id: SocketId,
    /// Whether this is the listener's end, and not the one from
    /// [`connect`](crate::Channel::connect).
    pub accepted: bool,
    /// The kind of link; `None` while there is no connection.
    pub link: Option<LinkKind>,
    /// The process on the other side; `None` while there is no connection.
    pub peer: Option<PeerInfo>,
    /// The number of connections that it has had.
    pub links: u64,
    /// Generation of the host that it is or was last connected to; 0 before the first.
    pub generation: u64,
    /// Messages accepted for sending.
    pub sent: u64,
    /// Bytes of the messages accepted for sending, without any overhead.
    pub sent_bytes: u64,
    /// The number of them that the other side has acknowledged.
    pub acknowledged: u64,
    /// The number of them that it has not acknowledged and still may. A message that was taken
    /// back, or that is [undeliverable](crate::Socket::undeliverable), is in neither number.
    pub unacknowledged: u64,
    /// Bytes that the unacknowledged ones take in the outbox. A message that was taken back may
    /// count for a moment longer.
    pub outbox_bytes: usize,
    /// Limit of these bytes, at which `send` waits; see
    /// [`outbox_bytes`](crate::Builder::outbox_bytes).
    pub outbox_limit: usize,
    /// Messages taken from the link. On a ring, a message stays in the ring until the application
    /// takes it.
    pub received: u64,
    /// Bytes of the messages that the application got, without any overhead. One that came twice
    /// counts twice.
    pub received_bytes: u64,
    /// The number of them that are handled, up to the oldest one that is not.
    pub handled: u64,
    /// Messages that the application has taken and neither acknowledged nor dropped.
    pub held: u64,
    /// Bytes of the messages received and not handled.
    pub inbox_bytes: usize,
    /// Limit of these bytes, at which the other side stops sending; see
    /// [`receive_window`](crate::Builder::receive_window).
    pub inbox_limit: usize,
    /// Messages that the application got with the [`redelivered`](crate::Message::redelivered)
    /// mark.
    pub redelivered: u64,
    /// The highest [attempt](crate::Message::attempt) among these; 0 without any.
    pub highest_attempt: u32,
    /// Age of the oldest message that the other side has not acknowledged.
    pub oldest_unacknowledged: Option<Duration>,
    /// Time since the arrival of the oldest message that this side has not handled: the application
    /// holds it, or has not taken it yet.
    pub oldest_unhandled: Option<Duration>,
    /// The time without progress while the socket is [stalled](crate::Event::Stalled).
    pub stalled: Option<Duration>,
}
