//! Messages that the receiver gives back while they are on the link.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::{Content, Entry, Outbox};
use crate::error::ProtocolError;
use crate::pack::Pack;
use crate::session::message_cost;

/// What is known of single messages in packs, which are one entry for all; only of unacknowledged ones.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    /// Which attempt their delivery is now.
    attempts: BTreeMap<u64, u8>,
    /// Nobody is to deliver them again; with what they cost.
    gone: BTreeMap<u64, usize>,
    /// Entries that are taken out as a whole.
    taken_out: usize,
    /// What all that is out costs.
    cost: usize,
}

impl GivenBack {
    #[inline]
    pub(super) fn acknowledge(&mut self, through: u64) {
        while self.attempts.first_key_value().is_some_and(|(seq, _)| *seq <= through) {
            self.attempts.pop_first();
        }
        while let Some(gone) = self.gone.first_entry().filter(|gone| *gone.key() <= through) {
            self.cost -= gone.remove();
        }
    }

    /// An entry that cost so much is acknowledged, or a gap.
    pub(super) fn no_longer_out(&mut self, cost: usize) {
        self.taken_out -= 1;
        self.cost -= cost;
    }

    pub(super) fn attempt(&self, seq: u64) -> u8 {
        self.attempts.get(&seq).copied().unwrap_or(1)
    }

    pub(super) fn is_gone(&self, seq: u64) -> bool {
        self.gone.contains_key(&seq)
    }

    /// The first of these that is not gone.
    pub(super) fn first_left(&self, mut seqs: Range<u64>) -> Option<u64> {
        seqs.find(|seq| !self.is_gone(*seq))
    }

    /// Messages that are out.
    pub(super) fn count(&self) -> usize {
        self.taken_out + self.gone.len()
    }

    /// What they cost.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether the receiver has given nothing back that is unacknowledged in a pack, and nothing as a whole for good.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty() && !self.has_gone()
    }

    /// Whether something is known of a message among these.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        let seqs = entry.first..entry.next();
        self.attempts.range(seqs.clone()).next().is_some() || self.gone.range(seqs).next().is_some()
    }

    pub(super) fn has_gone(&self) -> bool {
        self.taken_out > 0 || !self.gone.is_empty()
    }
}

/// How a message was taken out of the outbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TakenOut {
    /// These are its bytes.
    Bytes(Bytes),
    /// It is out already.
    Before,
    /// It is acknowledged: a release has overtaken the frame.
    Acknowledged,
    /// Its bytes lie only in the link's store, in what ends here.
    InStore(u64),
}

impl Outbox {
    /// The entry of a message that is on the link; `None` if it is acknowledged.
    fn in_flight_entry(&self, seq: u64) -> Result<Option<usize>, ProtocolError> {
        if seq < self.base() {
            return Ok(None);
        }
        let index = self.entries.partition_point(|entry| entry.next() <= seq);
        match self.entries.get(index).filter(|_| index < self.cursor) {
            Some(entry) if entry.content != Content::Fin => Ok(Some(index)),
            _ => Err(ProtocolError::Unexpected("a message given back that was never sent")),
        }
    }

    /// Whether this message, which is on the link, is acknowledged or taken out.
    pub(crate) fn is_out(&self, seq: u64) -> Result<bool, ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(true) };
        let content = self.entries[index].content;
        Ok(matches!(content, Content::Withdrawn | Content::TakenOut) || self.given_back.is_gone(seq))
    }

    /// The receiver delivers this message again, after this attempt.
    pub(crate) fn count(&mut self, seq: u64, attempt: u8) -> Result<(), ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(()) };
        let (next, entry) = (attempt.saturating_add(1), &mut self.entries[index]);
        let counted = if entry.is_packed() {
            self.given_back.attempts.entry(seq).or_insert(1)
        } else {
            &mut entry.attempt
        };
        *counted = next.max(*counted);
        if std::mem::take(&mut self.entries[index].alone) {
            // Its host lives, and may take its time: the others need not wait for that.
            self.alone = false;
        }
        Ok(())
    }

    /// Nobody is to deliver this message again. `stored` is what the link's store has, if it was asked for.
    pub(crate) fn take_out(&mut self, seq: u64, stored: Option<Bytes>) -> Result<TakenOut, ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(TakenOut::Acknowledged) };
        if self.is_out(seq)? {
            return Ok(TakenOut::Before);
        }
        let entry = &self.entries[index];
        let place = self.messages_before(index);
        let bytes = match (entry.content, stored) {
            (Content::Stored, None) => return Ok(TakenOut::InStore(entry.end)),
            (Content::Stored, Some(stored)) => entry.checked(stored)?,
            _ => self.payloads.get(place).cloned().unwrap_or_default(),
        };
        if entry.is_packed() {
            let pack = Pack::of_own(bytes, entry.count.into());
            let message = pack.into_messages().nth((seq - entry.first) as usize).unwrap_or_default();
            let cost = message_cost(message.len());
            self.given_back.gone.insert(seq, cost);
            self.given_back.cost += cost;
            self.withdrawn += 1;
            return Ok(TakenOut::Bytes(message));
        }
        if entry.content == Content::Message {
            self.payloads.remove(place);
            self.payload_cursor -= 1;
        }
        self.entries[index].content = Content::TakenOut;
        self.given_back.taken_out += 1;
        self.given_back.cost += self.entries[index].cost();
        self.withdrawn += 1;
        Ok(TakenOut::Bytes(bytes))
    }

    /// What is taken out and not on the new link is a gap there. (What the other side has stays as it is.)
    pub(super) fn turn_into_gaps(&mut self) {
        if self.given_back.taken_out == 0 {
            return;
        }
        let cursor = self.cursor;
        for entry in self.entries.range_mut(cursor..).filter(|entry| entry.content == Content::TakenOut) {
            self.given_back.no_longer_out(entry.cost());
            self.cost -= entry.held();
            entry.content = Content::Withdrawn;
            self.cost += entry.held();
            self.gaps += 1;
        }
    }

    /// Whether the receiver has given something back, and so is attached for certain.
    pub(crate) fn has_given_back(&self) -> bool {
        !self.given_back.is_empty()
    }

    /// How many messages are out, and what they cost, from the entries; for the check of the sums.
    pub(super) fn taken_out(&self) -> (usize, usize) {
        let out = self.entries.iter().filter(|entry| entry.content == Content::TakenOut);
        let costs = out.map(Entry::cost).chain(self.given_back.gone.values().copied());
        costs.fold((0, 0), |(count, sum), cost| (count + 1, sum + cost))
    }
}
