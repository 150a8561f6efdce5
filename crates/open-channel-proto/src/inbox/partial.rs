//! A message of which not all parts are there.

use bytes::BytesMut;

/// Memory set aside for a message on the word of its sender alone; beyond it, memory grows with what arrives.
const MAX_RESERVE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) bytes: BytesMut,
    pub(super) total: usize,
    pub(super) packed: bool,
    /// Where its last part so far ends in the link's store.
    pub(super) end: u64,
}

impl Partial {
    pub(super) fn new(total: usize, packed: bool) -> Self {
        Self { bytes: BytesMut::with_capacity(total.min(MAX_RESERVE)), total, packed, end: 0 }
    }
}
