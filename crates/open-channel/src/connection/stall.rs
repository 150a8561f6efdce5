//! A socket whose messages make no progress, as it is reported.

use std::time::Duration;

use open_channel_proto::SocketId;

/// A socket on which no sent message is acknowledged, as of the check that found this; from
/// [`Event::Stalled`](crate::Event::Stalled) and [`Socket::stalled`](crate::Socket::stalled).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The socket.
    pub socket: SocketId,
    /// Whether this is the listener's end, whose messages its peer does not acknowledge.
    pub accepted: bool,
    /// Generation of the host that it is or was last connected to; 0 before the first.
    pub generation: u64,
    /// Age of the oldest message, at least `stall_after`. [`SocketStats`](crate::SocketStats)
    /// states its accuracy.
    pub oldest: Duration,
    /// The number of messages that are not acknowledged.
    pub messages: u64,
    /// The bytes that they take in the outbox.
    pub bytes: usize,
}

/// The end of a stall; from [`Event::StallEnded`](crate::Event::StallEnded).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StallEnd {
    /// The socket.
    pub socket: SocketId,
    /// As [`Stall::accepted`].
    pub accepted: bool,
    /// For how long there was no progress.
    pub lasted: Duration,
    /// Whether a message was acknowledged after all. If not, the socket is over, or all messages
    /// that waited were taken back or given up.
    pub acknowledged: bool,
}
