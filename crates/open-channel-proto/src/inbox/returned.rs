//! What the sender has to know of messages that were given back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::frame::Fate;

#[derive(Debug)]
pub(super) struct Returned {
    pub(super) fate: Fate,
    /// The attempt that failed, for all that the sender is to know: one that is waited for has not begun. 0: none.
    pub(super) attempt: u32,
    pub(super) reason: String,
}

impl Returned {
    /// It counts as handled once the sender has withdrawn it.
    pub(super) fn waits_for_the_sender(&self) -> bool {
        matches!(self.fate, Fate::GivenUp | Fate::Recalled)
    }
}

/// What the sender has to know of them; only of what is not handled.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    pub(super) messages: BTreeMap<u64, Returned>,
    /// Those of them that the sender was not told of on this link.
    pub(super) untold: VecDeque<u64>,
    /// The sender wants them back and was not told that it is too late.
    pub(super) too_late: BTreeSet<u64>,
    /// To be [ready again](Inbox::ready_again) after a pause.
    pub(super) paused: BTreeSet<u64>,
    /// What comes before it was sent by an earlier host, which is gone.
    pub(super) first: u64,
}

impl GivenBack {
    /// On a new link everything is said once more.
    pub(super) fn attach(&mut self) {
        self.untold = self.messages.range(self.first..).map(|(seq, _)| *seq).collect();
        self.too_late.clear();
    }

    #[inline]
    pub(super) fn forget(&mut self, through: u64) {
        while self.messages.first_key_value().is_some_and(|(seq, _)| *seq <= through) {
            self.messages.pop_first();
        }
        for seqs in [&mut self.too_late, &mut self.paused] {
            while seqs.first().is_some_and(|seq| *seq <= through) {
                seqs.pop_first();
            }
        }
    }

    /// Whether something is to be ready again that was sent before what is ready now.
    #[inline]
    pub(super) fn is_pausing(&self) -> bool {
        !self.paused.is_empty()
    }

    pub(super) fn put(&mut self, seq: u64, returned: Returned) {
        self.messages.insert(seq, returned);
        if seq >= self.first && !self.untold.contains(&seq) {
            self.untold.push_back(seq);
        }
    }
}
