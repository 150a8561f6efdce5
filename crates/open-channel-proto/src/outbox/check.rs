//! Checks the sums of an outbox against its entries; for tests.

use super::Outbox;
use super::entry::{Content, Entry};

impl Outbox {
    /// The window invariant: `in_flight` is what is transmitted and unacknowledged, no more and no
    /// less.
    pub(crate) fn assert_credit_is_conserved(&self) {
        let transmitted: usize =
            self.queue.entries.range(..self.queue.cursor).map(Entry::cost).sum();
        let carried = self.carried.map_or(0, |carried| carried.cost);
        assert_eq!(self.in_flight, transmitted + carried, "window credit leaked");
        assert_eq!(
            self.cost,
            self.queue.entries.iter().map(Entry::held).sum::<usize>(),
            "outbox room leaked"
        );
        let gaps =
            self.queue.entries.iter().filter(|entry| entry.content == Content::Withdrawn).count();
        assert_eq!(self.gaps, gaps, "a gap too many or too few");
        let (out, out_cost) = self.taken_out();
        assert_eq!(
            (self.given_back.count(), self.given_back.cost()),
            (out, out_cost),
            "a message taken out"
        );
        let payloads = (self.queue.payload_cursor, self.queue.payloads.len());
        let messages = (
            self.queue.messages_before(self.queue.cursor),
            self.queue.messages_before(self.queue.entries.len()),
        );
        assert_eq!(payloads, messages, "a payload without its entry, or the other way round");
    }

    /// How many messages are out, and their cost, from the entries.
    fn taken_out(&self) -> (usize, usize) {
        let out = self.queue.entries.iter().filter(|entry| entry.content == Content::TakenOut);
        let costs = out.map(Entry::cost).chain(self.given_back.gone.values().copied());
        costs.fold((0, 0), |(count, sum), cost| (count + 1, sum + cost))
    }
}
