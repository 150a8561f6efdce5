//! A record that lies in shared memory, and how its payload is copied out.
use std::fmt;
use std::mem::MaybeUninit;

use bytes::BytesMut;

use crate::atomics::{AtomicU64, Relaxed};
use crate::copy::{BLOCK, BlockWords, copy_out, load_block};
use crate::header::Head;
use crate::position::Position;

/// A record that lies in shared memory. Its payload can be copied out and not borrowed: the other
/// process could change it under a `&[u8]`, and no check can make that sound.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    payload: &'a [AtomicU64],
    head: Head,
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn new(payload: &'a [AtomicU64], head: Head) -> Self {
        Record { payload, head }
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.head.len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.head.len() == 0
    }

    /// The kind that the producer committed it with.
    pub fn kind(&self) -> u8 {
        self.head.header.kind()
    }

    /// The flags that the producer committed it with.
    pub fn flags(&self) -> u8 {
        self.head.header.flags()
    }

    /// Where the record ends. Releasing up to here releases it and all before it.
    pub fn end(&self) -> Position {
        Position(self.head.end)
    }

    /// The payload's word that begins at byte `8 * index`, as a little-endian number. Bytes beyond
    /// the payload are whatever lies there.
    ///
    /// # Panics
    /// If the word is beyond the ring.
    pub fn word(&self, index: usize) -> u64 {
        u64::from_le(self.payload[index].load(Relaxed))
    }

    /// Copies the payload without its first `skip` bytes, a multiple of eight, to the end of
    /// `buffer`.
    ///
    /// # Panics
    /// If the payload is shorter than `skip`.
    #[inline]
    pub fn append_to(&self, buffer: &mut BytesMut, skip: usize) {
        debug_assert!(skip.is_multiple_of(8));
        let len = self.head.len() - skip;
        buffer.reserve(len);
        copy_out(&self.payload[skip / 8..], &mut buffer.spare_capacity_mut()[..len]);
        // SAFETY: `copy_out` has initialised these `len` bytes, which `reserve` made room for.
        unsafe { buffer.set_len(buffer.len() + len) };
    }

    /// Copies the payload into a vector of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut vec = Vec::with_capacity(self.head.len());
        copy_out(self.payload, &mut vec.spare_capacity_mut()[..self.head.len()]);
        // SAFETY: `copy_out` has initialised these `len` bytes, which `with_capacity` made room
        // for.
        unsafe { vec.set_len(self.head.len()) };
        vec
    }

    /// Copies bytes of the payload over all of `out`, from its byte `at` on.
    ///
    /// # Panics
    /// If the payload ends before `out` is full.
    #[inline]
    pub fn read_at(&self, at: usize, out: &mut [u8]) {
        assert!(out.len() <= self.head.len().saturating_sub(at), "the record ends before");
        let (mut word, within) = (at / 8, at % 8);
        let mut rest = out;
        if within != 0 && !rest.is_empty() {
            let bytes = self.payload[word].load(Relaxed).to_ne_bytes();
            let len = rest.len().min(8 - within);
            let first;
            (first, rest) = rest.split_at_mut(len);
            first.copy_from_slice(&bytes[within..within + len]);
            word += 1;
        }
        if !rest.is_empty() {
            copy_over(&self.payload[word..], rest);
        }
    }

    /// The payload from its byte `at` on, a multiple of eight, as blocks of 64 bytes. Bytes at the
    /// end that do not fill a block are left out.
    ///
    /// # Panics
    /// If the payload ends before `at`, or `at` is no multiple of eight.
    #[inline]
    pub fn blocks_at(&self, at: usize) -> Blocks<'a> {
        assert!(
            at.is_multiple_of(8) && at <= self.head.len(),
            "no word of the record begins there"
        );
        let whole = (self.head.len() - at) / BLOCK * BLOCK;
        Blocks { words: self.payload[at / 8..][..whole / 8].as_chunks().0.iter() }
    }
}

/// Blocks of 64 bytes that lie in shared memory, each loaded once; from [`Record::blocks_at`].
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    words: std::slice::Iter<'a, BlockWords>,
}

impl Iterator for Blocks<'_> {
    type Item = [u8; BLOCK];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.words.next().map(load_block)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.words.size_hint()
    }
}

impl ExactSizeIterator for Blocks<'_> {}

fn copy_over(words: &[AtomicU64], out: &mut [u8]) {
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and `copy_out` only ever writes
    // initialised bytes through this reference.
    let out = unsafe { &mut *(std::ptr::from_mut(out) as *mut [MaybeUninit<u8>]) };
    copy_out(words, out);
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)
    }
}
