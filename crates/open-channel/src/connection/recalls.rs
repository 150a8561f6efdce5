//! The application's calls that take messages back, and their results.

use std::collections::BTreeMap;

use bytes::Bytes;

/// With fewer calls than this, calls that are dropped and answered stay.
const FEW: usize = 32;

/// The calls, by the numbers of their messages.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    calls: BTreeMap<u64, Call>,
    /// The number of calls at which those that are dropped and answered are removed.
    crowded: usize,
}

#[derive(Debug)]
enum Call {
    Waiting,
    /// No caller waits for the answer any more.
    Dropped,
    Answered(Bytes),
}

/// How a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is the first for its message.
    First,
    /// An earlier one was dropped: this one waits for its answer.
    Joined,
    /// Another call has the message, or will have it.
    Refused,
}

impl Recalls {
    pub(super) fn begin(&mut self, seq: u64, is_open: impl Fn(u64) -> bool) -> Begin {
        if self.calls.len() >= self.crowded {
            self.calls.retain(|seq, call| !matches!(call, Call::Dropped) || is_open(*seq));
            self.crowded = 2 * self.calls.len().max(FEW);
        }
        match self.calls.get_mut(&seq) {
            None => Begin::First,
            Some(call @ Call::Dropped) if is_open(seq) => {
                *call = Call::Waiting;
                Begin::Joined
            }
            // It was answered, perhaps for a message that had this number before.
            Some(Call::Dropped) => {
                self.calls.remove(&seq);
                Begin::First
            }
            Some(_) => Begin::Refused,
        }
    }

    pub(super) fn wait(&mut self, seq: u64) {
        self.calls.insert(seq, Call::Waiting);
    }

    pub(super) fn is_waiting(&self, seq: u64) -> bool {
        matches!(self.calls.get(&seq), Some(Call::Waiting))
    }

    /// Ends the call; returns the message, if it has come.
    pub(super) fn end(&mut self, seq: u64) -> Option<Bytes> {
        match self.calls.remove(&seq) {
            Some(Call::Answered(message)) => Some(message),
            _ => None,
        }
    }

    /// Drops the call before its answer.
    pub(super) fn drop_waiting(&mut self, seq: u64) {
        if let Some(call @ Call::Waiting) = self.calls.get_mut(&seq) {
            *call = Call::Dropped;
        }
    }

    /// The message has come; returned if no caller waits for it.
    pub(super) fn answer(&mut self, seq: u64, message: Bytes) -> Option<Bytes> {
        if let Some(call @ Call::Waiting) = self.calls.get_mut(&seq) {
            *call = Call::Answered(message);
            return None;
        }
        self.calls.remove(&seq);
        Some(message)
    }
}
