//! Blocks through SSE registers, which every x86-64 has.
use std::arch::x86_64::__m128i;
use std::mem::MaybeUninit;

use super::block::{BLOCK, BlockWords};
use crate::atomics::AtomicU64;

/// The content of `words`, each loaded once.
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
    // SAFETY: SSE2 is part of x86_64; 64 bytes are written, all of `words`, which are atomics. They
    // come before the later store of the header: see `copy_blocks_in`.
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

/// Copies the whole blocks of `words` over `out`. Returns the rest of both.
#[inline]
pub(super) fn copy_blocks_out<'a, 'b>(
    words: &'a [AtomicU64],
    out: &'b mut [MaybeUninit<u8>],
) -> (&'a [AtomicU64], &'b mut [MaybeUninit<u8>]) {
    let bytes = out.len().min(words.len() * 8) / BLOCK * BLOCK;
    // SAFETY: both ranges are valid for `bytes` bytes; `out` is exclusively ours. Another process
    // may write the words meanwhile. The loads are machine instructions outside the Rust memory
    // model, like the relaxed loads of the word loop, and never a non-atomic Rust read.
    unsafe { copy(words.as_ptr().cast(), out.as_mut_ptr().cast(), bytes / BLOCK) };
    (&words[bytes / 8..], &mut out[bytes..])
}

/// Copies the whole blocks of `bytes` over `words`. Returns the rest of both.
#[inline]
pub(super) fn copy_blocks_in<'a, 'b>(
    bytes: &'a [u8],
    words: &'b [AtomicU64],
) -> (&'a [u8], &'b [AtomicU64]) {
    let whole = bytes.len().min(words.len() * 8) / BLOCK * BLOCK;
    // SAFETY: both ranges are valid for `whole` bytes, and an `AtomicU64` may be written through a
    // shared reference. The stores are machine instructions outside the Rust memory model. They
    // come before the later release store of the header: the compiler moves no assembly that may
    // write memory across that store, and x86 keeps stores in order.
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
    // SAFETY: SSE2 is part of x86_64; the loop touches the two ranges that the caller vouches for.
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
