//! What every message carries: numbered words that the sender writes and the receiver adds up.
//!
//! The first word says who sent the message, its number and whether it ends a phase; each further
//! word follows from it. The receiver sums *all* words and compares with the sum that the first word
//! implies, so a subject that skips, tears or reorders bytes fails instead of looking fast.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use open_channel::{MessageReader, Reservation};
use std::io::Read;
use std::mem::MaybeUninit;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const LAST: u64 = 1 << 63;
const FROM_SHIFT: u32 = 40;
const NUMBER_MASK: u64 = (1 << FROM_SHIFT) - 1;
const WORD: usize = size_of::<u64>();
/// As much as is written and read together, in place.
const BLOCK: usize = 64;

/// One message, described; its bytes follow from the description. Two words, so that handing it on costs next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// The message's first word: who sent it, its number, and whether it is the last one.
    seed: u64,
    /// Bytes, a multiple of 8.
    pub(crate) len: usize,
}

impl Payload {
    pub(crate) fn new(len: usize, number: u64) -> Payload {
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

    /// Writes every byte of the message.
    pub(crate) fn write_uninit(self, into: &mut [MaybeUninit<u8>]) {
        let mut word = self.seed;
        for chunk in into.chunks_exact_mut(WORD) {
            chunk.copy_from_slice(&word.to_le_bytes().map(MaybeUninit::new));
            word = word.wrapping_add(STEP);
        }
    }

    /// Writes every byte of the message in place.
    pub(crate) fn append_to(self, reservation: &mut Reservation) {
        let mut word = self.seed;
        let mut next = || {
            let this = word;
            word = word.wrapping_add(STEP);
            this.to_le_bytes()
        };
        reservation.append_blocks((0..self.len / BLOCK).map(|_| {
            let mut block = [0; BLOCK];
            block.chunks_exact_mut(WORD).for_each(|chunk| chunk.copy_from_slice(&next()));
            block
        }));
        (0..self.len % BLOCK / WORD).for_each(|_| reservation.append(&next()));
    }

    /// Reads every byte of the message in place, and says which it was.
    pub(crate) fn read(message: &mut MessageReader) -> Result<Payload> {
        let len = message.len();
        let (mut seed, mut sum) = (None, 0u64);
        let mut add = |words: &[u8]| {
            seed = seed.or_else(|| words.get(..WORD).map(word_of));
            sum = words.chunks_exact(WORD).map(word_of).fold(sum, u64::wrapping_add);
        };
        message.blocks().for_each(|block| add(&block));
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..message.remaining()];
        message.read_exact(rest)?;
        add(rest);
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
        Ok(Payload { seed, len })
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
