//! How bytes get into shared memory and out of it.
//!
//! Shared memory is a slice of atomics, and a compiler makes one load or store of each word. On
//! x86-64 a few lines of assembly copy blocks of 64 bytes through wider registers; `docs/ring.md`
//! has the figures. Elsewhere, under loom and under Miri, words do it all.
use std::mem::MaybeUninit;

use crate::atomics::{AtomicU64, Relaxed};

mod block;
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[path = "x86_64.rs"]
mod blocks;
#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
#[path = "portable.rs"]
mod blocks;

pub(crate) use block::{BLOCK, BlockWords};
pub(crate) use blocks::load_block;
use blocks::{copy_blocks_in, copy_blocks_out, store_block};

/// Copies the first `out.len()` bytes of `words` and so initialises all of `out`.
///
/// A peer that breaks the rules may change the words meanwhile. Then `out` holds some mix of old
/// and new bytes; so callers look at the copy only.
pub(crate) fn copy_out(words: &[AtomicU64], out: &mut [MaybeUninit<u8>]) {
    let words = &words[..out.len().div_ceil(8)];
    let (words, out) = copy_blocks_out(words, out);
    let whole = out.len() / 8;
    for (index, word) in words[..whole].iter().enumerate() {
        let value = word.load(Relaxed);
        // `to_ne_bytes` and a slice of `MaybeUninit` would become eight stores of a byte.
        // SAFETY: `index < out.len() / 8`, so these eight bytes are within `out`.
        unsafe { out.as_mut_ptr().cast::<u64>().add(index).write_unaligned(value) };
    }
    if let Some(word) = words.get(whole) {
        let rest = &mut out[whole * 8..];
        let bytes = word.load(Relaxed).to_ne_bytes().map(MaybeUninit::new);
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
}

/// Copies `bytes`, whose length must be a multiple of eight, over the first words of `words`.
pub(crate) fn copy_in(bytes: &[u8], words: &[AtomicU64]) {
    debug_assert_eq!(bytes.len() % 8, 0);
    let (bytes, words) = copy_blocks_in(bytes, &words[..bytes.len() / 8]);
    for (chunk, word) in bytes.chunks_exact(8).zip(words) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(eight), Relaxed);
    }
}

/// Stores blocks over `places` until one of both ends. Returns how many were stored, and the blocks
/// that are left.
#[inline(always)]
pub(crate) fn store_blocks<I: Iterator<Item = [u8; BLOCK]>>(
    blocks: I,
    places: &[BlockWords],
) -> (usize, I) {
    // A local, so that what makes the blocks is in registers.
    let mut blocks = blocks;
    // Four in a turn: the rate of a shorter loop depended on where the linker put it, by a quarter.
    // Nothing else is stored in it: each store takes a place in the processor's queue of stores.
    let (fours, rest) = places.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate() {
        for (stored, place) in four.iter().enumerate() {
            match blocks.next() {
                Some(block) => store_block(block, place),
                None => return (4 * index + stored, blocks),
            }
        }
    }
    for (stored, place) in rest.iter().enumerate() {
        match blocks.next() {
            Some(block) => store_block(block, place),
            None => return (4 * fours.len() + stored, blocks),
        }
    }
    (places.len(), blocks)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_in_and_out() {
        for len in 0..400usize {
            let words: Vec<AtomicU64> = (0..60).map(|_| AtomicU64::new(u64::MAX)).collect();
            let padded: Vec<u8> =
                (0..len.next_multiple_of(8)).map(|i| (i * 7 + len) as u8).collect();
            copy_in(&padded, &words);
            assert_eq!(
                words[padded.len() / 8].load(Relaxed),
                u64::MAX,
                "wrote past the end at {len}"
            );
            let mut out = vec![MaybeUninit::new(0xEE); len + 1];
            copy_out(&words, &mut out[..len]);
            // SAFETY: every element was initialised, either by `vec!` or by `copy_out`.
            let out: Vec<u8> = out.iter().map(|byte| unsafe { byte.assume_init() }).collect();
            assert_eq!(&out[..len], &padded[..len]);
            assert_eq!(out[len], 0xEE);
        }
    }

    #[test]
    fn blocks_are_stored_until_they_or_the_room_end() {
        for (count, room) in (0..36).map(|n| (n / 6, n % 6)) {
            let words: Vec<BlockWords> =
                (0..=room).map(|_| [const { AtomicU64::new(u64::MAX) }; 8]).collect();
            let made: Vec<[u8; BLOCK]> =
                (0..count).map(|n| std::array::from_fn(|at| (n * 64 + at) as u8)).collect();
            let (stored, rest) = store_blocks(made.clone().into_iter(), &words[..room]);
            assert_eq!((stored, rest.as_slice()), (count.min(room), &made[stored..]));
            for (index, words) in words.iter().enumerate() {
                let expected = if index < stored { made[index] } else { [0xff; BLOCK] };
                let bytes: Vec<u8> =
                    words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
                assert_eq!(bytes, expected, "block {index} of {count} in {room}");
                assert_eq!(load_block(words), expected, "block {index} of {count} in {room}");
            }
        }
    }
}
