//! The statistics of a channel and its sockets, for people and for programs that show them.

use std::time::Duration;

use crate::channel::event::{Role, State};
use crate::connection::stats::SocketStats;

/// Statistics of a channel in this process; from [`Channel::stats`](crate::Channel::stats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// The channel's name.
    pub name: String,
    /// How far it is.
    pub state: State,
    /// The role of this process.
    pub role: Role,
    /// Generation of the present host; 0 if there is none.
    pub generation: u64,
    /// For how long this process has been the host; `None` if it is not.
    pub hosting: Option<Duration>,
    /// The sockets from [`connect`](crate::Channel::connect) that are not over, those that were
    /// dropped and still deliver among them.
    pub sockets: Vec<SocketStats>,
    /// The sockets that this process serves as the host.
    pub hosted: Vec<SocketStats>,
}

impl ChannelStats {
    /// The statistics of a channel that a forked child has inherited.
    pub(crate) fn inherited(name: &str) -> Self {
        Self {
            name: name.into(),
            state: State::Closed,
            role: Role::None,
            generation: 0,
            hosting: None,
            sockets: Vec::new(),
            hosted: Vec::new(),
        }
    }
}

impl ChannelStats {
    /// The sums of all sockets, of both kinds.
    pub fn totals(&self) -> Totals {
        Totals::of(self.sockets.iter().chain(&self.hosted))
    }
}

/// The sums of several sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// How many sockets they are.
    pub sockets: u64,
    /// How many of them are stalled.
    pub stalled: u64,
    /// As [`SocketStats::sent`].
    pub sent: u64,
    /// As [`SocketStats::sent_bytes`].
    pub sent_bytes: u64,
    /// As [`SocketStats::unacknowledged`].
    pub unacknowledged: u64,
    /// As [`SocketStats::outbox_bytes`].
    pub outbox_bytes: usize,
    /// As [`SocketStats::received`].
    pub received: u64,
    /// As [`SocketStats::received_bytes`].
    pub received_bytes: u64,
    /// As [`SocketStats::held`].
    pub held: u64,
    /// As [`SocketStats::inbox_bytes`].
    pub inbox_bytes: usize,
    /// As [`SocketStats::redelivered`].
    pub redelivered: u64,
    /// The highest [`SocketStats::highest_attempt`].
    pub highest_attempt: u32,
    /// The longest [`SocketStats::oldest_unacknowledged`].
    pub oldest_unacknowledged: Option<Duration>,
    /// The longest [`SocketStats::oldest_unhandled`].
    pub oldest_unhandled: Option<Duration>,
}

impl Totals {
    /// The sums of these sockets.
    pub fn of<'a>(sockets: impl IntoIterator<Item = &'a SocketStats>) -> Self {
        sockets.into_iter().fold(Self::default(), |sums, socket| Self {
            sockets: sums.sockets + 1,
            stalled: sums.stalled + u64::from(socket.stalled.is_some()),
            sent: sums.sent + socket.sent,
            sent_bytes: sums.sent_bytes + socket.sent_bytes,
            unacknowledged: sums.unacknowledged + socket.unacknowledged,
            outbox_bytes: sums.outbox_bytes + socket.outbox_bytes,
            received: sums.received + socket.received,
            received_bytes: sums.received_bytes + socket.received_bytes,
            held: sums.held + socket.held,
            inbox_bytes: sums.inbox_bytes + socket.inbox_bytes,
            redelivered: sums.redelivered + socket.redelivered,
            highest_attempt: sums.highest_attempt.max(socket.highest_attempt),
            oldest_unacknowledged: sums.oldest_unacknowledged.max(socket.oldest_unacknowledged),
            oldest_unhandled: sums.oldest_unhandled.max(socket.oldest_unhandled),
        })
    }
}
