//! Room for one record, and how it is filled.
use std::fmt;

use crate::atomics::{AtomicU64, Relaxed};
use crate::copy::{BLOCK, copy_in, store_blocks};
use crate::header::{Head, Header, record_end};
use crate::layout::RECORD_HEADER;
use crate::region::Region;
use crate::words::Words;

/// Room for one record of a ring, apart from its [`Producer`](crate::Producer); from
/// [`reserve_apart`](crate::Producer::reserve_apart). It can be written and not read.
pub struct RingReservation<R> {
    words: Words<R>,
    fill: Fill,
}

impl<R: Region> RingReservation<R> {
    pub(crate) fn new(words: Words<R>, fill: Fill) -> Self {
        RingReservation { words, fill }
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.fill.remaining()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.fill.written
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.fill.written == 0
    }

    /// Copies `bytes` behind what was written so far.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn append(&mut self, bytes: &[u8]) {
        self.fill.append(&self.words, bytes);
    }

    /// [`append`](Self::append) for bytes that are made as they are written, and so never lie in
    /// other memory. If `blocks` panics, it is not specified how many of them were written.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub fn append_blocks(&mut self, blocks: impl Iterator<Item = [u8; BLOCK]>) {
        self.fill.append_blocks(&self.words, blocks);
    }

    /// Reads back what was written, for the case that its ring has become useless.
    pub fn into_vec(mut self) -> Vec<u8> {
        let (start, len) = self.finish();
        let header = Header::record(len, 0, 0, start);
        self.words.record(Head { start, end: record_end(start, len), header }).to_vec()
    }

    /// Writes the rest; answers where the record starts and how long its payload is.
    pub(crate) fn finish(&mut self) -> (u64, usize) {
        self.fill.finish(&self.words)
    }
}

impl<R> fmt::Debug for RingReservation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fill.fmt(f)
    }
}

/// How far a record under way has been written.
#[derive(Debug)]
pub(crate) struct Fill {
    start: u64,
    room: usize,
    written: usize,
    /// The last bytes written that do not make a whole word yet.
    partial: u64,
}

impl Fill {
    /// Room for `room` bytes in a record that starts at `start`.
    #[inline]
    pub(crate) fn new(start: u64, room: usize) -> Self {
        Fill { start, room, written: 0, partial: 0 }
    }

    fn remaining(&self) -> usize {
        self.room - self.written
    }

    fn word<'a, R: Region>(&self, words: &'a Words<R>, payload_offset: usize) -> &'a AtomicU64 {
        words.at(self.start + RECORD_HEADER + payload_offset as u64)
    }

    #[inline]
    pub(crate) fn append<R: Region>(&mut self, words: &Words<R>, mut bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "more bytes than were reserved");
        let held = self.written % 8;
        if held != 0 {
            let taken = bytes.len().min(8 - held);
            self.partial |= load_partial(&bytes[..taken]) << (held * 8);
            self.written += taken;
            bytes = &bytes[taken..];
            if !self.written.is_multiple_of(8) {
                return;
            }
            self.word(words, self.written - 8).store(self.partial.to_le(), Relaxed);
            self.partial = 0;
        }
        let whole = bytes.len() & !7;
        if whole != 0 {
            copy_in(&bytes[..whole], words.from(self.start + RECORD_HEADER + self.written as u64));
        }
        self.partial = load_partial(&bytes[whole..]);
        self.written += bytes.len();
    }

    /// Copies blocks behind what was written so far; from registers, if that is a multiple of eight
    /// bytes.
    #[inline]
    fn append_blocks<R: Region>(
        &mut self,
        words: &Words<R>,
        mut blocks: impl Iterator<Item = [u8; BLOCK]>,
    ) {
        let room = self.remaining() / BLOCK;
        if room > 0 && self.written.is_multiple_of(8) {
            let free = words.from(self.start + RECORD_HEADER + self.written as u64);
            let (stored, rest) = store_blocks(blocks, &free.as_chunks().0[..room]);
            self.written += stored * BLOCK;
            if stored < room {
                return;
            }
            blocks = rest;
        }
        blocks.for_each(|block| self.append(words, &block));
    }

    /// Writes the bytes that do not make a whole word; answers where the record starts and how long
    /// its payload is.
    #[inline]
    pub(crate) fn finish<R: Region>(&mut self, words: &Words<R>) -> (u64, usize) {
        let held = self.written % 8;
        if held != 0 {
            self.word(words, self.written - held).store(self.partial.to_le(), Relaxed);
        }
        (self.start, self.written)
    }
}

/// Up to seven bytes as the low bytes of a word.
#[inline]
fn load_partial(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
