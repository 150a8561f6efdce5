//! Taking messages back that nobody has taken.

use bytes::Bytes;

use super::Session;
use crate::error::ProtocolError;
use crate::outbox::Recalled;

/// The answer of [`Session::take_back`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeBack {
    /// These are the bytes of the message, which will never be delivered.
    Taken(Bytes),
    /// The other side is asked; see [`Session::is_recalling`] and [`Session::taken_back`].
    Asked,
    /// Somebody may have taken it, or it is no message of this outbox.
    TooLate,
}

/// The sending side.
impl Session {
    /// Takes back message `seq` that this side has sent, if nobody has taken it. A second call has
    /// no further effect.
    pub fn take_back(&mut self, seq: u64) -> TakeBack {
        if self.ending.is_over() {
            return TakeBack::TooLate;
        }
        match self.outbox.recall(seq) {
            Recalled::Bytes(bytes) => TakeBack::Taken(bytes),
            Recalled::TooLate => TakeBack::TooLate,
            Recalled::OnTheLink => {
                // Acknowledged messages need no answer.
                self.recalls.asked = self.recalls.asked.split_off(&self.outbox.base());
                if self.recalls.asked.insert(seq) && self.link.is_some() {
                    self.recalls.unsent.insert(seq);
                }
                TakeBack::Asked
            }
        }
    }

    /// Whether the other side has not answered yet. After its answer, the message is among those
    /// [taken back](Self::taken_back), or it was too late.
    pub fn is_recalling(&self, seq: u64) -> bool {
        let open =
            !self.ending.is_over() && (self.outbox.base()..self.outbox.next()).contains(&seq);
        open && self.recalls.asked.contains(&seq)
    }

    /// The next message that was [asked for](TakeBack::Asked) and has come back: its number, its
    /// bytes.
    pub fn taken_back(&mut self) -> Option<(u64, Bytes)> {
        self.recalls.taken.pop_front()
    }

    /// Whether an answer has come since the last call.
    pub fn take_recall_news(&mut self) -> bool {
        std::mem::take(&mut self.recalls.answered)
    }

    /// The other side wants a message back.
    pub(super) fn wants_back(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if self.outbox.has_store() && seq >= self.inbox.next() {
            // The message lies in a store that was fenced before this side came to it.
            return Ok(());
        }
        self.inbox.recall(seq)
    }

    pub(super) fn has_recall(&self) -> bool {
        self.recalls.unsent.first().is_some_and(|seq| self.outbox.is_on_link(*seq))
    }

    /// The next message to ask for, which is on the link as a whole.
    pub(super) fn next_recall(&mut self) -> Option<u64> {
        while self.has_recall()
            && let Some(seq) = self.recalls.unsent.pop_first()
        {
            if self.is_recalling(seq) {
                return Some(seq);
            }
        }
        None
    }

    /// A link was lost, or another is there. Messages it does not have can be taken out; those
    /// that it has are asked for again.
    pub(super) fn renew_recalls(&mut self) {
        self.recalls.unsent.clear();
        for seq in std::mem::take(&mut self.recalls.asked) {
            match self.outbox.recall(seq) {
                Recalled::Bytes(bytes) => self.recalled(seq, bytes),
                Recalled::TooLate => self.recalls.answered = true,
                Recalled::OnTheLink => {
                    self.recalls.asked.insert(seq);
                    if self.link.is_some() {
                        self.recalls.unsent.insert(seq);
                    }
                }
            }
        }
    }

    /// From here on, other messages have their numbers.
    pub(super) fn forget_recalls(&mut self) {
        self.recalls.asked.clear();
        self.recalls.answered = true;
    }

    /// Whether this message, which is on the link, was asked for, or has come back before.
    pub(super) fn may_be_recalled(&self, seq: u64) -> Result<bool, ProtocolError> {
        Ok(self.recalls.asked.contains(&seq) || self.outbox.is_out(seq)?)
    }

    pub(super) fn recalled(&mut self, seq: u64, bytes: Bytes) {
        self.recalls.taken.push_back((seq, bytes));
        self.no_longer_recalled(seq);
    }

    pub(super) fn no_longer_recalled(&mut self, seq: u64) {
        self.recalls.asked.remove(&seq);
        self.recalls.answered = true;
    }

    pub(super) fn cannot_be_recalled(&mut self, seq: u64) -> Result<(), ProtocolError> {
        self.outbox.is_out(seq)?;
        self.no_longer_recalled(seq);
        Ok(())
    }
}
