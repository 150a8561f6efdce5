//! Sending on a link without a store, in frames.

use super::Outbox;
use super::entry::{Content, Entry};
use crate::frame::{DataFlags, Frame, MAX_CHUNK, encode_data};
use crate::transmit::TransmitBuffer;
use crate::version::ATTEMPTS;

impl Outbox {
    /// Whether something may go on the link now.
    pub(crate) fn is_sendable(&self, window: usize) -> bool {
        self.queue.entries.get(self.queue.cursor).is_some_and(|entry| self.fits(entry, window))
    }

    pub(super) fn fits(&self, entry: &Entry, window: usize) -> bool {
        self.queue.offset > 0
            || self.in_flight == 0
            || !(self.alone || self.max_attempts.is_some() && entry.goes_alone())
                && self.in_flight.saturating_add(entry.cost()) <= window
    }

    /// Whether what is in flight holds the rest back until it is acknowledged.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Puts what the window allows on the link.
    pub(crate) fn transmit(&mut self, window: usize, out: &mut TransmitBuffer) {
        while !out.is_full() && self.is_sendable(window) {
            let entry = &mut self.queue.entries[self.queue.cursor];
            entry.transmitted = true;
            let (seq, packed) = (entry.first, entry.is_packed());
            let whole = match entry.content {
                // A link without a store has nothing stored.
                Content::Stored | Content::TakenOut => return,
                Content::Withdrawn => {
                    Frame::Skip { seq }.encode(out);
                    true
                }
                Content::Fin => {
                    Frame::Fin { seq }.encode(out);
                    true
                }
                Content::Message => {
                    let Some(payload) = self.queue.payloads.get(self.queue.payload_cursor) else {
                        return;
                    };
                    let start = self.queue.offset;
                    let end = payload.len().min(start + MAX_CHUNK);
                    let flags = DataFlags {
                        first: start == 0,
                        last: end == payload.len(),
                        redelivered: entry.attempt > 1,
                        packed,
                        attempt: if self.version < ATTEMPTS { 0 } else { entry.attempt },
                    };
                    encode_data(out, seq, flags, payload.len() as u64, payload, start..end);
                    self.queue.offset = end;
                    flags.last
                }
            };
            if whole {
                self.advance();
            }
        }
    }
}
