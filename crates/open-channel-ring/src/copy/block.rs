//! The unit that passes through registers at once.
use crate::atomics::AtomicU64;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;
/// A block as it lies in shared memory.
pub(crate) type BlockWords = [AtomicU64; BLOCK / 8];
