//! The content of every message: numbered words that the sender writes and the receiver adds up.
//!
//! The first word says who sent the message, its number and whether it ends a phase; each further
//! word follows from it. The receiver sums *all* words and compares with the sum that the first
//! word implies, so a subject that skips or tears bytes fails instead of looking fast.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use open_channel::{Draft, MessageReader, Reservation};
use std::mem::MaybeUninit;
use wide::u64x2;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const LAST: u64 = 1 << 63;
const FROM_SHIFT: u32 = 40;
const NUMBER_MASK: u64 = (1 << FROM_SHIFT) - 1;
const WORD: usize = size_of::<u64>();
/// As much as is written and read together, in place.
const BLOCK: usize = 64;

/// One message, described; its bytes follow from the description. Two words, so that handing it on
/// costs next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// The message's first word: who sent it, its number, and whether it is the last one.
    seed: u64,
    /// Bytes, a multiple of [`BLOCK`].
    pub(crate) len: usize,
}

impl Payload {
    pub(crate) fn new(len: usize, number: u64) -> Payload {
        assert!(len.is_multiple_of(BLOCK), "whole blocks are written and read");
        Payload { seed: number & NUMBER_MASK, len }
    }

    /// The same as the `number`th message.
    pub(crate) fn numbered(self, number: u64) -> Payload {
        Payload { seed: self.seed & !NUMBER_MASK | number & NUMBER_MASK, ..self }
    }

    /// The same as the last message of a phase, which the receiver answers.
    pub(crate) fn last(self) -> Payload {
        Payload { seed: self.seed | LAST, ..self }
    }

    /// The same from one of several senders.
    pub(crate) fn from(self, from: u16) -> Payload {
        Payload { seed: self.seed | u64::from(from) << FROM_SHIFT, ..self }
    }

    /// Which of several senders.
    pub(crate) fn sender(self) -> u16 {
        ((self.seed & !LAST) >> FROM_SHIFT) as u16
    }

    /// Counts from 0 within a phase.
    pub(crate) fn number(self) -> u64 {
        self.seed & NUMBER_MASK
    }

    /// Whether it is the last message of a phase.
    pub(crate) fn is_last(self) -> bool {
        self.seed & LAST != 0
    }

    #[inline(always)]
    fn blocks(self) -> Blocks {
        let first = u64x2::splat(self.seed);
        Blocks { before: BEHIND.map(|behind| first + behind), left: self.len / BLOCK }
    }

    /// Writes every byte of the message.
    pub(crate) fn write_uninit(self, into: &mut [MaybeUninit<u8>]) {
        for (place, block) in into.chunks_exact_mut(BLOCK).zip(self.blocks()) {
            place.copy_from_slice(&block.map(MaybeUninit::new));
        }
    }

    /// Writes every byte of the message in place.
    pub(crate) fn append_to(self, reservation: &mut Reservation) {
        reservation.append_blocks(self.blocks());
    }

    /// Writes every byte of the message into its batch.
    #[inline(always)]
    pub(crate) fn append_to_draft(self, draft: &mut Draft<'_>) {
        self.blocks().for_each(|block| draft.append(&block));
    }

    /// Reads every byte of the message in place, and says which it was.
    pub(crate) fn read(message: &mut MessageReader) -> Result<Payload> {
        let len = message.len();
        message.blocks().fold(Sum::default(), Sum::with).identify(len)
    }

    /// Writes every byte of the message over initialised memory.
    pub(crate) fn write(self, into: &mut [u8]) {
        // SAFETY: MaybeUninit<u8> has the layout of u8, and `write_uninit` stores initialised bytes
        // only.
        let into = unsafe { &mut *(std::ptr::from_mut(into) as *mut [MaybeUninit<u8>]) };
        self.write_uninit(into);
    }

    /// Reads every byte and says which message it was.
    #[inline(always)]
    pub(crate) fn check(bytes: &[u8]) -> Result<Payload> {
        let (blocks, _) = bytes.as_chunks();
        blocks.iter().copied().fold(Sum::default(), Sum::with).identify(bytes.len())
    }
}

