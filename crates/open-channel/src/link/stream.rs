//! A stream of bytes on the background runtime: from connecting or accepting to the end of the
//! handshake, or of the lifeline.

use std::io;

use open_channel_ring::{Offer, ReceivedDescriptors};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Link, LinkKind, PeerInfo, native, tcp};

/// A connected stream of any kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Native(native::Stream),
    Tcp(TcpStream),
}

impl Stream {
    fn kind(&self) -> LinkKind {
        match self {
            Self::Native(_) => native::KIND,
            Self::Tcp(_) => tcp::KIND,
        }
    }

    /// Whether rings in shared memory may be offered on it.
    pub(crate) fn carries_offers(&self) -> bool {
        self.kind() == LinkKind::Unix
    }

    /// Reads into `buffer`; 0 means that the other side is gone. Cancel safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Native(stream) => {
                stream.async_io(Interest::READABLE, || stream.try_read(buffer)).await
            }
            Self::Tcp(stream) => {
                stream.async_io(Interest::READABLE, || stream.try_read(buffer)).await
            }
        }
    }

    /// Reads exactly as much as `buffer` has room for. Not cancel safe.
    pub(crate) async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    /// Writes as much as there is room for, at least one byte. Cancel safe.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Native(stream) => {
                stream.async_io(Interest::WRITABLE, || stream.try_write(bytes)).await
            }
            Self::Tcp(stream) => {
                stream.async_io(Interest::WRITABLE, || stream.try_write(bytes)).await
            }
        }
    }

    /// [`read`](Self::read), with the descriptors that came along.
    pub(crate) async fn read_first(&self, buffer: &mut [u8]) -> io::Result<ReceivedDescriptors> {
        match self {
            Self::Native(stream) => {
                let read = || native::try_read_first(stream, buffer);
                stream.async_io(Interest::READABLE, read).await
            }
            Self::Tcp(_) => {
                let bytes = self.read(buffer).await?;
                Ok(ReceivedDescriptors { bytes, descriptors: Vec::new() })
            }
        }
    }

    /// [`write`](Self::write), with the descriptors of an offer on the first byte.
    pub(crate) async fn write_first(&self, bytes: &[u8], offer: &Offer) -> io::Result<usize> {
        match self {
            Self::Native(stream) => {
                let write = || native::try_write_first(stream, bytes, offer);
                stream.async_io(Interest::WRITABLE, write).await
            }
            Self::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Takes it out of the background runtime, for callers on any thread.
    pub(crate) fn into_link(self, peer: PeerInfo) -> io::Result<Link> {
        let kind = self.kind();
        let stream = match self {
            Self::Native(stream) => native::detach(stream)?,
            Self::Tcp(stream) => tcp::detach(stream)?,
        };
        Ok(Link::new(stream, kind, peer))
    }
}
