//! The first words of the memory: they say whose memory it is, and of which layout.
use crate::atomics::{AtomicU64, Relaxed};
use crate::error::AttachError;
use crate::layout::Layout;

/// First word of the mapping: "ochring" and a zero byte.
const MAGIC: u64 = u64::from_le_bytes(*b"ochring\0");
/// Goes up with every change of a released layout or protocol.
const VERSION: u64 = 2;

/// The words of the header, from the first.
fn words_of(layout: Layout) -> [u64; 4] {
    [MAGIC, VERSION, layout.up() as u64, layout.down() as u64]
}

/// Writes the header over the first words of new memory.
pub(super) fn write(words: &[AtomicU64], layout: Layout) {
    for (word, value) in words.iter().zip(words_of(layout)) {
        word.store(value, Relaxed);
    }
}

/// The header only confirms what was agreed; nothing is taken from it.
pub(super) fn check(words: &[AtomicU64], layout: Layout) -> Result<(), AttachError> {
    match words.iter().zip(words_of(layout)).all(|(word, value)| word.load(Relaxed) == value) {
        true => Ok(()),
        false => Err(AttachError::Header),
    }
}
