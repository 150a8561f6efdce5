//! News for the sender of messages that were given back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::frame::Fate;

#[derive(Debug)]
pub(super) struct Returned {
    pub(super) fate: Fate,
    /// The attempt that failed, as far as the sender has to know. A message that waits has not
    /// begun another one. 0: none.
    pub(super) attempt: u32,
    pub(super) reason: String,
}

impl Returned {
    /// Whether it counts as handled only when the sender has withdrawn it.
    pub(super) fn waits_for_the_sender(&self) -> bool {
        matches!(self.fate, Fate::GivenUp | Fate::Recalled)
    }
}

/// News for the sender of messages that were given back and are not handled.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    pub(super) messages: BTreeMap<u64, Returned>,
    /// Those of them that this link has not carried.
    pub(super) unsent: VecDeque<u64>,
    /// Messages that the sender wants back, and it has not heard that it is too late.
    pub(super) too_late: BTreeSet<u64>,
    /// Messages that are to be ready again after a pause.
    pub(super) paused: BTreeSet<u64>,
    /// An earlier host, which is gone, sent everything before this number.
    pub(super) first: u64,
}

impl GivenBack {
    /// A new link carries everything once more.
    pub(super) fn attach(&mut self) {
        self.unsent = self.messages.range(self.first..).map(|(seq, _)| *seq).collect();
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

    /// Whether a message that was sent before those that are ready is to be ready again.
    #[inline]
    pub(super) fn is_pausing(&self) -> bool {
        !self.paused.is_empty()
    }

    pub(super) fn put(&mut self, seq: u64, returned: Returned) {
        self.messages.insert(seq, returned);
        if seq >= self.first && !self.unsent.contains(&seq) {
            self.unsent.push_back(seq);
        }
    }
}
