//! What can be wrong: with the other side, and with what the application asks for.

use bytes::Bytes;

/// What was wrong with the bytes on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces more than may be sent at this point.
    TooLong {
        /// Announced length of the body.
        len: usize,
        /// Longest acceptable.
        max: usize,
    },
    /// No frame has this kind.
    UnknownKind(u8),
    /// Flags that this version does not know.
    UnknownFlags(u8),
    /// The body is shorter or longer than its kind requires, or holds an impossible value.
    Malformed(&'static str),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "a frame of {len} bytes where at most {max} are allowed"),
            Self::UnknownKind(kind) => write!(f, "a frame of unknown kind {kind}"),
            Self::UnknownFlags(flags) => write!(f, "unknown frame flags {flags:#04x}"),
            Self::Malformed(what) => write!(f, "a malformed {what}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// The other side broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A handshake that does not fit what is known of the session.
    Handshake(&'static str),
    /// A message is missing in between.
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// An acknowledgement of something that was never sent.
    AckBeyondSent {
        /// What it claims.
        through: u64,
    },
    /// A message longer than was agreed.
    MessageTooLarge {
        /// Announced length.
        len: usize,
        /// Agreed limit.
        max: usize,
    },
    /// More bytes in flight than were granted.
    WindowExceeded {
        /// Granted window.
        window: usize,
    },
    /// A frame that has no place here.
    Unexpected(&'static str),
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Handshake(what) => write!(f, "{what}"),
            Self::Gap { expected, got } => write!(f, "message {got} where {expected} was due"),
            Self::AckBeyondSent { through } => {
                write!(f, "an acknowledgement of message {through}, never sent")
            }
            Self::MessageTooLarge { len, max } => {
                write!(f, "a message of {len} bytes where {max} are allowed")
            }
            Self::WindowExceeded { window } => write!(f, "more in flight than the window of {window} bytes"),
            Self::Unexpected(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Why [`Session::send`](crate::Session::send) did not accept a message; the message comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused<M = Bytes> {
    /// The outbox is full: wait for acknowledgements.
    Full(M),
    /// Longer than [`Session::max_message`](crate::Session::max_message).
    TooLarge(M),
    /// This direction is finished or the session closed.
    Closed(M),
}
