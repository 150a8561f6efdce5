//! Messages that the application takes back before anybody has taken them.

use bytes::Bytes;

use super::Outbox;
use super::entry::{Content, Entry, taken_apart};
use crate::version::ATTEMPTS;

/// The fate of a message that the application wants back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Nobody had it: these are its bytes, and its number is a gap.
    Bytes(Bytes),
    /// The other side may have it, and has to be asked.
    OnTheLink,
    /// It is no message of this outbox, or somebody may have handled it.
    TooLate,
}

impl Outbox {
    /// Takes this message out, unless somebody may have it.
    pub(crate) fn recall(&mut self, seq: u64) -> Recalled {
        if seq < self.base() || seq >= self.queue.next {
            return Recalled::TooLate;
        }
        let mut index = self.queue.entries.partition_point(|entry| entry.next() <= seq);
        let Some(entry) = self.queue.entries.get(index).copied() else { return Recalled::TooLate };
        let is_message = matches!(entry.content, Content::Message | Content::Stored);
        let counted = entry.attempt.max(self.given_back.attempt(seq));
        // The next link is probably of the same version, which has no gaps.
        let carries_gaps = self.version >= ATTEMPTS;
        if !is_message || !carries_gaps || counted > 1 || self.given_back.is_gone(seq) {
            return Recalled::TooLate;
        }
        if entry.transmitted {
            // Also if another link is to send it again: an overtaken hello does not prove that
            // nobody has it.
            return Recalled::OnTheLink;
        }
        if index < self.queue.cursor {
            // It was in a store, where nobody has claimed it, and there is no other link yet.
            self.go_back(self.queue.entries.iter().take_while(|entry| entry.transmitted).count());
            index = self.queue.entries.partition_point(|entry| entry.next() <= seq);
        } else if index == self.queue.cursor {
            // The same, for its first half.
            self.queue.offset = 0;
        }
        Recalled::Bytes(self.withdraw(index, seq))
    }

    /// Whether this message is on the link as a whole.
    pub(crate) fn is_on_link(&self, seq: u64) -> bool {
        seq < self.queue.first_at(self.queue.cursor)
    }

    /// Withdraws a message of the entry at `index`, which is behind the cursor.
    fn withdraw(&mut self, index: usize, seq: u64) -> Bytes {
        let is_message = |entry: &&Entry| entry.content == Content::Message;
        let place = self.queue.payload_cursor
            + self.queue.entries.range(self.queue.cursor..index).filter(is_message).count();
        if self.queue.entries[index].is_packed() {
            self.take_pack_apart(index, place);
        }
        let offset = (seq - self.queue.entries[index].first) as usize;
        let payload = self.queue.payloads.remove(place + offset).unwrap_or_default();
        let entry = &mut self.queue.entries[index + offset];
        self.cost -= entry.held();
        entry.content = Content::Withdrawn;
        self.cost += entry.held();
        self.gaps += 1;
        self.withdrawn += 1;
        payload
    }

    /// Each message of a pack that is not on the link gets an entry of its own.
    fn take_pack_apart(&mut self, index: usize, place: usize) {
        let behind = self.queue.entries.split_off(index + 1);
        let waiting = self.queue.payloads.split_off(place + 1);
        if let (Some(entry), Some(payload)) =
            (self.queue.entries.pop_back(), self.queue.payloads.pop_back())
        {
            for (mut entry, payload) in taken_apart(entry, payload) {
                entry.attempt = entry.attempt.max(self.given_back.attempt(entry.first));
                self.queue.entries.push_back(entry);
                self.queue.payloads.push_back(payload);
            }
        }
        self.queue.entries.extend(behind);
        self.queue.payloads.extend(waiting);
    }
}
