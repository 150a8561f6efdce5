//! Where everything lies in the shared memory, and how a record's header is read and written.
//!
//! Pure arithmetic: no atomics, no system calls. All sizes and masks are computed here from the
//! agreed [`Layout`], never from the shared memory.
use crate::capacity::is_capacity;
use crate::error::{AttachError, Misbehaviour};

/// What two processors may fetch together: x86 prefetches lines of 64 bytes in pairs, and Apple's
/// and some other ARM cores have lines of 128.
pub(crate) const LINE_WORDS: usize = if cfg!(loom) { 2 } else { 16 };
/// The header, the control lines, and the first words of the first ring, which ends a line before the second one begins.
const HEADER_BYTES: usize = if cfg!(loom) { 11 * LINE_WORDS * 8 } else { 4096 };

/// Control lines of one ring, in lines from its first. Each is written by one side in normal work.
pub(crate) const CLAIMED: usize = 0;
pub(crate) const RELEASED: usize = LINE_WORDS;
pub(crate) const DATA_WAIT: usize = 2 * LINE_WORDS;
pub(crate) const SPACE_WAIT: usize = 3 * LINE_WORDS;
const CONTROL_WORDS: usize = 4 * LINE_WORDS;

/// The sizes of the two rings, agreed on before anything is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    up: usize,
    down: usize,
}

impl Layout {
    /// Two rings of `up` bytes (from the side that offers) and `down` bytes (towards it).
    ///
    /// # Errors
    /// [`AttachError::Capacity`] unless both are powers of two from [`MIN_CAPACITY`](crate::MIN_CAPACITY) to
    /// [`MAX_CAPACITY`](crate::MAX_CAPACITY).
    pub fn new(up: usize, down: usize) -> Result<Layout, AttachError> {
        for capacity in [up, down] {
            if !is_capacity(capacity) {
                return Err(AttachError::Capacity(capacity));
            }
        }
        Ok(Layout { up, down })
    }

    /// Bytes of the ring that the offering side writes.
    pub fn up(&self) -> usize {
        self.up
    }

    /// Bytes of the ring that the offering side reads.
    pub fn down(&self) -> usize {
        self.down
    }

    /// Bytes of the whole mapping.
    pub fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.up + self.down
    }

    pub(crate) fn up_ring(&self) -> RingPlace {
        // A word before a line, so that the payload of a record there begins with the line.
        let data = HEADER_BYTES / 8 - LINE_WORDS - 1;
        RingPlace { control: LINE_WORDS, data, capacity: self.up as u64 }
    }

    pub(crate) fn down_ring(&self) -> RingPlace {
        RingPlace {
            control: LINE_WORDS + CONTROL_WORDS,
            data: (HEADER_BYTES + self.up) / 8 - 1,
            capacity: self.down as u64,
        }
    }

    /// A layout below the minimum, so that loom and the tests meet the end of the ring often.
    #[cfg(test)]
    pub(crate) fn tiny(capacity: usize) -> Layout {
        assert!(capacity.is_power_of_two() && capacity >= 32);
        Layout { up: capacity, down: capacity }
    }
}

/// Where one ring lies, in words, and how large it is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingPlace {
    pub(crate) control: usize,
    pub(crate) data: usize,
    pub(crate) capacity: u64,
}

impl RingPlace {
    /// The longest payload. Half the ring, so that a record finds room in an empty ring wherever
    /// the last one ended: the padding before it is then shorter than itself.
    pub(crate) fn max_payload(&self) -> usize {
        (self.capacity / 2 - RECORD_HEADER) as usize
    }

    /// Index of the word at `position`.
    pub(crate) fn word(&self, position: u64) -> usize {
        self.data + (self.offset(position) / 8) as usize
    }

    /// Bytes from the start of the ring to `position`.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position & (self.capacity - 1)
    }

    /// How many bytes may be unreleased at once: all but the word that marks the end.
    pub(crate) fn usable(&self) -> u64 {
        self.capacity - 8
    }
}

/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: u64 = 8;

/// A payload of so many bytes or more leaves the next record where its payload begins with a cache line. As [`LINE`], part of the
/// protocol: both sides find the next record by it, and another value is another version of the layout.
const LONG: usize = 1024;
const LINE: u64 = 64;

/// Where a record that starts at `start` ends, and the next one starts: at a whole word, and behind a long one at a multiple of a
/// line, which lies one word before a line. (A capacity is a multiple of a line wherever a long payload fits, so what ends at or before the
/// end of the ring does so rounded up, too.)
pub(crate) fn record_end(start: u64, payload: usize) -> u64 {
    (start + RECORD_HEADER + payload as u64).next_multiple_of(if payload < LONG { 8 } else { LINE })
}

/// Set in every published header: a word of zero means "nothing here yet".
const PUBLISHED: u64 = 1 << 63;
/// The rest of the ring is empty; the record is at its start.
const PADDING: u64 = 1 << 62;
const STAMP_SHIFT: u32 = 48;
const STAMP: u64 = 0x3fff << STAMP_SHIFT;

/// A published header: `u32` length, `u8` kind, `u8` flags, and 16 bits of which two say what it is
/// and 14 repeat the position, so that a stray write is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header(u64);

impl Header {
    pub(crate) fn record(len: usize, kind: u8, flags: u8, position: u64) -> Header {
        Header(PUBLISHED | stamp(position) | len as u64 | u64::from(kind) << 32 | u64::from(flags) << 40)
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
            _ if word & (PUBLISHED | STAMP) == PUBLISHED | stamp(position) => Ok(Some(Header(word))),
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

/// A record whose place and length were found to be within the ring.
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

impl RingPlace {
    /// The record that comes next at `position`, its length and place checked. `load` reads one
    /// word; each is read once, so that what was checked is what is used.
    #[inline]
    pub(crate) fn next_record(
        &self,
        position: u64,
        load: impl Fn(usize) -> u64,
    ) -> Result<Option<Head>, Misbehaviour> {
        match Header::decode(load(self.word(position)), position)? {
            None => Ok(None),
            Some(header) if header.is_padding() => {
                self.behind_padding(position, header.len(), load).map(Some)
            }
            Some(header) => self.check(position, header).map(Some),
        }
    }

    /// The record at the start of the ring, behind `len` bytes of padding at `position`.
    #[cold]
    fn behind_padding(
        &self,
        position: u64,
        len: usize,
        load: impl Fn(usize) -> u64,
    ) -> Result<Head, Misbehaviour> {
        let rest = self.capacity - self.offset(position);
        if len as u64 + RECORD_HEADER != rest {
            return Err(Misbehaviour::Padding);
        }
        let start = position + rest;
        // The record was written before the padding was published.
        match Header::decode(load(self.word(start)), start)? {
            Some(header) if !header.is_padding() => self.check(start, header),
            _ => Err(Misbehaviour::Padding),
        }
    }

    #[inline]
    fn check(&self, start: u64, header: Header) -> Result<Head, Misbehaviour> {
        if header.len() > self.max_payload() {
            return Err(Misbehaviour::TooLong);
        }
        let end = record_end(start, header.len());
        if self.offset(start) + (end - start) > self.capacity {
            return Err(Misbehaviour::PastEnd);
        }
        Ok(Head { start, end, header })
    }
}
