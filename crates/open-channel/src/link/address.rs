//! Where a host listens, as its files say.

use std::fmt;
use std::io;

use super::{PeerInfo, Stream, native};

/// An address of any kind.
#[derive(Debug)]
pub(crate) enum Address {
    Native(native::Address),
}

impl Address {
    /// Connects, and finds out which process listens.
    pub(crate) async fn connect(&self) -> io::Result<(Stream, PeerInfo)> {
        match self {
            Self::Native(address) => {
                let (stream, peer) = native::connect(address).await?;
                Ok((Stream::Native(stream), peer))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(address) => address.fmt(f),
        }
    }
}
