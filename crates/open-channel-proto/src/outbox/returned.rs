//! What the receiver has said of messages that it gave back.

use std::collections::BTreeMap;
use std::ops::Range;

use super::entry::Entry;

/// What is known of single messages in packs, which are one entry for all; only of unacknowledged ones.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    /// Which attempt their delivery is now.
    pub(super) attempts: BTreeMap<u64, u8>,
    /// Nobody is to deliver them again; with what they cost.
    pub(super) gone: BTreeMap<u64, usize>,
    /// Entries that are taken out as a whole.
    pub(super) taken_out: usize,
    /// What all that is out costs.
    pub(super) cost: usize,
}

impl GivenBack {
    #[inline]
    pub(super) fn acknowledge(&mut self, through: u64) {
        while self.attempts.first_key_value().is_some_and(|(seq, _)| *seq <= through) {
            self.attempts.pop_first();
        }
        while let Some(gone) = self.gone.first_entry().filter(|gone| *gone.key() <= through) {
            self.cost -= gone.remove();
        }
    }

    /// An entry that cost so much is acknowledged, or a gap.
    pub(super) fn no_longer_out(&mut self, cost: usize) {
        self.taken_out -= 1;
        self.cost -= cost;
    }

    pub(super) fn attempt(&self, seq: u64) -> u8 {
        self.attempts.get(&seq).copied().unwrap_or(1)
    }

    pub(super) fn is_gone(&self, seq: u64) -> bool {
        self.gone.contains_key(&seq)
    }

    /// The first of these that is not gone.
    pub(super) fn first_left(&self, mut seqs: Range<u64>) -> Option<u64> {
        seqs.find(|seq| !self.is_gone(*seq))
    }

    /// Messages that are out.
    pub(super) fn count(&self) -> usize {
        self.taken_out + self.gone.len()
    }

    /// What they cost.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether the receiver has given nothing back that is unacknowledged in a pack, and nothing as a whole for good.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty() && !self.has_gone()
    }

    /// Whether something is known of a message among these.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        let seqs = entry.first..entry.next();
        self.attempts.range(seqs.clone()).next().is_some() || self.gone.range(seqs).next().is_some()
    }

    pub(super) fn has_gone(&self) -> bool {
        self.taken_out > 0 || !self.gone.is_empty()
    }
}
