//! The errors of a link.

use std::io;

use open_channel_proto::ProtocolError;
use open_channel_ring::RingError;

/// It costs the link. If the other side is to blame, it costs the session, too.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side broke the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl LinkError {
    /// There is nothing to read, or no room to write.
    pub(crate) fn is_would_block(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl From<RingError> for LinkError {
    fn from(error: RingError) -> Self {
        match error {
            // The other side has moved on.
            RingError::Fenced => Self::Io(io::ErrorKind::ConnectionAborted.into()),
            error => Self::Protocol(error.to_string()),
        }
    }
}

impl From<ProtocolError> for LinkError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error.to_string())
    }
}
