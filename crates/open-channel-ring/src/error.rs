//! The errors of a ring. Each says which side is at fault.
use std::io;

use thiserror::Error;

use crate::capacity::{MAX_CAPACITY, MIN_CAPACITY};
use crate::position::Position;

/// Why an operation on a ring did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingError {
    /// The ring has no room yet. It has room once everything before `wanted` is released.
    #[error("the ring is full")]
    Full {
        /// The position to wait for, with
        /// [`Producer::prepare_park`](crate::Producer::prepare_park).
        wanted: Position,
    },
    /// A reservation is open. The ring takes the next record when it is committed or abandoned.
    #[error("the ring is reserved")]
    Reserved,
    /// No record of this ring can be so long; the caller is to cut the message into parts.
    #[error("a record of {len} bytes does not fit a ring whose records end at {max} bytes")]
    TooLarge {
        /// The payload asked for, in bytes.
        len: usize,
        /// The longest payload of this ring, in bytes.
        max: usize,
    },
    /// The producer has fenced the ring: nothing more can be claimed from it or written to it.
    #[error("the ring is fenced")]
    Fenced,
    /// The caller released a record that it never claimed.
    #[error("released ahead of what was claimed")]
    ReleasedAhead,
    /// The other process broke the ring's rules. The ring is of no further use.
    #[error("the other side misbehaved: {0}")]
    Misbehaved(Misbehaviour),
}

/// How the other process broke the rules. It says nothing about the local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A record's header is not the one that belongs at this place.
    #[error("a record header is out of place")]
    Stamp,
    /// A record claims to be longer than records may be.
    #[error("a record is too long")]
    TooLong,
    /// A record claims to go on past the end of the ring.
    #[error("a record runs past the end of the ring")]
    PastEnd,
    /// No record follows the padding at the end of the ring, or the padding has another length.
    #[error("the padding at the end of the ring is malformed")]
    Padding,
    /// The producer wrote over records that were not released.
    #[error("unreleased records were overwritten")]
    Overrun,
    /// The released index went back, or beyond what was written.
    #[error("the released index is out of range")]
    Released,
    /// The claimed index went back, or beyond what was written.
    #[error("the claimed index is out of range")]
    Claimed,
}

/// Why an offered piece of shared memory was not taken. The offer's descriptors are closed; the
/// caller carries on with its socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Not as many descriptors as an offer has, or some were cut off on the way.
    #[error("an offer has {expected} descriptors, not {got}")]
    Descriptors {
        /// How many an offer has.
        expected: usize,
        /// How many arrived.
        got: usize,
    },
    /// A ring of so many bytes: no power of two from [`MIN_CAPACITY`] to [`MAX_CAPACITY`].
    #[error("a ring of {0} bytes: not a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}")]
    Capacity(usize),
    /// The memory could still be cut short, which would kill a process that reads it.
    #[error("the offered memory is not sealed against shrinking and growing")]
    NotSealed,
    /// The memory is not of the agreed size.
    #[error("the offered memory has {got} bytes instead of {expected}")]
    Size {
        /// The size that follows from the agreed capacities, in bytes.
        expected: u64,
        /// The size it has, in bytes.
        got: u64,
    },
    /// The memory is not ordinary memory, so that touching it could fail.
    #[error("the offered memory is not an ordinary memfd")]
    NotMemory,
    /// One of the other two descriptors is not a non-blocking eventfd.
    #[error("an offered doorbell is not a non-blocking eventfd")]
    NotADoorbell,
    /// The header does not say what was agreed.
    #[error("the shared header is not this version's")]
    Header,
    /// The system refused: no memory, no descriptors, a seccomp filter, or a system without rings.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Misbehaviour> for RingError {
    fn from(how: Misbehaviour) -> Self {
        RingError::Misbehaved(how)
    }
}
