//! Messages that the application gives back: not handled, to be delivered again or never.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Inbox, Ready};
use crate::frame::{Fate, Frame};
use crate::handshake::ATTEMPTS;
use crate::pack::Pack;
use crate::session::Received;

#[derive(Debug)]
struct Returned {
    fate: Fate,
    /// The attempt that failed, for all that the sender is to know: one that is waited for has not begun. 0: none.
    attempt: u32,
    reason: String,
}

/// What the sender has to know of them; only of what is not handled.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    messages: BTreeMap<u64, Returned>,
    /// Those of them that the sender was not told of on this link.
    untold: VecDeque<u64>,
    /// What comes before it was sent by an earlier host, which is gone.
    first: u64,
}

impl GivenBack {
    /// On a new link everything is said once more.
    pub(super) fn attach(&mut self) {
        self.untold = self.messages.range(self.first..).map(|(seq, _)| *seq).collect();
    }

    #[inline]
    pub(super) fn forget(&mut self, through: u64) {
        if !self.messages.is_empty() {
            self.messages.retain(|seq, _| *seq > through);
        }
    }

    fn put(&mut self, seq: u64, returned: Returned) {
        self.messages.insert(seq, returned);
        if seq >= self.first && !self.untold.contains(&seq) {
            self.untold.push_back(seq);
        }
    }
}

impl Inbox {
    /// Whether this was received and is not handled as a whole.
    fn holds(&self, seq: u64) -> bool {
        seq > self.handled_through && seq < self.next
    }

    /// The application was given this message as this attempt, and gives it back. Whether it may have it again; if not,
    /// it waits until the sender has [withdrawn](Self::withdrawn) it.
    pub(crate) fn give_back(&mut self, seq: u64, attempt: u32, may_again: bool, reason: &str) -> bool {
        if !self.holds(seq) {
            return false;
        }
        // If this host goes before it delivers the message again, that is no attempt.
        let (fate, attempt) =
            if may_again { (Fate::Again, attempt.saturating_sub(1)) } else { (Fate::GivenUp, attempt) };
        self.given_back.put(seq, Returned { fate, attempt, reason: reason.to_owned() });
        may_again
    }

    /// A message that was given back is ready again, before everything that was sent after it.
    pub(crate) fn ready_again(&mut self, seq: u64, payload: Bytes, attempt: u32) {
        let is_due = self.given_back.messages.get(&seq).is_some_and(|returned| returned.fate == Fate::Again);
        if !is_due || !self.holds(seq) {
            return;
        }
        let begins =
            Returned { fate: Fate::Again, attempt: attempt.saturating_sub(1), reason: String::new() };
        self.given_back.put(seq, begins);
        let first = |ready: &Ready| match ready {
            Ready::Messages(received) => received.first,
            Ready::End(seq) => *seq,
        };
        let place = self.ready.partition_point(|ready| first(ready) < seq);
        let received = Received { first: seq, pack: Pack::one(payload), attempt };
        self.ready.insert(place, Ready::Messages(received));
    }

    /// The sender has taken back what was given up: whether its number counts as handled now.
    pub(crate) fn withdrawn(&mut self, seq: u64) -> bool {
        let given_up =
            self.given_back.messages.get(&seq).is_some_and(|returned| returned.fate == Fate::GivenUp);
        if given_up {
            self.given_back.messages.remove(&seq);
            self.handled(seq..seq + 1);
        }
        given_up
    }

    /// What the sender is to be told of next.
    pub(crate) fn next_returned(&mut self) -> Option<Frame> {
        while self.tells_returned()
            && let Some(seq) = self.given_back.untold.pop_front()
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

    /// Whether the link can tell the sender.
    pub(crate) fn tells_returned(&self) -> bool {
        self.version >= ATTEMPTS
    }

    /// Whether the sender of this message can be told that it is given up. If not, it is as good as handled.
    pub(crate) fn can_be_withdrawn(&self, seq: u64) -> bool {
        self.tells_returned() && seq >= self.given_back.first
    }

    /// Another host sends from here on: what was given up can be withdrawn by nobody.
    pub(crate) fn change_sender(&mut self) {
        self.given_back.first = self.next;
        let given_up = self.given_back.messages.iter().filter(|(_, returned)| returned.fate == Fate::GivenUp);
        for seq in given_up.map(|(seq, _)| *seq).collect::<Vec<u64>>() {
            self.given_back.messages.remove(&seq);
            self.handled(seq..seq + 1);
        }
    }

    #[inline]
    pub(crate) fn has_returned(&self) -> bool {
        !self.given_back.untold.is_empty() && self.tells_returned()
    }
}
