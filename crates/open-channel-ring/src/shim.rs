//! The atomics and the copies that the ring is written in, in two editions.
//!
//! Everything above this file sees shared memory as `&[AtomicU64]` and nothing else. Under
//! `cfg(loom)` those are loom's atomics in ordinary memory, otherwise they lie over the mapping; the
//! protocol code in between is the same text. A slice of atomics is also what makes a misbehaving
//! peer harmless to the compiler: an atomic may change at any time, a `&[u8]` may not.
use std::mem::MaybeUninit;

pub(crate) use blocks::load_block;
use blocks::{copy_blocks_in, copy_blocks_out, store_block};

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// As many bytes as pass through registers together.
pub(crate) const BLOCK: usize = 64;
/// A block as it lies in shared memory.
pub(crate) type BlockWords = [AtomicU64; BLOCK / 8];

/// Copies the first `out.len()` bytes of `words` and so initialises all of `out`.
///
/// The words may change while this runs (a peer that breaks the rules); then `out` holds some mix of
/// old and new bytes, which is why callers look at the copy only.
pub(crate) fn copy_out(words: &[AtomicU64], out: &mut [MaybeUninit<u8>]) {
    let words = &words[..out.len().div_ceil(8)];
    let (words, out) = copy_blocks_out(words, out);
    let whole = out.len() / 8;
    for (index, word) in words[..whole].iter().enumerate() {
        let value = word.load(Relaxed);
        // SAFETY: `index < out.len() / 8`, so these eight bytes are within `out`. (Through
        // `to_ne_bytes` and a slice of `MaybeUninit` this becomes eight stores of a byte.)
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
pub(crate) fn store_blocks<I: Iterator<Item = [u8; BLOCK]>>(blocks: I, places: &[BlockWords]) -> (usize, I) {
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

/// Whole blocks, many words at a time; what they leave over is for the word loops.
#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
mod blocks {
    use std::arch::x86_64::__m128i;

    use super::{AtomicU64, BLOCK, BlockWords, MaybeUninit};

    /// What `words` hold, each loaded once.
    #[inline(always)]
    pub(crate) fn load_block(words: &BlockWords) -> [u8; BLOCK] {
        let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
        // SAFETY: SSE2 is part of x86_64; 64 bytes are read, all of `words`. Another process may write
        // them meanwhile: see `copy_blocks_out`.
        unsafe {
            std::arch::asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                from = in(reg) words.as_ptr(),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                d = out(xmm_reg) d,
                options(nostack, preserves_flags, readonly),
            );
        }
        // SAFETY: both are 64 bytes of which every pattern is a value.
        unsafe { std::mem::transmute::<[__m128i; 4], [u8; BLOCK]>([a, b, c, d]) }
    }

    /// Stores `block` over `words`.
    #[inline(always)]
    pub(super) fn store_block(block: [u8; BLOCK], words: &BlockWords) {
        // SAFETY: both are 64 bytes of which every pattern is a value.
        let [a, b, c, d] = unsafe { std::mem::transmute::<[u8; BLOCK], [__m128i; 4]>(block) };
        // SAFETY: SSE2 is part of x86_64; 64 bytes are written, all of `words`, which are atomics. Why the stores come before
        // the header's is told in `copy_blocks_in`.
        unsafe {
            std::arch::asm!(
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                to = in(reg) words.as_ptr(),
                a = in(xmm_reg) a,
                b = in(xmm_reg) b,
                c = in(xmm_reg) c,
                d = in(xmm_reg) d,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline]
    pub(super) fn copy_blocks_out<'a, 'b>(
        words: &'a [AtomicU64],
        out: &'b mut [MaybeUninit<u8>],
    ) -> (&'a [AtomicU64], &'b mut [MaybeUninit<u8>]) {
        let bytes = out.len().min(words.len() * 8) / BLOCK * BLOCK;
        // SAFETY: both ranges are valid for `bytes` bytes; `out` is exclusively ours. The words may be
        // written by another process meanwhile: the loads are machine instructions outside the Rust
        // memory model, like the relaxed loads of the word loop, and never a non-atomic Rust read.
        unsafe { copy(words.as_ptr().cast(), out.as_mut_ptr().cast(), bytes / BLOCK) };
        (&words[bytes / 8..], &mut out[bytes..])
    }

    #[inline]
    pub(super) fn copy_blocks_in<'a, 'b>(
        bytes: &'a [u8],
        words: &'b [AtomicU64],
    ) -> (&'a [u8], &'b [AtomicU64]) {
        let whole = bytes.len().min(words.len() * 8) / BLOCK * BLOCK;
        // SAFETY: both ranges are valid for `whole` bytes, and an `AtomicU64` may be written through a
        // shared reference. The stores are machine instructions outside the Rust memory model; the
        // compiler keeps them before the later release store of the header because assembly that may
        // write memory is not moved across it, and the processor because x86 keeps stores in order.
        unsafe { copy(bytes.as_ptr(), words.as_ptr().cast_mut().cast(), whole / BLOCK) };
        (&bytes[whole..], &words[whole / 8..])
    }

    /// # Safety
    /// `from` must be readable and `to` writable for `blocks * 64` bytes, apart from each other.
    #[inline]
    unsafe fn copy(from: *const u8, to: *mut u8, blocks: usize) {
        if blocks == 0 {
            return;
        }
        // SAFETY: SSE2 is part of x86_64; the loop touches the two ranges the caller vouches for.
        unsafe {
            std::arch::asm!(
                "2:",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "dec {blocks}",
                "jnz 2b",
                from = inout(reg) from => _,
                to = inout(reg) to => _,
                blocks = inout(reg) blocks => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }
}

/// Everywhere else the word loops do it all.
#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
mod blocks {
    use super::{AtomicU64, BLOCK, BlockWords, MaybeUninit, Relaxed};

    /// What `words` hold, each loaded once.
    pub(crate) fn load_block(words: &BlockWords) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        for (chunk, word) in block.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        block
    }

    /// Stores `block` over `words`.
    pub(super) fn store_block(block: [u8; BLOCK], words: &BlockWords) {
        super::copy_in(&block, words);
    }

    pub(super) fn copy_blocks_out<'a, 'b>(
        words: &'a [AtomicU64],
        out: &'b mut [MaybeUninit<u8>],
    ) -> (&'a [AtomicU64], &'b mut [MaybeUninit<u8>]) {
        (words, out)
    }

    pub(super) fn copy_blocks_in<'a, 'b>(
        bytes: &'a [u8],
        words: &'b [AtomicU64],
    ) -> (&'a [u8], &'b [AtomicU64]) {
        (bytes, words)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_length_survives_the_way_in_and_out() {
        for len in 0..400usize {
            let words: Vec<AtomicU64> = (0..60).map(|_| AtomicU64::new(u64::MAX)).collect();
            let padded: Vec<u8> = (0..len.next_multiple_of(8)).map(|i| (i * 7 + len) as u8).collect();
            copy_in(&padded, &words);
            assert_eq!(words[padded.len() / 8].load(Relaxed), u64::MAX, "wrote past the end at {len}");
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
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
                assert_eq!(bytes, expected, "block {index} of {count} in {room}");
                assert_eq!(load_block(words), expected, "block {index} of {count} in {room}");
            }
        }
    }
}
