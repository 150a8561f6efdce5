//! Messages that come back to their sender, because nobody will handle them.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
pub use open_channel_proto::GivenUp;
use open_channel_proto::{MESSAGE_OVERHEAD, SocketId};

use crate::socket::message::MessageId;

/// Numbers that a flush has not told of yet, at most; beyond them, the oldest are told of by nobody.
const MOST_UNTOLD: usize = 4096;

/// A message that was accepted for sending and is not delivered any more; from
/// [`Socket::undeliverable`](crate::Socket::undeliverable).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undeliverable {
    /// Its identity, as `send` told it and as every host has seen it.
    pub id: MessageId,
    /// How many attempts there were: the last one's [`Message::attempt`](crate::Message::attempt).
    pub attempts: u32,
    /// Why there is no other.
    pub reason: GivenUp,
    /// Its bytes.
    pub message: Bytes,
}

impl Undeliverable {
    fn cost(&self) -> usize {
        self.message.len() + MESSAGE_OVERHEAD
    }
}

/// What came back to one socket.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    messages: VecDeque<Undeliverable>,
    /// What they cost together.
    cost: usize,
    /// Those that no flush has told of.
    untold: VecDeque<u64>,
    /// Somebody who waits for them has something to look at.
    pub(crate) news: bool,
    /// Who polls for them.
    pub(crate) waker: Option<Waker>,
}

impl Returned {
    /// Another one; the oldest go when all together exceed `limit`.
    pub(crate) fn push(
        &mut self,
        socket: SocketId,
        returned: open_channel_proto::Undeliverable,
        limit: usize,
    ) {
        let open_channel_proto::Undeliverable { seq, attempts, reason, payload } = returned;
        let counts = reason != GivenUp::TakenBack;
        if counts {
            tracing::warn!(%socket, seq, attempts, %reason, "a message is undeliverable");
        }
        let id = MessageId { socket, seq };
        let message = Undeliverable { id, attempts, reason, message: payload };
        self.cost += message.cost();
        self.messages.push_back(message);
        while self.cost > limit && self.messages.len() > 1 {
            let Some(Undeliverable { id, .. }) = self.pop() else { break };
            tracing::warn!(%socket, seq = id.seq, "an undeliverable message that nobody fetched is dropped");
        }
        if counts {
            self.untold.push_back(seq);
        }
        if self.untold.len() > MOST_UNTOLD {
            self.untold.pop_front();
        }
        self.news = true;
    }

    pub(crate) fn pop(&mut self) -> Option<Undeliverable> {
        let message = self.messages.pop_front()?;
        self.cost -= message.cost();
        Some(message)
    }

    /// A message that was taken back for somebody who did not wait for it.
    pub(crate) fn fetch_taken_back(&mut self, seq: u64) -> Option<Bytes> {
        let is_it = |message: &Undeliverable| message.id.seq == seq && message.reason == GivenUp::TakenBack;
        let place = self.messages.iter().position(is_it)?;
        let message = self.messages.remove(place)?;
        self.cost -= message.cost();
        Some(message.message)
    }

    /// How many of the messages before number `end` came back, and were not told of before.
    pub(crate) fn tell(&mut self, end: u64) -> u64 {
        let before = self.untold.len();
        self.untold.retain(|seq| *seq >= end);
        (before - self.untold.len()) as u64
    }
}
