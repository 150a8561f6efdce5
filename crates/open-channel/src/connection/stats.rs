//! What a socket is doing, for people and for programs that show it to them.

use std::time::Duration;

use open_channel_proto::SocketId;

use crate::link::{LinkKind, PeerInfo};

/// What one socket is doing; from [`Socket::stats`](crate::Socket::stats).
///
/// Messages are counted by their sequence numbers, so that counting costs nothing. The host's end
/// counts those of this host's time. There are no sums of bytes, only those that wait now, each
/// message with [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD) on top of its length.
///
/// Ages come from regular looks. An age is less than the true one by the time between two looks at
/// most: an eighth of [`stall_after`](crate::Builder::stall_after), or a second if that is less.
/// Time in which this process was stopped does not count. After a long backlog, the age of a
/// message may be less exact, and is never more than the true one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// The socket.
    pub id: SocketId,
    /// Whether this is the end that a listener was given, and not the one from
    /// [`connect`](crate::Channel::connect).
    pub accepted: bool,
    /// What carries it; `None` while there is no connection.
    pub link: Option<LinkKind>,
    /// Who is on the other side; `None` while there is no connection.
    pub peer: Option<PeerInfo>,
    /// Connections that it has had.
    pub links: u64,
    /// Generation of the host that it is or was last connected to; 0 before the first.
    pub generation: u64,
    /// Messages accepted for sending.
    pub sent: u64,
    /// Those of them that the other side has acknowledged.
    pub acknowledged: u64,
    /// Those of them that it has not acknowledged and still may. A message that was taken back, or
    /// that is [undeliverable](crate::Socket::undeliverable), is in neither number.
    pub unacknowledged: u64,
    /// Bytes that the unacknowledged ones take in the outbox. A message that was taken back may take
    /// some for a moment longer.
    pub outbox_bytes: usize,
    /// How many bytes make `send` wait; see [`outbox_bytes`](crate::Builder::outbox_bytes).
    pub outbox_limit: usize,
    /// Messages taken from the link. On a ring, a message stays where it is until the application
    /// takes it.
    pub received: u64,
    /// Those of them that are handled, up to the oldest one that is not.
    pub handled: u64,
    /// Messages that the application has taken and neither acknowledged nor dropped.
    pub held: u64,
    /// Bytes of the messages received and not handled.
    pub inbox_bytes: usize,
    /// How many of these bytes make the other side hold back; see
    /// [`receive_window`](crate::Builder::receive_window).
    pub inbox_limit: usize,
    /// Messages that the application was given with the
    /// [`redelivered`](crate::Message::redelivered) mark.
    pub redelivered: u64,
    /// Age of the oldest message that the other side has not acknowledged.
    pub oldest_unacknowledged: Option<Duration>,
    /// Time since the arrival of the oldest message that this side has not handled: held by the
    /// application, or not even taken.
    pub oldest_unhandled: Option<Duration>,
    /// While the socket is [stalled](crate::Event::Stalled): for how long there has been no
    /// progress.
    pub stalled: Option<Duration>,
}
