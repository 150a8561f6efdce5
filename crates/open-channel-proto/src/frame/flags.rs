//! How a part of a message relates to the whole.

use crate::error::{FrameError, ProtocolError};

/// How a [`Frame::Data`](crate::Frame::Data) relates to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFlags {
    /// The message begins here.
    pub first: bool,
    /// The message ends here.
    pub last: bool,
    /// An earlier host may have handled the message already.
    pub redelivered: bool,
    /// The bytes are several messages in one [`Pack`](crate::Pack); valid where the message begins.
    pub packed: bool,
    /// The number of this attempt, from 1, saturating; 0 on a link of version 1, which has no such
    /// number.
    pub attempt: u8,
}

impl DataFlags {
    /// The attempt that they announce, on a link of this version.
    ///
    /// # Errors
    /// If they contradict each other, or the version.
    pub(crate) fn attempt_in(self, version: u16) -> Result<u32, ProtocolError> {
        match (version, self.attempt) {
            (..2, 0) => Ok(1 + u32::from(self.redelivered)),
            (2.., attempt @ 1..) if (attempt > 1) == self.redelivered => Ok(attempt.into()),
            _ => Err(ProtocolError::Unexpected("an attempt that contradicts its frame")),
        }
    }

    pub(super) fn to_bits(self) -> u8 {
        u8::from(self.first)
            | u8::from(self.last) << 1
            | u8::from(self.redelivered) << 2
            | u8::from(self.packed) << 3
    }

    pub(super) fn from_bits(bits: u8, attempt: u8) -> Result<Self, FrameError> {
        if bits & !0b1111 != 0 {
            return Err(FrameError::UnknownFlags(bits));
        }
        Ok(Self {
            first: bits & 1 != 0,
            last: bits & 2 != 0,
            redelivered: bits & 4 != 0,
            packed: bits & 8 != 0,
            attempt,
        })
    }
}
