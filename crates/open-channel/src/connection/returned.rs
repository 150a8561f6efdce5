//! Messages that come back to their sender, because nobody will handle them.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use open_channel_proto::{GivenUp, MESSAGE_OVERHEAD, SocketId, Undeliverable};

/// Limit of the numbers that no flush has reported yet. Beyond it, the oldest are never reported.
const MOST_UNREPORTED: usize = 4096;

fn cost(message: &Undeliverable) -> usize {
    message.payload.len() + MESSAGE_OVERHEAD
}

/// The messages that came back to one socket.
#[derive(Debug, Default)]
pub(super) struct Returned {
    messages: VecDeque<Undeliverable>,
    /// The bytes that they count together.
    cost: usize,
    /// Those that no flush has reported.
    unreported: VecDeque<u64>,
    /// A waiter has a message or an error to take.
    pub(super) news: bool,
    /// The waker of the call that polls for them.
    pub(super) waker: Option<Waker>,
}

impl Returned {
    /// Adds one; the oldest are dropped when all together exceed `limit`.
    pub(super) fn push(&mut self, socket: SocketId, message: Undeliverable, limit: usize) {
        let Undeliverable { seq, attempts, ref reason, .. } = message;
        let counts = *reason != GivenUp::TakenBack;
        if counts {
            tracing::warn!(%socket, seq, attempts, %reason, "a message is undeliverable");
        }
        self.cost += cost(&message);
        self.messages.push_back(message);
        while self.cost > limit && self.messages.len() > 1 {
            let Some(Undeliverable { seq, .. }) = self.pop() else { break };
            tracing::warn!(%socket, seq, "an undeliverable message that nobody fetched is dropped");
        }
        if counts {
            self.unreported.push_back(seq);
        }
        if self.unreported.len() > MOST_UNREPORTED {
            self.unreported.pop_front();
        }
        self.news = true;
    }

    pub(super) fn pop(&mut self) -> Option<Undeliverable> {
        let message = self.messages.pop_front()?;
        self.cost -= cost(&message);
        Some(message)
    }

    /// A message that was taken back for a call that was dropped.
    pub(super) fn fetch_taken_back(&mut self, seq: u64) -> Option<Bytes> {
        let is_it =
            |message: &Undeliverable| message.seq == seq && message.reason == GivenUp::TakenBack;
        let place = self.messages.iter().position(is_it)?;
        let message = self.messages.remove(place)?;
        self.cost -= cost(&message);
        Some(message.payload)
    }

    /// The number of messages before `end` that came back and were not reported before.
    pub(super) fn report(&mut self, end: u64) -> u64 {
        let before = self.unreported.len();
        self.unreported.retain(|seq| *seq >= end);
        (before - self.unreported.len()) as u64
    }
}
