//! Giving messages back to their sender.

use bytes::Bytes;

use super::Session;
use crate::error::ProtocolError;

/// The highest attempt that a frame can carry. Later ones have this number, too.
const MAX_CARRIED: u32 = 255;

impl Session {
    /// The application was given message `seq` as this `attempt`, and has not handled it. Returns
    /// the next attempt, for [`ready_again`](Self::ready_again). `None` if there is no other, or if
    /// the session is over.
    pub fn give_back(&mut self, seq: u64, attempt: u32) -> Option<u32> {
        if self.ending.is_over() {
            return None;
        }
        let next = attempt.saturating_add(1).min(MAX_CARRIED);
        let limited = self.remote.max_attempts > 0 && self.inbox.carries_returned();
        let may = !limited || next <= self.remote.max_attempts;
        if !may && !self.inbox.can_be_withdrawn(seq) {
            self.handled(seq);
            return None;
        }
        self.inbox.give_back(seq, attempt, may, "").then_some(next)
    }

    /// The application has not handled message `seq`, and nobody is to try it again. If its sender
    /// speaks version 1 or is gone, the message counts as handled.
    pub fn reject(&mut self, seq: u64, attempt: u32, reason: &str) {
        if self.ending.is_over() {
            return;
        }
        if self.inbox.can_be_withdrawn(seq) {
            self.inbox.give_back(seq, attempt, false, reason);
        } else {
            self.handled(seq);
        }
    }

    /// Delivers a message again that was [given back](Self::give_back), before what was sent after
    /// it.
    pub fn ready_again(&mut self, seq: u64, payload: Bytes, attempt: u32) {
        if !self.ending.is_over() {
            self.inbox.ready_again(seq, payload, attempt);
        }
    }

    pub(super) fn withdrawn(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq >= self.inbox.next() {
            return Err(ProtocolError::Unexpected("a message withdrawn that never came"));
        }
        // It may be a repetition, from this link or another.
        if self.inbox.withdrawn(seq) {
            self.settle();
        }
        Ok(())
    }
}
