//! The parts that a session puts into the store of a link, such as a ring in shared memory.
//!
//! In a store messages travel as parts, which have no numbers: they arrive once and in order. The
//! receiver releases them when they are handled, and a release is the acknowledgement. Everything
//! else travels in frames.

use crate::error::ProtocolError;
use crate::limits::MAX_ATTEMPTS;

/// Which part of a message this is, or of the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartKind {
    /// A message.
    Whole,
    /// The first part of a longer message; its length is known from here.
    First,
    /// Neither the first part nor the last.
    Middle,
    /// The last part of a longer message.
    Last,
    /// The end of the direction.
    End,
    /// A gap: no message has this number any more.
    Skip,
}

impl PartKind {
    /// The number of this kind in a record.
    pub fn to_bits(self) -> u8 {
        match self {
            Self::Whole => 1,
            Self::First => 2,
            Self::Middle => 3,
            Self::Last => 4,
            Self::End => 5,
            Self::Skip => 6,
        }
    }

    /// The kind with this number, if there is one.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Whole,
            2 => Self::First,
            3 => Self::Middle,
            4 => Self::Last,
            5 => Self::End,
            6 => Self::Skip,
            _ => return None,
        })
    }

    /// Whether it completes a message, the direction or a gap. One such part stands for each
    /// sequence number, or for the numbers of one pack.
    pub fn completes(self) -> bool {
        matches!(self, Self::Whole | Self::Last | Self::End | Self::Skip)
    }
}

/// Properties of a part besides its kind, as a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartFlags(pub u8);

impl PartFlags {
    /// The message was never delivered before, and is no pack.
    pub const NONE: Self = Self(0);
    /// An earlier host may have handled the message already; valid where a message is complete.
    pub const REDELIVERED: Self = Self(1);
    /// It belongs to several messages in one [`Pack`](crate::Pack); valid where a message begins.
    pub const PACKED: Self = Self(2);
    /// The attempt, less one, is above the other flags, on links of version 2.
    const ATTEMPT: u32 = 2;

    pub(crate) fn new(version: u16, attempt: u32, packed: bool) -> Self {
        let redelivered = if attempt > 1 { Self::REDELIVERED.0 } else { 0 };
        let packed = if packed { Self::PACKED.0 } else { 0 };
        let before = attempt.clamp(1, MAX_ATTEMPTS) - 1;
        let attempt = if version < 2 { 0 } else { (before as u8) << Self::ATTEMPT };
        Self(redelivered | packed | attempt)
    }

    /// Whether it belongs to several messages in one pack.
    pub fn is_packed(self) -> bool {
        self.0 & Self::PACKED.0 != 0
    }

    fn is_redelivered(self) -> bool {
        self.0 & Self::REDELIVERED.0 != 0
    }

    /// The attempt that they announce, on a link of this version.
    ///
    /// # Errors
    /// If they contradict each other, or the version.
    pub(crate) fn attempt_in(self, version: u16) -> Result<u32, ProtocolError> {
        let before = u32::from(self.0 >> Self::ATTEMPT);
        match version {
            ..2 if before == 0 => Ok(1 + u32::from(self.is_redelivered())),
            2.. if (before > 0) == self.is_redelivered() => Ok(1 + before),
            _ => Err(ProtocolError::Unexpected("a record with flags that mean nothing")),
        }
    }
}

/// The next part for the store; from [`Session::next_part`](crate::Session::next_part).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which part it is.
    pub kind: PartKind,
    /// Its properties.
    pub flags: PartFlags,
    /// Length of the whole message or pack in bytes.
    pub total: usize,
    /// The part's bytes.
    pub payload: &'a [u8],
}

/// A part that came out of the store, without its bytes; for
/// [`Session::receive_part`](crate::Session::receive_part).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedPart {
    /// Which part it is.
    pub kind: PartKind,
    /// Its properties, as they were found.
    pub flags: PartFlags,
    /// Length of the whole message or pack in bytes, as a first part announces it.
    pub total: u64,
    /// Length of this part in bytes.
    pub len: usize,
    /// Where it ends in the store: above 0, and growing.
    pub end: u64,
}

/// A part left in a store that was given up; for [`Session::reclaim`](crate::Session::reclaim).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Where it ends in the store.
    pub end: u64,
    /// Whether the other side may have claimed it.
    pub claimed: bool,
    /// Its bytes.
    pub payload: bytes::Bytes,
}
