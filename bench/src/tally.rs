//! The messages that a host of many peers has received.

use crate::clock;
use crate::control::say;
use crate::job::Line;
use crate::payload::Payload;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A host's count of messages, over all connections.
pub(crate) struct Tally {
    expected: usize,
    arrived: AtomicUsize,
    finished: AtomicUsize,
    messages: AtomicU64,
    /// Messages of the peer that got fewest through.
    fewest: AtomicU64,
}

impl Tally {
    pub(crate) fn new(expected: usize) -> Tally {
        let (arrived, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Tally {
            expected,
            arrived,
            finished,
            messages: AtomicU64::new(0),
            fewest: AtomicU64::new(u64::MAX),
        }
    }

    /// How many connections there are to be.
    pub(crate) fn expected(&self) -> usize {
        self.expected
    }

    pub(crate) fn note(&self, payload: Payload) {
        if payload.number() == 0
            && self.arrived.fetch_add(1, Ordering::Relaxed) + 1 == self.expected
        {
            say(&Line::Settled);
        }
        if payload.is_last() {
            self.messages.fetch_add(payload.number(), Ordering::Relaxed);
            self.fewest.fetch_min(payload.number(), Ordering::Relaxed);
            if self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.expected {
                let end_nanos = clock::now();
                let (messages, fewest) =
                    (self.messages.load(Ordering::Relaxed), self.fewest.load(Ordering::Relaxed));
                say(&Line::FanIn { messages, fewest, end_nanos });
            }
        }
    }
}
