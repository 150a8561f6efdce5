//! The memory under a ring, as words.
use std::ops::Range;
use std::sync::Arc;

use crate::atomics::{AtomicU64, Relaxed};
use crate::layout::Layout;

/// Memory that both sides see, as words of 64 bits. A clone is another handle on the same words.
pub trait Region: Clone {
    /// All of it; always the same words.
    fn words(&self) -> &[AtomicU64];

    /// From here on `bytes` more of it are [committed](crate::committed_bytes).
    fn commit(&self, _bytes: usize) {}

    /// The contents of these words are needed no longer. Until they are written again, they read as
    /// they were or as zeros. Returns whether `bytes` less are committed.
    fn discard(&self, _words: Range<usize>, _bytes: usize) -> bool {
        true
    }
}

/// Memory of this process only: for loom, Miri, the in-process tests and the fuzz targets.
#[derive(Clone)]
pub struct Heap(Arc<[AtomicU64]>);

impl Heap {
    /// Zeroed memory of the size that `layout` asks for.
    pub fn new(layout: Layout) -> Heap {
        Heap((0..layout.total_bytes() / 8).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Region for Heap {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }

    fn discard(&self, words: Range<usize>, _bytes: usize) -> bool {
        self.0[words].iter().for_each(|word| word.store(0, Relaxed));
        true
    }
}
