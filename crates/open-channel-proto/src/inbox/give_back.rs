//! Messages that the application gives back: not handled, to be delivered again or never.

use std::cmp::Ordering;

use bytes::Bytes;

use super::Inbox;
use super::ready::Ready;
use super::returned::Returned;
use crate::error::ProtocolError;
use crate::frame::{Fate, Frame};
use crate::limits::{MAX_PACK_COST, MESSAGE_OVERHEAD};
use crate::message::ReceivedPack;
use crate::pack::Pack;
use crate::packer::Packer;
use crate::version::ATTEMPTS;

impl Inbox {
    /// Whether this was received and is not handled as a whole.
    fn holds(&self, seq: u64) -> bool {
        seq > self.handled_through && seq < self.next
    }

    /// The application gives back this message, which it was given as this attempt. Returns whether
    /// it may have it again. If not, the message waits until the sender has
    /// [withdrawn](Self::withdrawn) it.
    pub(crate) fn give_back(
        &mut self,
        seq: u64,
        attempt: u32,
        may_again: bool,
        reason: &str,
    ) -> bool {
        if !self.holds(seq) {
            return false;
        }
        // If this host goes before it delivers the message again, that is no attempt.
        let (fate, attempt) = if may_again {
            (Fate::Again, attempt.saturating_sub(1))
        } else {
            (Fate::GivenUp, attempt)
        };
        self.given_back.put(seq, Returned { fate, attempt, reason: reason.to_owned() });
        if may_again {
            self.given_back.paused.insert(seq);
        }
        may_again
    }

    /// A message that was given back is ready again, before everything that was sent after it.
    pub(crate) fn ready_again(&mut self, seq: u64, payload: Bytes, attempt: u32) {
        self.given_back.paused.remove(&seq);
        let is_due =
            self.given_back.messages.get(&seq).is_some_and(|returned| returned.fate == Fate::Again);
        if !is_due || !self.holds(seq) {
            return;
        }
        let begins = Returned {
            fate: Fate::Again,
            attempt: attempt.saturating_sub(1),
            reason: String::new(),
        };
        self.given_back.put(seq, begins);
        let place = self.ready.partition_point(|ready| ready.first() < seq);
        let received = ReceivedPack { first: seq, pack: Pack::one(payload), attempt };
        self.ready.insert(place, Ready::Messages(received));
    }

    /// Nothing that was given back comes again.
    pub(crate) fn end_pauses(&mut self) {
        self.given_back.paused.clear();
    }

    /// The sender has taken out what was given up. Returns whether the number counts as handled
    /// now.
    pub(crate) fn withdrawn(&mut self, seq: u64) -> bool {
        let waits = self.given_back.messages.get(&seq).is_some_and(Returned::waits_for_the_sender);
        if waits {
            self.given_back.messages.remove(&seq);
            self.handled(seq..seq + 1);
        }
        waits
    }

    /// The sender wants this message back. It is not delivered if the application has not taken it.
    pub(crate) fn recall(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if !self.carries_returned() {
            return Err(ProtocolError::Unexpected("a message recalled, on a link that cannot"));
        }
        if seq >= self.next {
            return Err(ProtocolError::Unexpected("a message recalled that never came"));
        }
        // A caller waits for the answer, which may be an acknowledgement.
        self.request_ack();
        if !self.holds(seq) || seq < self.given_back.first {
            return Ok(());
        }
        let before = self.given_back.messages.get(&seq).map(|returned| returned.fate);
        if before == Some(Fate::Recalled) {
            return Ok(());
        }
        if before.is_none() && self.remove_ready(seq) {
            let returned = Returned { fate: Fate::Recalled, attempt: 1, reason: String::new() };
            self.given_back.put(seq, returned);
            return Ok(());
        }
        // A sender may have as many messages on the link.
        if self.given_back.too_late.len() > self.limits.window.max(MAX_PACK_COST) / MESSAGE_OVERHEAD
        {
            return Err(ProtocolError::Unexpected("more messages recalled than can be here"));
        }
        self.given_back.too_late.insert(seq);
        Ok(())
    }

    /// Takes a message from those that the application has not taken. Returns whether it was there.
    fn remove_ready(&mut self, seq: u64) -> bool {
        let Some(place) = self.ready.partition_point(|ready| ready.first() <= seq).checked_sub(1)
        else {
            return false;
        };
        let Some(Ready::Messages(received)) = self.ready.get(place) else { return false };
        let index = (seq - received.first) as usize;
        let (first, attempt) = (received.first, received.attempt);
        if index >= received.pack.count() as usize {
            return false;
        }
        let (mut before, mut behind) = (Packer::default(), Packer::default());
        for (at, message) in received.pack.iter().enumerate() {
            match at.cmp(&index) {
                Ordering::Less => before.push(message),
                Ordering::Equal => {}
                Ordering::Greater => behind.push(message),
            }
        }
        self.ready.remove(place);
        for (first, mut packer) in [(seq + 1, behind), (first, before)] {
            if let Some(pack) = packer.pop() {
                self.ready.insert(place, Ready::Messages(ReceivedPack { first, pack, attempt }));
            }
        }
        true
    }

    /// The next frame that the sender has to get.
    pub(crate) fn next_returned(&mut self) -> Option<Frame> {
        if self.carries_returned()
            && let Some(seq) = self.given_back.too_late.pop_first()
        {
            return Some(Frame::Returned {
                seq,
                fate: Fate::TooLate,
                attempt: 1,
                reason: String::new(),
            });
        }
        while self.carries_returned()
            && let Some(seq) = self.given_back.unsent.pop_front()
        {
            if let Some(Returned { fate, attempt, reason }) = self.given_back.messages.get(&seq)
                && *attempt > 0
            {
                let attempt = u8::try_from(*attempt).unwrap_or(u8::MAX);
                return Some(Frame::Returned { seq, fate: *fate, attempt, reason: reason.clone() });
            }
        }
        None
    }

    /// Whether the link can carry such frames.
    pub(crate) fn carries_returned(&self) -> bool {
        self.version >= ATTEMPTS
    }

    /// Whether the sender of this message can take it out. If not, it counts as handled.
    pub(crate) fn can_be_withdrawn(&self, seq: u64) -> bool {
        self.carries_returned() && seq >= self.given_back.first
    }

    /// Another host sends from here on, so nobody can withdraw what was given up or recalled.
    pub(crate) fn change_sender(&mut self) {
        self.given_back.first = self.next;
        let waiting =
            self.given_back.messages.iter().filter(|(_, returned)| returned.waits_for_the_sender());
        for seq in waiting.map(|(seq, _)| *seq).collect::<Vec<u64>>() {
            self.given_back.messages.remove(&seq);
            self.handled(seq..seq + 1);
        }
    }

    #[inline]
    pub(crate) fn has_returned(&self) -> bool {
        self.carries_returned()
            && !(self.given_back.unsent.is_empty() && self.given_back.too_late.is_empty())
    }
}
