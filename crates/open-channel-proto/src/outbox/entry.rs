//! What was accepted in one piece and is not acknowledged: a message, a pack, the end, or a number that stands for nothing.

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::limits::message_cost;
use crate::pack::{Pack, is_of, pack_cost};
use crate::part::Kept;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A message, or a pack of several, in the queue of payloads.
    Message,
    Fin,
    /// Messages that lie in the link's store, and nowhere else.
    Stored,
    /// There was a message, which will not be delivered.
    Withdrawn,
    /// The same, on a link that has the message: it counts there until it is acknowledged.
    TakenOut,
}

/// Without the payload, because thousands of them may lie here for what is in the store: half as much memory to go through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) count: u16,
    pub(super) content: Content,
    /// Which attempt its delivery to this host is, or to the next; from 1, saturating.
    pub(super) attempt: u8,
    /// Of the payload.
    pub(super) len: usize,
    /// This host may have seen it.
    pub(super) transmitted: bool,
    /// Where it ends in the link's store; 0 if it is not there.
    pub(super) end: u64,
    /// This host may have seen it before it went to the store.
    pub(super) transmitted_before: bool,
    /// Nothing follows it onto the link before it is acknowledged.
    pub(super) alone: bool,
}

impl Entry {
    pub(super) const EMPTY: Entry = Entry {
        first: 0,
        count: 0,
        content: Content::Message,
        attempt: 1,
        len: 0,
        transmitted: false,
        end: 0,
        transmitted_before: false,
        alone: false,
    };

    pub(super) fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    pub(super) fn is_packed(&self) -> bool {
        self.count > 1
    }

    /// A message that some host may have seen: whatever it is that kills hosts, nothing else is to be blamed for it.
    pub(super) fn goes_alone(&self) -> bool {
        self.attempt > 1 && matches!(self.content, Content::Message | Content::Stored)
    }

    pub(super) fn cost(&self) -> usize {
        match self.content {
            Content::Message | Content::Stored | Content::TakenOut => pack_cost(self.len, self.count.into()),
            Content::Fin | Content::Withdrawn => 0,
        }
    }

    /// What it takes of the outbox: a number that stands for nothing is told to the other side, too.
    pub(super) fn held(&self) -> usize {
        if self.content == Content::Withdrawn { message_cost(0) } else { self.cost() }
    }

    /// Leaves the store; returns the payload if that lay nowhere else.
    pub(super) fn reclaim(
        &mut self,
        kept: &mut impl Iterator<Item = Kept>,
    ) -> Result<Option<Bytes>, ProtocolError> {
        let Some(found) = kept.find(|kept| kept.end >= self.end).filter(|kept| kept.end == self.end) else {
            return Err(ProtocolError::Unexpected("a record of the store that was destroyed"));
        };
        self.end = 0;
        // What no host has claimed is as good as never sent, on this link.
        self.transmitted = found.claimed || self.transmitted_before;
        if self.content != Content::Stored {
            return Ok(None);
        }
        let payload = self.checked(found.payload)?;
        self.content = Content::Message;
        Ok(Some(payload))
    }

    /// What the store has, if it can be what was put there.
    pub(super) fn checked(&self, stored: Bytes) -> Result<Bytes, ProtocolError> {
        if stored.len() != self.len || !is_of(&stored, self.count.into()) {
            return Err(ProtocolError::Unexpected("a record of the store that was changed"));
        }
        Ok(stored)
    }

    /// By the last host, or by one before it.
    pub(super) fn was_seen(&self) -> bool {
        self.transmitted || self.attempt > 1
    }

    /// What this host may have seen goes to the next one as another attempt.
    pub(super) fn lose_host(&mut self) {
        self.attempt = self.attempt.saturating_add(self.transmitted.into());
        (self.transmitted, self.transmitted_before, self.alone) = (false, false, false);
    }
}

const _: () = assert!(size_of::<Entry>() <= 32);

/// The messages of an entry, each in its own.
pub(super) fn taken_apart(entry: Entry, payload: Bytes) -> impl Iterator<Item = (Entry, Bytes)> {
    let pack = if entry.is_packed() { Pack::of_own(payload, entry.count.into()) } else { Pack::one(payload) };
    (entry.first..)
        .zip(pack.into_messages())
        .map(move |(first, message)| (Entry { first, count: 1, len: message.len(), ..entry }, message))
}
