//! The receiver's answers about messages that it gave back.

use std::collections::BTreeMap;
use std::ops::Range;

use super::entry::Entry;

/// Facts about single messages in packs, each of which is one entry; only unacknowledged ones.
#[derive(Debug, Default)]
pub(super) struct GivenBack {
    /// The number of their present attempt.
    pub(super) attempts: BTreeMap<u64, u8>,
    /// Messages that nobody is to deliver again, with their cost.
    pub(super) gone: BTreeMap<u64, usize>,
    /// Number of entries that are taken out as a whole.
    pub(super) taken_out: usize,
    /// Cost of everything that is out.
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

    /// An entry of this cost is acknowledged, or has become a gap.
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

    /// The first of these numbers that is not gone.
    pub(super) fn first_left(&self, mut seqs: Range<u64>) -> Option<u64> {
        seqs.find(|seq| !self.is_gone(*seq))
    }

    /// Number of messages that are out.
    pub(super) fn count(&self) -> usize {
        self.taken_out + self.gone.len()
    }

    /// Their cost.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether the receiver has given back nothing of an unacknowledged pack, and given up nothing.
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
