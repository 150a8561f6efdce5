//! Where everything lies in the shared memory.
//!
//! Pure arithmetic: no atomics, no system calls. All sizes and masks follow from the agreed
//! [`Layout`], never from the shared memory.
use crate::capacity::{MAX_CAPACITY, is_capacity};
use crate::error::AttachError;

/// Words that two processors may fetch together: x86 prefetches lines of 64 bytes in pairs, and
/// Apple's and some other ARM cores have lines of 128.
pub(crate) const LINE_WORDS: usize = if cfg!(loom) { 2 } else { 16 };
/// The header, the control lines, and the first words of the first ring, which ends a line before
/// the second one begins.
const HEADER_BYTES: usize = if cfg!(loom) { 11 * LINE_WORDS * 8 } else { 4096 };

/// Control lines of one ring, in words from its first. In normal work one side writes each of them.
pub(crate) const CLAIMED: usize = 0;
pub(crate) const RELEASED: usize = LINE_WORDS;
pub(crate) const DATA_WAIT: usize = 2 * LINE_WORDS;
pub(crate) const SPACE_WAIT: usize = 3 * LINE_WORDS;
const CONTROL_WORDS: usize = 4 * LINE_WORDS;

/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: u64 = 8;

/// The sizes of the two rings, agreed on before anything is mapped; and a size of its own, which
/// each side chooses for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    up: usize,
    down: usize,
    lap: usize,
}

impl Layout {
    /// Two rings of `up` bytes (from the side that offers) and `down` bytes (towards it).
    ///
    /// # Errors
    /// [`AttachError::Capacity`] unless both are powers of two from
    /// [`MIN_CAPACITY`](crate::MIN_CAPACITY) to [`MAX_CAPACITY`](crate::MAX_CAPACITY).
    pub fn new(up: usize, down: usize) -> Result<Layout, AttachError> {
        for capacity in [up, down] {
            if !is_capacity(capacity) {
                return Err(AttachError::Capacity(capacity));
            }
        }
        Ok(Layout { up, down, lap: MAX_CAPACITY })
    }

    /// The same, where this side begins with a [lap](crate::Producer::lap) of `bytes` at most, and
    /// counts so much of each ring as [committed](crate::committed_bytes). The other side need not
    /// know.
    pub fn with_lap(self, bytes: usize) -> Layout {
        Layout { lap: bytes, ..self }
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

    /// Bytes that are committed when both rings are made: the header, and the first lap of each.
    pub fn committed_bytes(&self) -> usize {
        HEADER_BYTES + self.up.min(self.lap) + self.down.min(self.lap)
    }

    /// Bytes of the first lap, in a ring that has as many.
    pub(crate) fn lap(&self) -> usize {
        self.lap
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
        Layout { up: capacity, down: capacity, lap: capacity }
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
    /// The longest payload that a reader accepts: a little less than half the ring. The padding
    /// before a record is shorter than the record, so an empty ring has room for it wherever the
    /// last one ended.
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
