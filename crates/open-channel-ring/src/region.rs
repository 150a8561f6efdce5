//! The memory under a ring, as words.
use std::sync::Arc;

use crate::atomics::AtomicU64;
use crate::layout::Layout;

/// Memory that both sides see, as words of 64 bits. A clone is another handle on the same words.
pub trait Region: Clone {
    /// All of it; always the same words.
    fn words(&self) -> &[AtomicU64];
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
}
