//! A piece, as it was received.

use std::ops::Range;

/// A received piece that is not handled as a whole: a message, a pack, the end, or
/// gaps.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) unhandled: u32,
    pub(super) cost: usize,
    /// Where it ends in the link's store, which holds it until it is handled; 0 if it came in
    /// frames.
    pub(super) end: u64,
}

impl Slot {
    pub(super) fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Whether it is a gap; or the end, which nothing follows.
    pub(super) fn is_gap(&self) -> bool {
        self.cost == 0
    }

    /// The application has handled those of its messages that are among `seqs`.
    #[inline]
    pub(super) fn handle(&mut self, seqs: &Range<u64>) {
        let handled = self.next().min(seqs.end).saturating_sub(self.first.max(seqs.start));
        self.unhandled = self.unhandled.saturating_sub(u32::try_from(handled).unwrap_or(u32::MAX));
    }
}
