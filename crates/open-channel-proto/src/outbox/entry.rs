//! An accepted piece that is not acknowledged: a message, a pack, the end, or a gap.

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::limits::message_cost;
use crate::pack::{Pack, is_of, pack_cost};
use crate::part::StoredPart;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A message, or a pack of several, in the queue of payloads.
    Message,
    Fin,
    /// Messages that lie only in the link's store.
    Stored,
    /// A gap: there was a message, which will not be delivered.
    Withdrawn,
    /// The same, while the link has the message: it counts there until it is acknowledged.
    TakenOut,
}

/// Without the payload. Thousands of entries may lie here for messages in the store, and half the
/// size is half the memory to walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) count: u16,
    pub(super) content: Content,
    /// Number of the attempt of its delivery to this host, or to the next one; from 1, saturating.
    pub(super) attempt: u8,
    /// Length of the payload.
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

    /// Whether some host may have seen the message. It goes alone then: if it crashes hosts, no
    /// other message is blamed for that.
    pub(super) fn goes_alone(&self) -> bool {
        self.attempt > 1 && matches!(self.content, Content::Message | Content::Stored)
    }

    pub(super) fn cost(&self) -> usize {
        match self.content {
            Content::Message | Content::Stored | Content::TakenOut => {
                pack_cost(self.len, self.count.into())
            }
            Content::Fin | Content::Withdrawn => 0,
        }
    }

    /// Its share of the outbox. A gap takes some, too, because the other side has to hear of
    /// it.
    pub(super) fn held(&self) -> usize {
        if self.content == Content::Withdrawn { message_cost(0) } else { self.cost() }
    }

    /// Leaves the store; returns the payload if that lay only there.
    pub(super) fn reclaim(
        &mut self,
        parts: &mut impl Iterator<Item = StoredPart>,
    ) -> Result<Option<Bytes>, ProtocolError> {
        let Some(found) =
            parts.find(|part| part.end >= self.end).filter(|part| part.end == self.end)
        else {
            return Err(ProtocolError::Unexpected("a record of the store that was destroyed"));
        };
        self.end = 0;
        // What no host has claimed counts as never sent, on this link.
        self.transmitted = found.claimed || self.transmitted_before;
        if self.content != Content::Stored {
            return Ok(None);
        }
        let payload = self.checked(found.payload)?;
        self.content = Content::Message;
        Ok(Some(payload))
    }

    /// The stored bytes, if they can be those that were put there.
    pub(super) fn checked(&self, stored: Bytes) -> Result<Bytes, ProtocolError> {
        if stored.len() != self.len || !is_of(&stored, self.count.into()) {
            return Err(ProtocolError::Unexpected("a record of the store that was changed"));
        }
        Ok(stored)
    }

    /// Whether the last host, or one before it, may have seen it.
    pub(super) fn was_seen(&self) -> bool {
        self.transmitted || self.attempt > 1
    }

    /// The next host gets what this one may have seen as another attempt.
    pub(super) fn lose_host(&mut self) {
        self.attempt = self.attempt.saturating_add(self.transmitted.into());
        (self.transmitted, self.transmitted_before, self.alone) = (false, false, false);
    }
}

const _: () = assert!(size_of::<Entry>() <= 32);

/// The messages of an entry, each in an entry of its own.
pub(super) fn taken_apart(entry: Entry, payload: Bytes) -> impl Iterator<Item = (Entry, Bytes)> {
    let pack = if entry.is_packed() {
        Pack::of_own(payload, entry.count.into())
    } else {
        Pack::one(payload)
    };
    (entry.first..).zip(pack.into_messages()).map(move |(first, message)| {
        (Entry { first, count: 1, len: message.len(), ..entry }, message)
    })
}
