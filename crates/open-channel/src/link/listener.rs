//! Listening, and the connections that come.

use std::io;

use super::{PeerInfo, Stream, native, tcp};

/// A listener that no runtime watches yet.
#[derive(Debug)]
pub(crate) enum Bound {
    Native(native::Bound),
    Tcp(tcp::Bound),
}

impl Bound {
    /// Inside the runtime that is to watch it.
    pub(crate) fn watch(self) -> io::Result<Listener> {
        match self {
            Self::Native(bound) => native::Listener::watch(bound).map(Listener::Native),
            Self::Tcp(bound) => tcp::Listener::watch(bound).map(Listener::Tcp),
        }
    }
}

/// A listener of the background runtime.
#[derive(Debug)]
pub(crate) enum Listener {
    Native(native::Listener),
    Tcp(tcp::Listener),
}

impl Listener {
    /// Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Incoming> {
        match self {
            Self::Native(listener) => listener.accept().await.map(Incoming::Native),
            Self::Tcp(listener) => listener.accept().await.map(Incoming::Tcp),
        }
    }
}

/// A connection whose other side is not known yet.
#[derive(Debug)]
pub(crate) enum Incoming {
    Native(native::Stream),
    Tcp(tcp::Incoming),
}

impl Incoming {
    /// Finds out which process connected. Not cancel safe, and without a limit in time.
    pub(crate) async fn identify(self) -> io::Result<(Stream, PeerInfo)> {
        match self {
            Self::Native(stream) => {
                let peer = native::peer(&stream)?;
                Ok((Stream::Native(stream), peer))
            }
            Self::Tcp(incoming) => {
                let (stream, peer) = incoming.identify().await?;
                Ok((Stream::Tcp(stream), peer))
            }
        }
    }
}
