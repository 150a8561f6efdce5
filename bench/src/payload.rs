//! What every message carries: numbered words that the sender writes and the receiver adds up.
//!
//! The first word says who sent the message, its number and whether it ends a phase; each further
//! word follows from it. The receiver sums *all* words and compares with the sum that the first word
//! implies, so a subject that skips, tears or reorders bytes fails instead of looking fast.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use std::mem::MaybeUninit;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const LAST: u64 = 1 << 63;
const FROM_SHIFT: u32 = 40;
const NUMBER_MASK: u64 = (1 << FROM_SHIFT) - 1;
const WORD: usize = size_of::<u64>();

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
        let sum = words.fold(seed, u64::wrapping_add);
        let count = (bytes.len() / WORD) as u64;
        let steps = count.wrapping_mul(count.wrapping_sub(1)) / 2;
        let expected = seed.wrapping_mul(count).wrapping_add(STEP.wrapping_mul(steps));
        ensure!(
            count > 0 && sum == expected,
            "a message of {} bytes arrived damaged (sum {sum:#x}, expected {expected:#x})",
            bytes.len()
        );
        Ok(Payload {
            from: ((seed & !LAST) >> FROM_SHIFT) as u16,
            number: seed & NUMBER_MASK,
            last: seed & LAST != 0,
            len: bytes.len(),
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
