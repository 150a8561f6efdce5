//! Sending through the store of a link, and taking back what lay there.

use super::Outbox;
use super::entry::Content;
use crate::error::ProtocolError;
use crate::part::{Part, PartFlags, PartKind, StoredPart};

impl Outbox {
    /// The link has a store: messages go there in parts.
    pub(crate) fn use_store(&mut self) {
        self.store = true;
    }

    /// The next part for the store, at most `max` bytes of it.
    pub(crate) fn next_part(&self, window: usize, max: usize) -> Option<Part<'_>> {
        let entry =
            self.queue.entries.get(self.queue.cursor).filter(|entry| self.fits(entry, window))?;
        let empty = |kind| Some(Part { kind, flags: PartFlags::NONE, total: 0, payload: &[] });
        match entry.content {
            Content::Stored | Content::TakenOut => None,
            Content::Fin => empty(PartKind::End),
            Content::Withdrawn => empty(PartKind::Skip),
            Content::Message => {
                let payload = self.queue.payloads.get(self.queue.payload_cursor)?;
                let end = payload.len().min(self.queue.offset + max);
                let kind = match (self.queue.offset == 0, end == payload.len()) {
                    (true, true) => PartKind::Whole,
                    (true, false) => PartKind::First,
                    (false, false) => PartKind::Middle,
                    (false, true) => PartKind::Last,
                };
                let (total, payload) = (payload.len(), &payload[self.queue.offset..end]);
                let flags = PartFlags::new(self.version, entry.attempt.into(), entry.is_packed());
                Some(Part { kind, flags, total, payload })
            }
        }
    }

    /// `len` bytes of the [next part](Self::next_part) are in the store now and end at `end`.
    pub(crate) fn part_stored(&mut self, len: usize, end: u64) {
        let Some(entry) = self.queue.entries.get_mut(self.queue.cursor) else { return };
        if self.queue.offset == 0 {
            entry.transmitted_before = entry.transmitted;
        }
        entry.transmitted = true;
        let whole = match entry.content {
            // It went in one part, so the store is its only place from here on.
            Content::Message if entry.len == len => {
                entry.content = Content::Stored;
                self.queue.payloads.remove(self.queue.payload_cursor);
                true
            }
            Content::Message => {
                self.queue.offset += len;
                self.queue.offset == entry.len
            }
            Content::Fin | Content::Stored | Content::Withdrawn | Content::TakenOut => true,
        };
        if whole {
            entry.end = end;
            self.advance();
        }
    }

    /// Whether nothing waits for the store, so that something may be written there first.
    #[inline]
    pub(crate) fn may_store(&self, cost: usize, window: usize) -> bool {
        self.queue.cursor == self.queue.entries.len()
            && !self.finished
            && !self.alone
            && (self.in_flight == 0 || self.in_flight.saturating_add(cost) <= window)
    }

    /// Messages that were written to the store before they were accepted here.
    #[inline]
    pub(crate) fn push_stored(&mut self, len: usize, count: u32, end: u64) -> u64 {
        let first = self.queue.append(count, Content::Stored, len);
        if let Some(entry) = self.queue.entries.back_mut() {
            (entry.transmitted, entry.end) = (true, end);
            self.cost += entry.cost();
        }
        self.advance();
        first
    }

    /// The other side has released the store up to `upto`: what ends there is acknowledged, with
    /// all before it.
    pub(crate) fn released(&mut self, upto: u64) -> Result<(), ProtocolError> {
        let stored =
            self.queue.entries.range(..self.queue.cursor).skip_while(|entry| entry.end == 0);
        let last =
            stored.take_while(|entry| entry.end <= upto).last().map(|entry| entry.next() - 1);
        last.map_or(Ok(()), |through| self.acknowledge(through))
    }

    /// The store is given up: takes back what lay in it. `parts` has each record that completed
    /// something, oldest first.
    pub(crate) fn reclaim(
        &mut self,
        parts: impl IntoIterator<Item = StoredPart>,
    ) -> Result<(), ProtocolError> {
        self.store = false;
        let mut parts = parts.into_iter();
        // What the store gives back belongs between the payloads that are here.
        let waiting = self.queue.payloads.split_off(self.queue.payload_cursor);
        let mut here = std::mem::take(&mut self.queue.payloads).into_iter();
        let mut result = Ok(());
        for entry in self.queue.entries.range_mut(..self.queue.cursor) {
            let payload = match entry.content {
                Content::Message => here.next(),
                Content::Fin | Content::Stored | Content::Withdrawn | Content::TakenOut => None,
            };
            // After an error every entry still has its payload, or remains stored.
            let back = if entry.end == 0 { Ok(None) } else { entry.reclaim(&mut parts) };
            let back = back.unwrap_or_else(|error| {
                result = result.clone().and(Err(error));
                None
            });
            self.queue.payloads.extend(back.or(payload));
        }
        self.queue.payload_cursor = self.queue.payloads.len();
        self.queue.payloads.extend(waiting);
        // Nobody has seen a message that is only half in the store.
        if let Some(entry) = self.queue.entries.get_mut(self.queue.cursor)
            && self.queue.offset > 0
        {
            entry.transmitted = entry.transmitted_before;
        }
        result
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store
    }

    /// Where the store has to be released up to so that everything before `next` is acknowledged; 0
    /// if that is not in the store.
    pub(crate) fn stored_end(&self, next: u64) -> u64 {
        let last =
            self.queue.entries.get(self.queue.entries.partition_point(|entry| entry.next() < next));
        last.filter(|entry| entry.first < next).map_or(0, |entry| entry.end)
    }
}
