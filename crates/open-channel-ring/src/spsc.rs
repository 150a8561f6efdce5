//! One ring as both ends see it: its control words, and a record in it.
//!
//! The rules that make it work are in the [crate documentation](crate); the two ends are
//! [`producer`](crate::producer) and [`consumer`](crate::consumer).
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::BytesMut;

use crate::error::Misbehaviour;
use crate::layout::{self, Head, Layout, RingPlace};
use crate::position::Position;
use crate::shim::{Acquire, AtomicU64, BLOCK, BlockWords, Relaxed, copy_out, load_block};

/// Memory that both sides see, as words. Cloning gives another handle on the same words.
pub trait Region: Clone {
    /// All of it; always the same words.
    fn words(&self) -> &[AtomicU64];
}

/// Memory of this process only: for loom, Miri, the in-process tests and the fuzz targets.
#[derive(Clone)]
pub struct Heap(Arc<[AtomicU64]>);

impl Heap {
    /// Zeroed, of the size that `layout` asks for.
    pub fn new(layout: Layout) -> Heap {
        Heap((0..layout.total_bytes() / 8).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Region for Heap {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

/// Says that something happened, to a side that may be asleep. Called only when it is.
pub trait Wake {
    /// Wakes the other side. Must not block and cannot fail: a side that is gone needs no waking.
    fn wake(&self);
}

/// The fence: set in the `claimed` word by the producer, never cleared. Positions are multiples of
/// eight, so the bit is free.
pub(crate) const FENCED: u64 = 1;

/// The words of one ring.
#[derive(Clone)]
pub(crate) struct Words<R> {
    region: R,
    pub(crate) place: RingPlace,
}

impl<R: Region> Words<R> {
    pub(crate) fn new(region: R, place: RingPlace) -> Self {
        // Every later index is below this one, so a wrong layout shows here and not in the middle.
        let end = place.data + (place.capacity / 8) as usize;
        assert!(end <= region.words().len(), "the layout is larger than the region");
        Words { region, place }
    }

    #[inline]
    fn control(&self, line: usize) -> &AtomicU64 {
        &self.region.words()[self.place.control + line]
    }

    #[inline]
    pub(crate) fn claimed(&self) -> &AtomicU64 {
        self.control(layout::CLAIMED)
    }

    #[inline]
    pub(crate) fn released(&self) -> &AtomicU64 {
        self.control(layout::RELEASED)
    }

    #[inline]
    pub(crate) fn data_wait(&self) -> &AtomicU64 {
        self.control(layout::DATA_WAIT)
    }

    #[inline]
    pub(crate) fn space_wait(&self) -> &AtomicU64 {
        self.control(layout::SPACE_WAIT)
    }

    /// The word at `position`.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> &AtomicU64 {
        &self.region.words()[self.place.word(position)]
    }

    /// The words from `position` on, up to the end of the ring.
    #[inline]
    pub(crate) fn from(&self, position: u64) -> &[AtomicU64] {
        let end = self.place.data + (self.place.capacity / 8) as usize;
        &self.region.words()[self.place.word(position)..end]
    }

    /// The record at `position`, checked; `None` while there is none.
    #[inline]
    pub(crate) fn next_record(&self, position: u64) -> Result<Option<Head>, Misbehaviour> {
        let words = self.region.words();
        // Acquire: the payload was written before its header was published.
        self.place.next_record(position, |word| words[word].load(Acquire))
    }

    #[inline]
    pub(crate) fn record(&self, head: Head) -> Record<'_> {
        let payload = if head.len() == 0 { &[] } else { self.from(head.start + layout::RECORD_HEADER) };
        Record { payload, head }
    }
}

/// What a side that spins looks at: one word, over and over, without the lock that guards its end of the ring.
/// It only ever advises: a stale answer costs a look in vain, or a sleep that ends at once.
pub struct RingWatch<R> {
    words: Words<R>,
    what: Watched,
}

enum Watched {
    /// A record at this position, or the fence.
    Data(u64),
    /// The release of everything before this position.
    Released(u64),
}

impl<R: Region> RingWatch<R> {
    pub(crate) fn data(words: Words<R>, position: u64) -> Self {
        RingWatch { words, what: Watched::Data(position) }
    }

    pub(crate) fn moved_to(self, place: RingPlace, position: u64) -> Self {
        RingWatch { words: Words { place, ..self.words }, what: Watched::Data(position) }
    }

    pub(crate) fn released(words: Words<R>, wanted: Position) -> Self {
        RingWatch { words, what: Watched::Released(wanted.0) }
    }

    /// Whether it is worth to look at the ring again.
    #[inline]
    pub fn is_due(&self) -> bool {
        match self.what {
            Watched::Data(position) => {
                self.words.at(position).load(Relaxed) != 0 || self.words.claimed().load(Relaxed) & FENCED != 0
            }
            Watched::Released(wanted) => self.words.released().load(Relaxed) >= wanted,
        }
    }
}

/// A record that lies in shared memory. Its payload can be copied out and not borrowed: the other
/// process could change it under a `&[u8]`, which no check can make sound.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    payload: &'a [AtomicU64],
    head: Head,
}

impl Record<'_> {
    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.head.len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.head.len() == 0
    }

    /// What the producer gave to `commit`.
    pub fn kind(&self) -> u8 {
        self.head.header.kind()
    }

    /// What the producer gave to `commit`.
    pub fn flags(&self) -> u8 {
        self.head.header.flags()
    }

    /// Where the record ends: releasing up to here releases it and all before it.
    pub fn end(&self) -> Position {
        Position(self.head.end)
    }

    /// The payload's word that begins at byte `8 * index`, as a little-endian number; bytes beyond the payload are
    /// whatever lies there.
    ///
    /// # Panics
    /// If the word is beyond the ring.
    pub fn word(&self, index: usize) -> u64 {
        u64::from_le(self.payload[index].load(Relaxed))
    }

    /// Copies the payload without its first `skip` bytes, a multiple of eight, to the end of `buffer`.
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
        // SAFETY: `copy_out` has initialised these `len` bytes, which `with_capacity` made room for.
        unsafe { vec.set_len(self.head.len()) };
        vec
    }

    /// Copies the payload from its byte `at` on over `out`.
    ///
    /// # Panics
    /// If the payload ends before.
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
}

impl<'a> Record<'a> {
    /// The payload from its byte `at` on, a multiple of eight, as blocks of 64 bytes; what is left does not fill one.
    ///
    /// # Panics
    /// If the payload ends before `at`, or `at` is no multiple of eight.
    #[inline]
    pub fn blocks_at(&self, at: usize) -> Blocks<'a> {
        assert!(at.is_multiple_of(8) && at <= self.head.len(), "no word of the record begins there");
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

/// A record that was claimed, by its place in its ring.
#[derive(Debug, Clone, Copy)]
pub struct Claim(pub(crate) Head);

/// A claimed record apart from its end of the ring, and what keeps its memory mapped. Its bytes are those that the producer wrote
/// for as long as it is not released; whatever happens to the ring, reading them is sound.
pub struct ClaimedRecord<R> {
    words: Words<R>,
    head: Head,
}

impl<R: Region> ClaimedRecord<R> {
    pub(crate) fn new(words: Words<R>, head: Head) -> Self {
        ClaimedRecord { words, head }
    }

    /// The record.
    #[inline]
    pub fn record(&self) -> Record<'_> {
        self.words.record(self.head)
    }
}

impl<R> std::fmt::Debug for ClaimedRecord<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.head.fmt(f)
    }
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.head.fmt(f)
    }
}
