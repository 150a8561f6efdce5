//! The session on a link with a store.

use bytes::BytesMut;

use super::Session;
use crate::error::ProtocolError;
use crate::limits::message_cost;
use crate::part::{Part, PartKind, ReceivedPart, StoredPart};

/// The calls for a link with a store: messages go there in parts, and frames carry the rest.
impl Session {
    /// The link that was just attached has a store.
    pub fn use_store(&mut self) {
        self.outbox.use_store();
    }

    /// The next part for the store, at most `max` bytes of it.
    pub fn next_part(&self, max: usize) -> Option<Part<'_>> {
        let link = self.link.filter(|_| !self.ending.is_over())?;
        self.outbox.next_part(link.window, max)
    }

    /// `len` bytes of the [next part](Self::next_part) are in the store now and end at `end`, which
    /// grows.
    pub fn part_stored(&mut self, len: usize, end: u64) {
        self.outbox.part_stored(len, end);
    }

    /// Whether a message of `len` bytes may be written to the store before it is sent.
    pub fn may_store(&self, len: usize) -> bool {
        self.may_store_pack(len, message_cost(len))
    }

    /// Whether messages of this `cost` together, the longest of `longest` bytes, may be written to
    /// the store before they are sent.
    #[inline]
    pub fn may_store_pack(&self, longest: usize, cost: usize) -> bool {
        !self.ending.is_over()
            && longest <= self.max_message()
            && self.outbox.has_store()
            && self.link.is_some_and(|link| self.outbox.may_store(cost, link.window))
    }

    /// Accepts a message that lies in the store already, after [`may_store`](Self::may_store).
    pub fn message_stored(&mut self, len: usize, end: u64) -> u64 {
        self.pack_stored(len, 1, end)
    }

    /// Accepts `count` messages that lie in the store already, in one [`Pack`](crate::Pack) of
    /// `len` bytes, after [`may_store_pack`](Self::may_store_pack); returns the first one's
    /// sequence number.
    #[inline]
    pub fn pack_stored(&mut self, len: usize, count: u32, end: u64) -> u64 {
        self.outbox.push_stored(len, count, end)
    }

    /// The other side has released the store up to `upto`.
    ///
    /// # Errors
    /// If it cannot have.
    #[inline]
    pub fn released(&mut self, upto: u64) -> Result<(), ProtocolError> {
        self.outbox.released(upto)?;
        self.settle();
        Ok(())
    }

    /// Where the store has to be released up to so that everything before sequence number `next` is
    /// acknowledged; 0 if that is not in the store (yet).
    pub fn stored_end(&self, next: u64) -> u64 {
        self.outbox.stored_end(next)
    }

    /// Takes a part that arrived through the store; `fill` appends its bytes.
    ///
    /// # Errors
    /// If the other side broke the protocol; `fill` was not called then.
    pub fn receive_part(
        &mut self,
        part: ReceivedPart,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), ProtocolError> {
        if self.ending.is_over() {
            return Ok(());
        }
        self.inbox.part(part, fill)?;
        if part.kind == PartKind::Skip {
            self.settle();
        }
        Ok(())
    }

    /// Whether [`receive_apart`](Self::receive_apart) may take the next message in the store, a
    /// [whole](crate::PartKind::Whole) one of `len` bytes that is no pack. It may not if something
    /// is [readable](Self::is_readable), which would come before it, or if the other side broke the
    /// protocol. [`receive_part`](Self::receive_part) handles both.
    #[inline]
    pub fn may_receive_apart(&self, len: usize) -> bool {
        !self.ending.is_over() && self.inbox.may_take_apart(len)
    }

    /// Takes a message whose bytes stay with the caller and end at `end` in the store, after
    /// [`may_receive_apart`](Self::may_receive_apart). The application has it from here on. Returns
    /// its sequence number.
    #[inline]
    pub fn receive_apart(&mut self, len: usize, end: u64) -> u64 {
        self.inbox.part_apart(len, end)
    }

    /// Everything before this position of the other side's store is handled; 0 if nothing is.
    #[inline]
    pub fn releasable(&self) -> u64 {
        self.inbox.releasable()
    }

    /// The store is given up, and no more of it can be claimed: takes back what lay in it. `parts`
    /// has each part in it that [completes](crate::PartKind::completes) something, oldest first.
    ///
    /// The other side may have gone on releasing: call [`released`](Self::released) once more after
    /// gathering `parts` and before this. Call [`detach`](Self::detach) after it.
    ///
    /// # Errors
    /// If the other side has destroyed what it was given; messages are lost then.
    pub fn reclaim(
        &mut self,
        parts: impl IntoIterator<Item = StoredPart>,
    ) -> Result<(), ProtocolError> {
        self.inbox.forget_store();
        self.outbox.reclaim(parts)
    }
}
