//! Errors: in the bytes of a link, of the other side, and in what the application asks for.

use bytes::Bytes;

/// The fault in the bytes on a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces more than may be sent at this point.
    #[error("a frame of {len} bytes where at most {max} are allowed")]
    TooLong {
        /// Announced length of the body, in bytes.
        len: usize,
        /// Longest acceptable, in bytes.
        max: usize,
    },
    /// No frame has this kind.
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    /// Flags that this version does not know.
    #[error("unknown frame flags {0:#04x}")]
    UnknownFlags(u8),
    /// The body is shorter or longer than its kind requires, or holds an impossible value.
    #[error("a malformed {0}")]
    Malformed(&'static str),
}

/// The other side broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A handshake that does not fit what is known of the session.
    #[error("{0}")]
    Handshake(&'static str),
    /// A message is missing in between.
    #[error("message {got} where {expected} was due")]
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// An acknowledgement of something that was never sent.
    #[error("an acknowledgement of message {through}, never sent")]
    AckBeyondSent {
        /// The number that it claims.
        through: u64,
    },
    /// A message longer than was agreed.
    #[error("a message of {len} bytes where {max} are allowed")]
    MessageTooLarge {
        /// Announced length, in bytes.
        len: usize,
        /// Agreed limit, in bytes.
        max: usize,
    },
    /// More bytes in flight than were granted.
    #[error("more in flight than the window of {window} bytes")]
    WindowExceeded {
        /// Granted window, in bytes.
        window: usize,
    },
    /// A frame or a part that has no place here.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// Why [`Session::send`](crate::Session::send) did not accept a message, which comes back.
///
/// The enum is exhaustive: each caller has to decide what becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused<M = Bytes> {
    /// The outbox is full: wait for acknowledgements.
    #[error("the outbox is full")]
    Full(M),
    /// Longer than [`Session::max_message`](crate::Session::max_message).
    #[error("the message is too long")]
    TooLarge(M),
    /// This direction is finished or the session closed.
    #[error("the direction is finished")]
    Closed(M),
}
