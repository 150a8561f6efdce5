//! Messages that the receiver gives back while they are on the link.

use bytes::Bytes;

use super::Outbox;
use super::entry::Content;
use crate::error::ProtocolError;
use crate::limits::message_cost;
use crate::pack::Pack;

/// How a message was taken out of the outbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TakenOut {
    /// These are its bytes.
    Bytes(Bytes),
    /// It is out already.
    Before,
    /// It is acknowledged: a release has overtaken the frame.
    Acknowledged,
    /// Its bytes lie only in the link's store, in the record that ends here.
    InStore(u64),
}

impl Outbox {
    /// The receiver delivers this message again, after this attempt.
    pub(crate) fn count(&mut self, seq: u64, attempt: u8) -> Result<(), ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(()) };
        let (next, entry) = (attempt.saturating_add(1), &mut self.queue.entries[index]);
        let counted = if entry.is_packed() {
            self.given_back.attempts.entry(seq).or_insert(1)
        } else {
            &mut entry.attempt
        };
        *counted = next.max(*counted);
        if std::mem::take(&mut self.queue.entries[index].alone) {
            // Its host lives, and may take its time: the others need not wait for that.
            self.alone = false;
        }
        Ok(())
    }

    /// Nobody is to deliver this message again. `stored` has the bytes of the link's store, if they
    /// were asked for.
    pub(crate) fn take_out(
        &mut self,
        seq: u64,
        stored: Option<Bytes>,
    ) -> Result<TakenOut, ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(TakenOut::Acknowledged) };
        if self.is_out(seq)? {
            return Ok(TakenOut::Before);
        }
        let entry = &self.queue.entries[index];
        let place = self.queue.messages_before(index);
        let bytes = match (entry.content, stored) {
            (Content::Stored, None) => return Ok(TakenOut::InStore(entry.end)),
            (Content::Stored, Some(stored)) => entry.checked(stored)?,
            _ => self.queue.payloads.get(place).cloned().unwrap_or_default(),
        };
        if entry.is_packed() {
            let pack = Pack::of_own(bytes, entry.count.into());
            let message =
                pack.into_messages().nth((seq - entry.first) as usize).unwrap_or_default();
            let cost = message_cost(message.len());
            self.given_back.gone.insert(seq, cost);
            self.given_back.cost += cost;
            self.withdrawn += 1;
            return Ok(TakenOut::Bytes(message));
        }
        if entry.content == Content::Message {
            self.queue.payloads.remove(place);
            self.queue.payload_cursor -= 1;
        }
        self.queue.entries[index].content = Content::TakenOut;
        self.given_back.taken_out += 1;
        self.given_back.cost += self.queue.entries[index].cost();
        self.withdrawn += 1;
        Ok(TakenOut::Bytes(bytes))
    }

    /// A message that is taken out and not on the new link becomes a gap. One that is there stays
    /// as it is.
    pub(super) fn turn_into_gaps(&mut self) {
        if self.given_back.taken_out == 0 {
            return;
        }
        let cursor = self.queue.cursor;
        for entry in self
            .queue
            .entries
            .range_mut(cursor..)
            .filter(|entry| entry.content == Content::TakenOut)
        {
            self.given_back.no_longer_out(entry.cost());
            self.cost -= entry.held();
            entry.content = Content::Withdrawn;
            self.cost += entry.held();
            self.gaps += 1;
        }
    }

    /// The entry of a message that is on the link; `None` if it is acknowledged.
    fn in_flight_entry(&self, seq: u64) -> Result<Option<usize>, ProtocolError> {
        if seq < self.base() {
            return Ok(None);
        }
        let index = self.queue.entries.partition_point(|entry| entry.next() <= seq);
        match self.queue.entries.get(index).filter(|_| index < self.queue.cursor) {
            Some(entry) if entry.content != Content::Fin => Ok(Some(index)),
            _ => Err(ProtocolError::Unexpected("a message given back that was never sent")),
        }
    }

    /// Whether this message, which is on the link, is acknowledged or taken out.
    pub(crate) fn is_out(&self, seq: u64) -> Result<bool, ProtocolError> {
        let Some(index) = self.in_flight_entry(seq)? else { return Ok(true) };
        let content = self.queue.entries[index].content;
        Ok(matches!(content, Content::Withdrawn | Content::TakenOut)
            || self.given_back.is_gone(seq))
    }

    /// Whether the receiver has given something back, which proves that it was attached.
    pub(crate) fn has_given_back(&self) -> bool {
        !self.given_back.is_empty()
    }
}
