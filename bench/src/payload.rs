//! What every message carries: numbered words that the sender writes and the receiver adds up.
//!
//! The first word says who sent the message, its number and whether it ends a phase; each further
//! word follows from it. The receiver sums *all* words and compares with the sum that the first word
//! implies, so a subject that skips, tears or reorders bytes fails instead of looking fast.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use std::io::{Read, Write};
use std::mem::MaybeUninit;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const LAST: u64 = 1 << 63;
const FROM_SHIFT: u32 = 40;
const NUMBER_MASK: u64 = (1 << FROM_SHIFT) - 1;
const WORD: usize = size_of::<u64>();
/// Stays in the nearest cache.
const PIECE: usize = 8 * 1024;
/// A part of a message on its way to or from where it cannot be borrowed.
pub(crate) type Piece = [u8; PIECE];

/// One message, described; its bytes follow from the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Which of several senders.
    pub(crate) from: u16,
    /// Counts from 0 within a phase.
    pub(crate) number: u64,
    /// The last message of a phase; the receiver answers it.
    pub(crate) last: bool,
    /// Bytes, a multiple of 8.
    pub(crate) len: usize,
}

impl Payload {
    pub(crate) fn new(len: usize, number: u64) -> Payload {
        Payload { from: 0, number, last: false, len }
    }

    pub(crate) fn last(self) -> Payload {
        Payload { last: true, ..self }
    }

    pub(crate) fn from(self, from: u16) -> Payload {
        Payload { from, ..self }
    }

    fn seed(self) -> u64 {
        let last = if self.last { LAST } else { 0 };
        (self.number & NUMBER_MASK) | (u64::from(self.from) << FROM_SHIFT) | last
    }

    /// Writes every byte of the message.
    pub(crate) fn write_uninit(self, into: &mut [MaybeUninit<u8>]) {
        let mut word = self.seed();
        for chunk in into.chunks_exact_mut(WORD) {
            chunk.copy_from_slice(&word.to_le_bytes().map(MaybeUninit::new));
            word = word.wrapping_add(STEP);
        }
    }

    /// Writes every byte of the message, a `piece` at a time, to where it cannot be borrowed.
    pub(crate) fn write_to(self, out: &mut impl Write, piece: &mut Piece) -> Result<()> {
        let (mut word, mut left) = (self.seed(), self.len);
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE)];
            for chunk in piece.chunks_exact_mut(WORD) {
                chunk.copy_from_slice(&word.to_le_bytes());
                word = word.wrapping_add(STEP);
            }
            out.write_all(piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    /// Reads every byte of a message of `len` bytes, a `piece` at a time, and says which message it was.
    pub(crate) fn read_from(input: &mut impl Read, len: usize, piece: &mut Piece) -> Result<Payload> {
        let (mut seed, mut sum, mut left) = (None, 0u64, len);
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE)];
            input.read_exact(piece)?;
            left -= piece.len();
            seed = seed.or_else(|| piece.chunks_exact(WORD).next().map(word_of));
            sum = piece.chunks_exact(WORD).map(word_of).fold(sum, u64::wrapping_add);
        }
        Payload::identify(seed.unwrap_or_default(), sum, len)
    }

    /// Writes every byte of the message over initialised memory.
    pub(crate) fn write(self, into: &mut [u8]) {
        // SAFETY: MaybeUninit<u8> has the layout of u8, and `write_uninit` stores initialised bytes only.
        let into = unsafe { &mut *(std::ptr::from_mut(into) as *mut [MaybeUninit<u8>]) };
        self.write_uninit(into);
    }

    /// Reads every byte and says which message it was.
    pub(crate) fn check(bytes: &[u8]) -> Result<Payload> {
        let mut words = bytes.chunks_exact(WORD).map(word_of);
        let seed = words.next().unwrap_or_default();
        Payload::identify(seed, words.fold(seed, u64::wrapping_add), bytes.len())
    }

    /// Which message begins with the word `seed`, if its words add up.
    fn identify(seed: u64, sum: u64, len: usize) -> Result<Payload> {
        let count = (len / WORD) as u64;
        let steps = count.wrapping_mul(count.wrapping_sub(1)) / 2;
        let expected = seed.wrapping_mul(count).wrapping_add(STEP.wrapping_mul(steps));
        ensure!(
            count > 0 && sum == expected,
            "a message of {len} bytes arrived damaged (sum {sum:#x}, expected {expected:#x})"
        );
        Ok(Payload {
            from: ((seed & !LAST) >> FROM_SHIFT) as u16,
            number: seed & NUMBER_MASK,
            last: seed & LAST != 0,
            len,
        })
    }
}

fn word_of(chunk: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word.copy_from_slice(chunk);
    u64::from_le_bytes(word)
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
        // SAFETY: the line above initialised exactly these bytes (every length is a multiple of 8).
        unsafe { self.buffer.set_len(payload.len) };
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_who_sent_it_and_which_it_was() {
        for len in [8, 64, 1024, 1 << 20] {
            let sent = Payload::new(len, 77).from(63).last();
            assert_eq!(Payload::check(&Arena::default().message(sent)).ok(), Some(sent));
            let (mut written, mut piece) = (Vec::new(), [0; PIECE]);
            sent.write_to(&mut written, &mut piece).expect("a vector takes everything");
            assert_eq!(Payload::check(&written).ok(), Some(sent));
            assert_eq!(Payload::read_from(&mut &written[..], len, &mut piece).ok(), Some(sent));
        }
    }

    #[test]
    fn one_changed_byte_anywhere_is_noticed() {
        let mut bytes = vec![0; 64];
        for at in 0..bytes.len() {
            Payload::new(64, 5).write(&mut bytes);
            bytes[at] ^= 0x10;
            assert!(Payload::check(&bytes).is_err(), "byte {at}");
            assert!(Payload::read_from(&mut &bytes[..], 64, &mut [0; PIECE]).is_err(), "byte {at}");
        }
    }
}
