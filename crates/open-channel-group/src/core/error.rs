//! Errors: in messages, and in the wishes of the application.

use thiserror::Error;

use super::limits::MAX_NAME;

/// A message that is not a frame of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It ends too early.
    #[error("the frame ends too early")]
    Short,
    /// It goes on after its end.
    #[error("{0} bytes follow the end of the frame")]
    Trailing(usize),
    /// Another version of the group protocol.
    #[error("the frame is of version {0}, and this side speaks version 1")]
    Version(u8),
    /// A tag that is not known.
    #[error("{tag} is no {what}")]
    Unknown {
        /// The kind of thing that was due.
        what: &'static str,
        /// The tag that came.
        tag: u8,
    },
    /// A number, a text or a name that cannot be.
    #[error("the frame has an invalid {0}")]
    Invalid(&'static str),
}

/// The other side broke the protocol of groups. Its socket is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A message that is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that has no place here.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// Why the core did not accept what the application asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// The window of this face is full: wait until something in it is complete.
    #[error("the window is full")]
    Full,
    /// Longer than [`Limits::max_payload`](super::Limits::max_payload).
    #[error("{len} bytes where {max} are allowed")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A name that is empty or too long.
    #[error("a name has 1 to {max} bytes, and this one has {len}", max = MAX_NAME)]
    InvalidName {
        /// Its length in bytes.
        len: usize,
    },
    /// A topic or pattern that cannot be.
    #[error("{text:?} is no topic: {reason}")]
    InvalidTopic {
        /// As it was given.
        text: String,
        /// Its fault.
        reason: &'static str,
    },
    /// No such subscription, lock, job, run, request, worker or watch, or not any more.
    #[error("it is not known, or over")]
    NotFound,
    /// This member serves it already.
    #[error("this member serves it already")]
    AlreadyServed,
    /// The member is leaving, or has left.
    #[error("the member has left")]
    Left,
}