/// The words of a block. To make or to add up a block costs four additions of two words each, so
/// that neither is what is measured.
type Pairs = [u64x2; BLOCK / WORD / 2];

/// The amount by which words have grown one block later.
const AHEAD: u64x2 = u64x2::new([STEP.wrapping_mul((BLOCK / WORD) as u64); 2]);

/// The amount that the words one block before the first have over its first word.
const BEHIND: Pairs = [behind(0), behind(2), behind(4), behind(6)];

const fn behind(word: u64) -> u64x2 {
    let words = (BLOCK / WORD) as u64;
    u64x2::new([
        STEP.wrapping_mul(word.wrapping_sub(words)),
        STEP.wrapping_mul((word + 1).wrapping_sub(words)),
    ])
}

/// The blocks of a message.
struct Blocks {
    /// The words one block before.
    before: Pairs,
    left: usize,
}

impl Iterator for Blocks {
    type Item = [u8; BLOCK];

    #[inline(always)]
    fn next(&mut self) -> Option<[u8; BLOCK]> {
        self.left = self.left.checked_sub(1)?;
        self.before = self.before.map(|pair| pair + AHEAD);
        Some(bytemuck::cast(self.before))
    }
}

/// A receiver's knowledge of a message.
#[derive(Default)]
struct Sum {
    seed: Option<u64>,
    /// The sums of every eighth word.
    sums: Pairs,
}

impl Sum {
    #[inline(always)]
    fn with(self, block: [u8; BLOCK]) -> Sum {
        let pairs: Pairs = bytemuck::cast(block);
        let seed = self.seed.or(Some(pairs[0].to_array()[0]));
        Sum { seed, sums: std::array::from_fn(|pair| self.sums[pair] + pairs[pair]) }
    }

    /// Which message it was, if its words add up.
    fn identify(self, len: usize) -> Result<Payload> {
        let (seed, count) = (self.seed.unwrap_or_default(), (len / WORD) as u64);
        let [even, odd] =
            self.sums.into_iter().fold(u64x2::ZERO, |sum, pair| sum + pair).to_array();
        let sum = even.wrapping_add(odd);
        let steps = count.wrapping_mul(count.wrapping_sub(1)) / 2;
        let expected = seed.wrapping_mul(count).wrapping_add(STEP.wrapping_mul(steps));
        ensure!(
            count > 0 && len.is_multiple_of(BLOCK) && sum == expected,
            "a message of {len} bytes arrived damaged (sum {sum:#x}, expected {expected:#x})"
        );
        Ok(Payload { seed, len })
    }
}

/// Memory for the subjects that take a slice, the same for every message.
#[derive(Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn message(&mut self, payload: Payload) -> &[u8] {
        if self.0.len() != payload.len {
            self.0.resize(payload.len, 0);
        }
        payload.write(&mut self.0);
        &self.0
    }
}

/// Makes `Bytes` for the subjects that take them, without an allocation per message.
#[derive(Default)]
pub(crate) struct Arena {
    buffer: BytesMut,
}

impl Arena {
    const CHUNK: usize = 64 * 1024;

    pub(crate) fn message(&mut self, payload: Payload) -> Bytes {
        if self.buffer.capacity() < payload.len {
            self.buffer.reserve(payload.len.max(Arena::CHUNK));
        }
        payload.write_uninit(&mut self.buffer.spare_capacity_mut()[..payload.len]);
        // SAFETY: the line above initialised exactly these bytes (every length is a multiple of a
        // block).
        unsafe { self.buffer.set_len(payload.len) };
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_who_sent_it_and_which_it_was() {
        for len in [64, 1024, 1 << 20] {
            let sent = Payload::new(len, 77).from(63).last();
            assert_eq!(Payload::check(&Arena::default().message(sent)).ok(), Some(sent));
        }
    }

    #[test]
    fn one_changed_byte_anywhere_is_noticed() {
        let mut bytes = vec![0; 64];
        for at in 0..bytes.len() {
            Payload::new(64, 5).write(&mut bytes);
            bytes[at] ^= 0x10;
            assert!(Payload::check(&bytes).is_err(), "byte {at}");
        }
    }
}
