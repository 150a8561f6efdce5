//! Blocks word by word.
use std::mem::MaybeUninit;

use super::block::{BLOCK, BlockWords};
use crate::atomics::{AtomicU64, Relaxed};

/// The content of `words`, each loaded once.
#[inline]
pub(crate) fn load_block(words: &BlockWords) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.load(Relaxed).to_ne_bytes();
    }
    block
}

/// Stores `block` over `words`.
#[inline]
pub(super) fn store_block(block: [u8; BLOCK], words: &BlockWords) {
    for (bytes, word) in block.as_chunks().0.iter().zip(words) {
        word.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
}

/// Copies the whole blocks of `words`: none, since the caller copies words as well. Returns the
/// rest.
pub(super) fn copy_blocks_out<'a, 'b>(
    words: &'a [AtomicU64],
    out: &'b mut [MaybeUninit<u8>],
) -> (&'a [AtomicU64], &'b mut [MaybeUninit<u8>]) {
    (words, out)
}

/// Copies the whole blocks of `bytes`: none. Returns the rest.
pub(super) fn copy_blocks_in<'a, 'b>(
    bytes: &'a [u8],
    words: &'b [AtomicU64],
) -> (&'a [u8], &'b [AtomicU64]) {
    (bytes, words)
}
