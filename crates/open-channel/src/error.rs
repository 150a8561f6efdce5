//! One error type, with one variant for each case that a caller can act on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::ResetCode;

/// An error of a channel or a socket.
///
/// Cheap to clone: one failure may be reported to several callers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A channel's name is empty or too long.
    #[error(
        "a channel's name must have 1 to {max} bytes, this one has {len}: choose a shorter, non-empty name"
    )]
    #[non_exhaustive]
    InvalidName {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A setting that cannot work.
    #[error("the setting `{setting}` {problem}")]
    #[non_exhaustive]
    InvalidSetting {
        /// Name of the builder's method, or of the environment variable.
        setting: &'static str,
        /// The problem and the remedy.
        problem: &'static str,
    },
    /// The runtime directory cannot be used.
    #[error("the runtime directory {} cannot be used: {problem}", path.display())]
    #[non_exhaustive]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The problem and the remedy.
        problem: String,
    },
    /// The file of [`Builder::generation_file`](crate::Builder::generation_file) cannot be used.
    #[error("the generation file {} cannot be used: {problem}", path.display())]
    #[non_exhaustive]
    GenerationFile {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        problem: String,
    },
    /// Access to the channel was denied, by the operating system or by its host.
    #[error("no permission: {0}")]
    PermissionDenied(String),
    /// [`Channel::new`](crate::Channel::new) needs a tokio runtime to run the listener on.
    #[error("no tokio runtime here: create the channel inside one, or use open_channel::blocking")]
    NoRuntime,
    /// The connect timeout passed: nobody could be reached, and this process could not host.
    #[error("channel {name:?} was not reached within {after:?}: {cause}")]
    #[non_exhaustive]
    Timeout {
        /// The channel's name.
        name: String,
        /// The timeout.
        after: Duration,
        /// The last obstacle, and the directory.
        cause: String,
    },
    /// The channel or the socket belongs to the process that this one was forked from. Nothing that
    /// a forked child does with what it inherited reaches its parent's connections.
    #[error("this belongs to the process before the fork: make a new channel in the child")]
    Forked,
    /// The channel or the socket was closed on this side.
    #[error("closed on this side")]
    Closed,
    /// A channel was closed and its messages were not all handled in time.
    #[error(
        "{messages} messages were not acknowledged within {after:?} and are given up: flush the socket first"
    )]
    #[non_exhaustive]
    Unacknowledged {
        /// How many, on one socket.
        messages: u64,
        /// How long closing waited.
        after: Duration,
    },
    /// Messages that were to be flushed came back, because nobody will handle them; everything else
    /// is acknowledged. One flush reports each of them.
    /// [`Socket::undeliverable`](crate::Socket::undeliverable) returns them.
    #[error("{messages} messages are undeliverable: fetch them with undeliverable()")]
    #[non_exhaustive]
    Undeliverable {
        /// How many.
        messages: u64,
    },
    /// A flush reached its time limit. The messages are still delivered.
    #[error(
        "{messages} messages are not acknowledged after {after:?}: their handler may hang; they are still delivered"
    )]
    #[non_exhaustive]
    FlushTimeout {
        /// How many.
        messages: u64,
        /// How long it waited.
        after: Duration,
    },
    /// This side's direction of the socket is finished; nothing can be sent any more.
    #[error("this direction is finished: nothing can be sent after finish()")]
    Finished,
    /// The outbox is full; only `try_send` reports this.
    #[error("the outbox is full: wait for acknowledgements, or use send() which does")]
    Full,
    /// A message longer than the limit.
    #[error(
        "a message of {len} bytes is longer than the limit of {max}: split it, or raise max_message on both sides"
    )]
    #[non_exhaustive]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes: the smaller one of both sides.
        max: usize,
    },
    /// The other side ended the socket. Messages that it had not acknowledged were not handled.
    #[error("the other side ended the socket: {reason}")]
    #[non_exhaustive]
    Reset {
        /// Its code.
        code: ResetCode,
        /// Its words, with terminal control characters escaped.
        reason: String,
    },
    /// The process on the other side is gone or did not come back in time. Only the host's side
    /// reports this: a peer finds a new host instead.
    #[error("the peer is gone")]
    PeerGone,
    /// The host was lost or has handed over, and this socket does not go on with the next one; see
    /// [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect).
    #[error("its host is gone, and this socket does not reconnect: connect again")]
    HostLost,
    /// This process hosts no longer, in an orderly way; the peer goes on with the next host.
    #[error("hosting was handed over: the peer goes on with the next host")]
    HandedOver,
    /// Another process took over: this process was stopped for too long, or newcomers use another
    /// directory now. The peer goes on with another host.
    #[error(
        "this host was stopped for too long, or its directory was removed, and another took over"
    )]
    Fenced,
    /// The hosts of the channel speak other versions of the protocol, or processes without any
    /// version take part. This process waited for another host until its connect timeout.
    #[error("no common protocol version: {0}; update the older program")]
    Version(String),
    /// The host listens with other links than the one that this process is forced to use.
    #[error(
        "no common link: {0}: force the same one in all processes, or none (OPEN_CHANNEL_LINK)"
    )]
    Link(String),
    /// The host refused the connection.
    #[error("the host refused the connection: {0}")]
    Refused(String),
    /// The other side broke the protocol; the connection was closed.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// The operating system refused something.
    #[error("{what}: {error}")]
    #[non_exhaustive]
    Io {
        /// The attempted operation.
        what: String,
        /// Its error. No [`source`](std::error::Error::source): the text has it.
        error: Arc<io::Error>,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), error: Arc::new(error.into()) }
    }

    pub(crate) fn directory(path: &Path, problem: impl Into<String>) -> Self {
        Self::Directory { path: path.to_owned(), problem: problem.into() }
    }

    /// The closest [`io::ErrorKind`], for faces that speak `std::io`.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::InvalidName { .. } | Self::InvalidSetting { .. } | Self::TooLarge { .. } => {
                io::ErrorKind::InvalidInput
            }
            Self::Directory { .. } | Self::PermissionDenied(_) => io::ErrorKind::PermissionDenied,
            Self::NoRuntime | Self::Version(_) | Self::Link(_) => io::ErrorKind::Unsupported,
            Self::Timeout { .. } | Self::Unacknowledged { .. } | Self::FlushTimeout { .. } => {
                io::ErrorKind::TimedOut
            }
            Self::Forked => io::ErrorKind::NotConnected,
            Self::Closed | Self::Finished => io::ErrorKind::BrokenPipe,
            Self::Full => io::ErrorKind::WouldBlock,
            Self::Reset { .. } | Self::PeerGone | Self::HostLost => io::ErrorKind::ConnectionReset,
            Self::HandedOver | Self::Fenced => io::ErrorKind::ConnectionAborted,
            Self::Refused(_) => io::ErrorKind::ConnectionRefused,
            Self::Protocol(_) | Self::GenerationFile { .. } => io::ErrorKind::InvalidData,
            Self::Undeliverable { .. } => io::ErrorKind::Other,
            Self::Io { error, .. } => error.kind(),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// A message that was not accepted, handed back with the reason.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct SendError {
    /// The reason. No [`source`](std::error::Error::source): the text is the same.
    pub error: Error,
    /// The message.
    pub message: Bytes,
}

