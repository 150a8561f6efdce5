//! A message whose parts are not all there.

use bytes::BytesMut;

/// Most bytes allocated for a message because its sender announces them. Beyond it, memory grows
/// with what arrives.
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
