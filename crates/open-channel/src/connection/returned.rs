//! Messages that come back to their sender, because nobody will handle them.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use open_channel_proto::{GivenUp, MESSAGE_OVERHEAD, SocketId, Undeliverable};

/// Numbers that no flush has reported yet, at most; beyond them, the oldest are never reported.
const MOST_UNREPORTED: usize = 4096;

fn cost(message: &Undeliverable) -> usize {
    message.payload.len() + MESSAGE_OVERHEAD
}

/// What came back to one socket.
#[derive(Debug, Default)]
pub(super) struct Returned {
    messages: VecDeque<Undeliverable>,
    /// What they cost together.
    cost: usize,
    /// Those that no flush has reported.
    unreported: VecDeque<u64>,
    /// Somebody who waits for them has something to look at.
    pub(super) news: bool,
    /// Who polls for them.
    pub(super) waker: Option<Waker>,
}

impl Returned {
    /// Another one; the oldest go when all together exceed `limit`.
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

    /// A message that was taken back for somebody who did not wait for it.
    pub(super) fn fetch_taken_back(&mut self, seq: u64) -> Option<Bytes> {
        let is_it = |message: &Undeliverable| message.seq == seq && message.reason == GivenUp::TakenBack;
        let place = self.messages.iter().position(is_it)?;
        let message = self.messages.remove(place)?;
        self.cost -= cost(&message);
        Some(message.payload)
    }

    /// How many of the messages before number `end` came back, and were not reported before.
    pub(super) fn report(&mut self, end: u64) -> u64 {
        let before = self.unreported.len();
        self.unreported.retain(|seq| *seq >= end);
        (before - self.unreported.len()) as u64
    }
}
