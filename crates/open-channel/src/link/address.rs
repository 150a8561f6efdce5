//! Where a host listens, as its files say.

use std::fmt;
use std::io;

use super::{PeerInfo, Stream, native, tcp};

/// An address of any kind.
#[derive(Debug)]
pub(crate) enum Address {
    Native(native::Address),
    Tcp(tcp::Address),
}

impl Address {
    /// Connects, and finds out which process listens. Without a limit in time.
    pub(crate) async fn connect(&self) -> io::Result<(Stream, PeerInfo)> {
        match self {
            Self::Native(address) => {
                let (stream, peer) = native::connect(address).await?;
                Ok((Stream::Native(stream), peer))
            }
            Self::Tcp(address) => {
                let (stream, peer) = tcp::connect(address).await?;
                Ok((Stream::Tcp(stream), peer))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(address) => address.fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}
