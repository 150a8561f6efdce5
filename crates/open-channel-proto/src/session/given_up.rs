//! Messages of this side that their receiver gives back or gives up.

use bytes::Bytes;

use super::Session;
use super::wanted::{Back, Wanted};
use crate::error::ProtocolError;
use crate::frame::{Fate, Frame};
use crate::message::{GivenUp, Undeliverable};
use crate::outbox::TakenOut;
use crate::transmit::TransmitBuffer;

impl Session {
    pub(super) fn returned(
        &mut self,
        seq: u64,
        fate: Fate,
        attempt: u8,
        reason: String,
    ) -> Result<(), ProtocolError> {
        match fate {
            Fate::Again => self.outbox.count(seq, attempt),
            Fate::GivenUp => self.take_out(seq, Back::GivenUp { attempt, reason }, None),
            Fate::Recalled if self.may_be_recalled(seq)? => {
                self.take_out(seq, Back::Recalled, None)
            }
            Fate::Recalled => {
                Err(ProtocolError::Unexpected("a message given back that nobody asked for"))
            }
            Fate::TooLate => self.cannot_be_recalled(seq),
        }
    }

    fn take_out(
        &mut self,
        seq: u64,
        back: Back,
        stored: Option<Bytes>,
    ) -> Result<(), ProtocolError> {
        match self.outbox.take_out(seq, stored)? {
            TakenOut::Acknowledged => return Ok(()),
            TakenOut::InStore(end) => {
                if self.given_up.wanted.iter().all(|wanted| wanted.seq != seq) {
                    self.given_up.wanted.push_back(Wanted { seq, back, end });
                }
                return Ok(());
            }
            TakenOut::Before => {}
            TakenOut::Bytes(payload) => self.comes_back(seq, back, payload),
        }
        self.given_up.answers.insert(seq);
        Ok(())
    }

    fn comes_back(&mut self, seq: u64, back: Back, payload: Bytes) {
        match back {
            Back::Recalled => self.recalled(seq, payload),
            Back::GivenUp { attempt, reason } => {
                self.no_longer_recalled(seq);
                let exceeds =
                    self.limits.max_attempts.is_some_and(|max| u32::from(attempt) >= max.get());
                let reason = if exceeds && reason.is_empty() {
                    GivenUp::MaxAttempts
                } else {
                    GivenUp::Rejected(reason)
                };
                let attempts = attempt.into();
                self.undeliverable.push_back(Undeliverable { seq, attempts, reason, payload });
            }
        }
    }

    /// The end position in the link's store of a record that is wanted back; to be answered by
    /// [`found`](Self::found).
    #[inline]
    pub fn wanted(&self) -> Option<u64> {
        self.given_up.wanted.front().map(|wanted| wanted.end)
    }

    /// The bytes in the store that [end there](Self::wanted), if they are there.
    ///
    /// # Errors
    /// If the other side has destroyed them.
    pub fn found(&mut self, stored: Option<Bytes>) -> Result<(), ProtocolError> {
        let Some(Wanted { seq, back, .. }) = self.given_up.wanted.pop_front() else {
            return Ok(());
        };
        match stored {
            Some(stored) => self.take_out(seq, back, Some(stored)),
            None => Err(ProtocolError::Unexpected("a record of the store that was destroyed")),
        }
    }

    /// Whether frames about messages that were given back have to go out.
    #[inline]
    pub fn has_returned(&self) -> bool {
        self.inbox.has_returned() || !self.given_up.answers.is_empty() || self.has_recall()
    }

    pub(super) fn transmit_returned(&mut self, out: &mut TransmitBuffer) {
        if !self.has_returned() || self.ending.is_over() {
            return;
        }
        while !out.is_full()
            && let Some(frame) = self.inbox.next_returned()
        {
            frame.encode(out);
        }
        while !out.is_full()
            && let Some(seq) = self.given_up.answers.pop_first()
        {
            Frame::Withdrawn { seq }.encode(out);
        }
        while !out.is_full()
            && let Some(seq) = self.next_recall()
        {
            Frame::Recall { seq }.encode(out);
        }
    }
}
