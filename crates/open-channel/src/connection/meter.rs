//! The sums of connections that are gone, so that a channel's counters never go back.

use std::sync::{Mutex, PoisonError};

use crate::connection::stats::SocketStats;

/// What only grows in the statistics of sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) redelivered: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, stats: &SocketStats) {
        self.sent += stats.sent;
        self.sent_bytes += stats.sent_bytes;
        self.acknowledged += stats.acknowledged;
        self.received += stats.received;
        self.received_bytes += stats.received_bytes;
        self.redelivered += stats.redelivered;
    }
}

/// Of one channel in this process.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Sums>);

impl Meter {
    /// A connection is gone.
    pub(super) fn retire(&self, stats: &SocketStats) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(stats);
    }

    /// The sums of those that are gone.
    pub(crate) fn retired(&self) -> Sums {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
