//! Codes: what becomes of a message, and why a session ends.

use crate::error::FrameError;

/// Why a side ended its session for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCode {
    /// The application closed its socket; nothing more will be handled.
    Closed,
    /// The application destroyed its socket, or dropped it without reading to the end.
    Destroyed,
    /// The listener failed (in Rust: panicked).
    ListenerFailed,
    /// The other side broke the protocol.
    Protocol,
    /// A code of a newer version.
    Other(u16),
}

impl ResetCode {
    pub(super) fn to_bits(self) -> u16 {
        match self {
            Self::Closed => 0,
            Self::Destroyed => 1,
            Self::ListenerFailed => 2,
            Self::Protocol => 3,
            Self::Other(code) => code,
        }
    }

    pub(super) fn from_bits(code: u16) -> Self {
        match code {
            0 => Self::Closed,
            1 => Self::Destroyed,
            2 => Self::ListenerFailed,
            3 => Self::Protocol,
            other => Self::Other(other),
        }
    }
}

/// The fate of a message that its receiver gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The same host delivers it again.
    Again,
    /// No host is to deliver it again.
    GivenUp,
    /// Its sender [wants it back](crate::Frame::Recall), and the receiver will not deliver it.
    Recalled,
    /// Its sender wants it back, and the receiver's application has taken it already.
    TooLate,
}

impl Fate {
    pub(super) fn to_bits(self) -> u8 {
        match self {
            Self::Again => 0,
            Self::GivenUp => 1,
            Self::Recalled => 2,
            Self::TooLate => 3,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Result<Self, FrameError> {
        match bits {
            0 => Ok(Self::Again),
            1 => Ok(Self::GivenUp),
            2 => Ok(Self::Recalled),
            3 => Ok(Self::TooLate),
            _ => Err(FrameError::Malformed("returned: unknown fate")),
        }
    }
}
