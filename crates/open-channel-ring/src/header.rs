//! A record's header: how it is written, read and checked.
//!
//! Pure arithmetic: no atomics, no system calls. A header is compared with the reader's own
//! position and sizes, never with other words of the shared memory.
use crate::error::Misbehaviour;
use crate::layout::{RECORD_HEADER, RingPlace};

/// Behind a payload of so many bytes or more, the next payload begins with a cache line. Both sides
/// find the next record by this number and [`LINE`]: other values are another version of the
/// layout.
const LONG: usize = 1024;
pub(crate) const LINE: u64 = 64;

/// Where a record that starts at `start` ends, and the next one starts.
///
/// The end is at a whole word; behind a long record it is at a multiple of a line, which lies one
/// word before a line. A ring that can hold a long record is a multiple of a line, so rounding up
/// never passes its end.
pub(crate) fn record_end(start: u64, payload: usize) -> u64 {
    (start + RECORD_HEADER + payload as u64).next_multiple_of(if payload < LONG { 8 } else { LINE })
}

/// Set in every published header: a word of zero means "nothing here yet".
const PUBLISHED: u64 = 1 << 63;
/// The rest of the ring is empty; the record is at its start.
const PADDING: u64 = 1 << 62;
const STAMP_SHIFT: u32 = 48;
const STAMP: u64 = 0x3fff << STAMP_SHIFT;

/// A published header: `u32` length, `u8` kind, `u8` flags, and 16 bits. Two of these say what the
/// header is; 14 repeat the position, so that a stray write is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header(u64);

impl Header {
    pub(crate) fn record(len: usize, kind: u8, flags: u8, position: u64) -> Header {
        Header(
            PUBLISHED
                | stamp(position)
                | len as u64
                | u64::from(kind) << 32
                | u64::from(flags) << 40,
        )
    }

    pub(crate) fn padding(len: u64, position: u64) -> Header {
        Header(PUBLISHED | PADDING | stamp(position) | len)
    }

    /// The word to publish.
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// Reads a word that was found at `position`. `None`: nothing was published there yet.
    #[inline]
    pub(crate) fn decode(word: u64, position: u64) -> Result<Option<Header>, Misbehaviour> {
        match word {
            0 => Ok(None),
            _ if word & (PUBLISHED | STAMP) == PUBLISHED | stamp(position) => {
                Ok(Some(Header(word)))
            }
            _ => Err(Misbehaviour::Stamp),
        }
    }

    fn is_padding(self) -> bool {
        self.0 & PADDING != 0
    }

    pub(crate) fn len(self) -> usize {
        self.0 as u32 as usize
    }

    pub(crate) fn kind(self) -> u8 {
        (self.0 >> 32) as u8
    }

    pub(crate) fn flags(self) -> u8 {
        (self.0 >> 40) as u8
    }
}

fn stamp(position: u64) -> u64 {
    (position >> 3) << STAMP_SHIFT & STAMP
}

/// The header of a record whose place and length were found to be within the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where its header is (behind any padding).
    pub(crate) start: u64,
    /// Where the next one is.
    pub(crate) end: u64,
    pub(crate) header: Header,
}

impl Head {
    /// Bytes of the payload.
    pub(crate) fn len(&self) -> usize {
        self.header.len()
    }
}

/// The record that comes next at `position`, with its length and place checked. `load` reads one
/// word. Each word is read once, so that the value that is used is the value that was checked.
#[inline]
pub(crate) fn next_record(
    ring: &RingPlace,
    position: u64,
    load: impl Fn(usize) -> u64,
) -> Result<Option<Head>, Misbehaviour> {
    match Header::decode(load(ring.word(position)), position)? {
        None => Ok(None),
        Some(header) if header.is_padding() => {
            record_behind_padding(ring, position, header.len(), load).map(Some)
        }
        Some(header) => check(ring, position, header).map(Some),
    }
}

/// The record at the start of the ring, behind `len` bytes of padding at `position`.
#[cold]
fn record_behind_padding(
    ring: &RingPlace,
    position: u64,
    len: usize,
    load: impl Fn(usize) -> u64,
) -> Result<Head, Misbehaviour> {
    let rest = ring.capacity - ring.offset(position);
    if len as u64 + RECORD_HEADER != rest {
        return Err(Misbehaviour::Padding);
    }
    let start = position + rest;
    // The record was written before the padding was published.
    match Header::decode(load(ring.word(start)), start)? {
        Some(header) if !header.is_padding() => check(ring, start, header),
        _ => Err(Misbehaviour::Padding),
    }
}

#[inline]
fn check(ring: &RingPlace, start: u64, header: Header) -> Result<Head, Misbehaviour> {
    if header.len() > ring.max_payload() {
        return Err(Misbehaviour::TooLong);
    }
    let end = record_end(start, header.len());
    if ring.offset(start) + (end - start) > ring.capacity {
        return Err(Misbehaviour::PastEnd);
    }
    Ok(Head { start, end, header })
}