impl From<SendError> for Error {
    fn from(refused: SendError) -> Self {
        refused.error
    }
}

impl From<SendError> for io::Error {
    fn from(refused: SendError) -> Self {
        refused.error.into()
    }
}

/// The reason why `try_recv` has no message.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing has arrived.
    #[error("no message has arrived")]
    Empty,
    /// The socket is over.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<TryRecvError> for io::Error {
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::new(io::ErrorKind::WouldBlock, error),
            TryRecvError::Failed(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// The output of a program that follows the sources, as anyhow and eyre do.
    fn chain(error: &dyn std::error::Error) -> Vec<String> {
        let mut shown = vec![error.to_string()];
        let mut next = error.source();
        while let Some(source) = next {
            shown.push(source.to_string());
            next = source.source();
        }
        shown
    }

    #[test]
    fn no_reason_is_shown_twice() {
        let io = Error::io("opening it", io::ErrorKind::NotFound);
        let sent = SendError { error: io.clone(), message: Bytes::new() };
        let tried = TryRecvError::Failed(io.clone());
        let std = io::Error::from(io.clone());
        for shown in [chain(&io), chain(&sent), chain(&tried), chain(&std)] {
            let whole = shown.join(": ");
            assert_eq!(whole.matches("entity not found").count(), 1, "{whole}");
        }
        assert!(sent.source().is_none());
    }
}
