//! What can go wrong with a ring, told by whom it is the fault of.
use std::{fmt, io};

use crate::capacity::{MAX_CAPACITY, MIN_CAPACITY};
use crate::position::Position;

/// Why an operation on a ring did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The ring has no room yet. There will be once everything before `wanted` is released.
    Full {
        /// What to hand to `Producer::prepare_park`.
        wanted: Position,
    },
    /// A reservation is being filled; there is room again when it is committed or abandoned.
    Reserved,
    /// No record of this ring can be so long; the caller is to cut the message into chunks.
    TooLarge {
        /// The payload asked for, in bytes.
        len: usize,
        /// The longest payload of this ring, in bytes.
        max: usize,
    },
    /// The producer has fenced the ring: nothing more can be claimed from it or written to it.
    Fenced,
    /// `release` was asked for a record that was never claimed. A mistake of the caller.
    ReleasedAhead,
    /// The other process broke the ring's rules. The ring is of no further use.
    Misbehaved(Misbehaviour),
}

/// How the other process broke the rules. It says nothing about the local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A record's header is not the one that belongs at this place.
    Stamp,
    /// A record claims to be longer than records may be.
    TooLong,
    /// A record claims to go on past the end of the ring.
    PastEnd,
    /// The padding at the end of the ring is not followed by a record.
    Padding,
    /// The producer wrote over records that were not released.
    Overrun,
    /// Records that exist no more, or not yet, are said to be released.
    Released,
    /// Records that exist no more, or not yet, are said to be claimed.
    Claimed,
}

/// Why an offered piece of shared memory was not taken. The offer is dropped and its descriptors
/// are closed; whoever wanted it stays with the socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// Not as many descriptors as an offer has, or some were cut off on the way.
    Descriptors {
        /// How many an offer has.
        expected: usize,
        /// How many arrived.
        got: usize,
    },
    /// The sizes asked for are not powers of two within the limits.
    Capacity(usize),
    /// The memory could still be cut short, which would kill whoever reads it.
    NotSealed,
    /// The memory is not of the agreed size.
    Size {
        /// The size that follows from the agreed capacities.
        expected: u64,
        /// The size it has.
        got: u64,
    },
    /// The memory is not ordinary memory, so that touching it could fail.
    NotMemory,
    /// One of the other two descriptors is not a non-blocking eventfd.
    NotADoorbell,
    /// The header does not say what was agreed.
    Header,
    /// The kernel refused: no memory, no descriptors, or a seccomp filter.
    Io(io::Error),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::Full { .. } => f.write_str("the ring is full"),
            RingError::Reserved => f.write_str("the ring is reserved"),
            RingError::TooLarge { len, max } => {
                write!(f, "a record of {len} bytes does not fit a ring whose records end at {max} bytes")
            }
            RingError::Fenced => f.write_str("the ring is fenced"),
            RingError::ReleasedAhead => f.write_str("released ahead of what was claimed"),
            RingError::Misbehaved(how) => write!(f, "the other side misbehaved: {how}"),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misbehaviour::Stamp => "a record header is out of place",
            Misbehaviour::TooLong => "a record is too long",
            Misbehaviour::PastEnd => "a record runs past the end of the ring",
            Misbehaviour::Padding => "the padding at the end of the ring is malformed",
            Misbehaviour::Overrun => "unreleased records were overwritten",
            Misbehaviour::Released => "the released index is out of range",
            Misbehaviour::Claimed => "the claimed index is out of range",
        })
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Descriptors { expected, got } => {
                write!(f, "an offer has {expected} descriptors, not {got}")
            }
            AttachError::Capacity(bytes) => {
                write!(f, "a ring of {bytes} bytes: not a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}")
            }
            AttachError::NotSealed => {
                f.write_str("the offered memory is not sealed against shrinking and growing")
            }
            AttachError::Size { expected, got } => {
                write!(f, "the offered memory has {got} bytes instead of {expected}")
            }
            AttachError::NotMemory => f.write_str("the offered memory is not an ordinary memfd"),
            AttachError::NotADoorbell => f.write_str("an offered doorbell is not a non-blocking eventfd"),
            AttachError::Header => f.write_str("the shared header is not this version's"),
            AttachError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RingError {}
impl std::error::Error for Misbehaviour {}
impl std::error::Error for AttachError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Told as its own message, so what is behind it is what is behind that.
            AttachError::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Misbehaviour> for RingError {
    fn from(how: Misbehaviour) -> Self {
        RingError::Misbehaved(how)
    }
}

impl From<io::Error> for AttachError {
    fn from(error: io::Error) -> Self {
        AttachError::Io(error)
    }
}
