//! Going on with another link.

use super::entry::Entry;
use super::returned::GivenBack;
use super::{Carried, Outbox};
use crate::error::ProtocolError;

impl Outbox {
    /// Goes on at `next` on a new link to the same host.
    pub(crate) fn rewind(&mut self, next: u64) -> Result<(), ProtocolError> {
        let sent = self.queue.entries.iter().take_while(|entry| entry.transmitted).count();
        let cursor = self.queue.entries.partition_point(|entry| entry.first < next);
        if cursor > sent || self.queue.first_at(cursor) != next {
            return Err(ProtocolError::Handshake(
                "the other side expects a message that was never sent",
            ));
        }
        self.go_back(cursor);
        Ok(())
    }

    /// Nothing from the entry at `cursor` on is on a link.
    pub(super) fn go_back(&mut self, cursor: usize) {
        self.queue.set_cursor(cursor);
        self.turn_into_gaps();
        let transmitted: usize =
            self.queue.entries.range(..self.queue.cursor).map(Entry::cost).sum();
        self.in_flight = transmitted + self.carried.map_or(0, |carried| carried.cost);
        self.alone = self.queue.entries.range(..self.queue.cursor).any(|entry| entry.alone);
    }

    /// Starts over at `first` with a peer that never attached. So nothing has a number for it yet.
    pub(crate) fn renumber(&mut self, first: u64) {
        // If the numbers stay, a link that this hello did not know of may have carried something.
        let renumbered = self.base() != first;
        debug_assert!(self.given_back.is_empty(), "a peer that never attached gives nothing back");
        self.queue.first = first;
        self.queue.next = first;
        self.withdrawn = self.gaps as u64;
        self.queue.set_cursor(0);
        self.in_flight = 0;
        self.alone = false;
        self.carried = None;
        for entry in &mut self.queue.entries {
            entry.first = self.queue.next;
            self.queue.next = entry.next();
            entry.transmitted &= !renumbered;
        }
    }

    /// The other side has heard the end of this direction from an earlier host and takes no more.
    pub(crate) fn conclude(&mut self) {
        self.finished = true;
        self.queue.next = self.base();
        self.queue.entries.clear();
        self.queue.payloads.clear();
        (self.cost, self.gaps, self.withdrawn) = (0, 0, 0);
        self.given_back = GivenBack::default();
    }

    /// The other side still holds `cost` bytes that an earlier host sent, the last of them
    /// `through`.
    pub(crate) fn carry(&mut self, through: u64, cost: usize) {
        if cost > 0 {
            self.carried = Some(Carried { through, cost });
            self.in_flight += cost;
        }
    }
}
