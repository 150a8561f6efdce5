//! Messages that their receiver gives back, on both sides.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::{GivenUp, Session, Undeliverable};
use crate::error::ProtocolError;
use crate::frame::{Fate, Frame};
use crate::outbox::TakenOut;
use crate::transmit::TransmitBuffer;

/// The highest attempt that is told; more of them are told as this one.
const MAX_TOLD: u32 = 255;

/// What this side does about messages that the other side has given up; of the link that is attached.
#[derive(Debug, Default)]
pub(super) struct GivenUps {
    /// They are out, and the other side does not know yet.
    answers: BTreeSet<u64>,
    /// They lie only in the link's store.
    wanted: VecDeque<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    seq: u64,
    back: Back,
    end: u64,
}

/// Why a message comes back.
#[derive(Debug)]
enum Back {
    /// The other side has given it up, after this attempt.
    GivenUp { attempt: u8, reason: String },
    /// It was asked for.
    Recalled,
}

/// The receiving application's side.
impl Session {
    /// The application was given message `seq` as this `attempt`, and has not handled it. Returns the attempt that is
    /// next, for [`ready_again`](Self::ready_again); none when there is no other, or nobody to tell.
    pub fn give_back(&mut self, seq: u64, attempt: u32) -> Option<u32> {
        if self.closed.is_some() {
            return None;
        }
        let next = attempt.saturating_add(1).min(MAX_TOLD);
        let limited = self.remote_max_attempts > 0 && self.inbox.tells_returned();
        let may = !limited || next <= self.remote_max_attempts;
        if !may && !self.inbox.can_be_withdrawn(seq) {
            self.handled(seq);
            return None;
        }
        self.inbox.give_back(seq, attempt, may, "").then_some(next)
    }

    /// The application has not handled message `seq` and nobody is to try it again. A sender of version 1 cannot be
    /// told, and one that is gone need not: then the message counts as handled.
    pub fn reject(&mut self, seq: u64, attempt: u32, reason: &str) {
        if self.closed.is_some() {
            return;
        }
        if self.inbox.can_be_withdrawn(seq) {
            self.inbox.give_back(seq, attempt, false, reason);
        } else {
            self.handled(seq);
        }
    }

    /// A message that was [given back](Self::give_back) is to be delivered again, before what was sent after it.
    pub fn ready_again(&mut self, seq: u64, payload: Bytes, attempt: u32) {
        if self.closed.is_none() {
            self.inbox.ready_again(seq, payload, attempt);
        }
    }

    pub(super) fn withdrawn(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq >= self.inbox.next() {
            return Err(ProtocolError::Unexpected("a message withdrawn that never came"));
        }
        // Not if it was said before, on this link or another.
        if self.inbox.withdrawn(seq) {
            self.settle();
        }
        Ok(())
    }
}

/// The sending side.
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
            Fate::Recalled if self.may_be_recalled(seq)? => self.take_out(seq, Back::Recalled, None),
            Fate::Recalled => Err(ProtocolError::Unexpected("a message given back that nobody asked for")),
            Fate::TooLate => self.cannot_be_recalled(seq),
        }
    }

    fn take_out(&mut self, seq: u64, back: Back, stored: Option<Bytes>) -> Result<(), ProtocolError> {
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
                let exceeds = self.limits.max_attempts.is_some_and(|max| u32::from(attempt) >= max.get());
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

    /// Where in the link's store something ends that is wanted back; to be answered with [`found`](Self::found).
    #[inline]
    pub fn wanted(&self) -> Option<u64> {
        self.given_up.wanted.front().map(|wanted| wanted.end)
    }

    /// The bytes in the store that [end there](Self::wanted), if they are there.
    ///
    /// # Errors
    /// When the other side has destroyed what it was given.
    pub fn found(&mut self, stored: Option<Bytes>) -> Result<(), ProtocolError> {
        let Some(Wanted { seq, back, .. }) = self.given_up.wanted.pop_front() else {
            return Ok(());
        };
        match stored {
            Some(stored) => self.take_out(seq, back, Some(stored)),
            None => Err(ProtocolError::Unexpected("a record of the store that was destroyed")),
        }
    }

    /// Whether there is something to say about messages that were given back.
    #[inline]
    pub fn has_returned(&self) -> bool {
        self.inbox.has_returned() || !self.given_up.answers.is_empty() || self.has_recall()
    }

    pub(super) fn transmit_returned(&mut self, out: &mut TransmitBuffer) {
        if !self.has_returned() || self.closed.is_some() {
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
