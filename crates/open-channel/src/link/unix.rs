//! Unix domain sockets, the native link of every Unix.

use std::fmt;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use open_channel_ring::{
    Offer, ReceivedDescriptors, receive_with_descriptors, send_with_descriptors,
};

use super::{LinkKind, PeerInfo};
use crate::sys::{self, Directory, SocketPath};

pub(crate) const KIND: LinkKind = LinkKind::Unix;

/// Longest path that fits a socket address on every Unix, its final zero included or not.
const MAX_SOCKET_PATH: usize = 103;

/// The path of a socket, short enough for a socket address.
#[derive(Debug)]
pub(crate) enum Address {
    Plain(PathBuf),
    /// Good for as long as the socket's directory is open, and this lives.
    Short(SocketPath, PathBuf),
}

impl Address {
    /// That of `file` in the directory at `path`, which is open as `dir`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long and there is no
    /// shorter one; anything else may be otherwise a moment later.
    pub(crate) fn in_directory(dir: &Directory, path: &Path, file: &str) -> io::Result<Self> {
        let plain = path.join(file);
        if plain.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self::Plain(plain));
        }
        SocketPath::short(dir, path, file).map(|short| Self::Short(short, plain))
    }

    fn as_path(&self) -> &Path {
        match self {
            Self::Plain(path) => path,
            Self::Short(path, _) => path.as_path(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Plain(plain) | Self::Short(_, plain)) = self;
        plain.display().fmt(f)
    }
}

/// A listener that no runtime watches yet.
pub(crate) type Bound = UnixListener;

/// Listens at an address where nothing is.
pub(crate) fn bind(address: &Address) -> io::Result<Bound> {
    sys::listen(address.as_path())
}

/// A listener of the background runtime.
#[derive(Debug)]
pub(crate) struct Listener(tokio::net::UnixListener);

impl Listener {
    /// Inside the runtime that is to watch it.
    pub(crate) fn watch(bound: Bound) -> io::Result<Self> {
        tokio::net::UnixListener::from_std(bound).map(Self)
    }

    /// Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }
}

/// A stream of the background runtime.
pub(crate) type Stream = tokio::net::UnixStream;

pub(crate) async fn connect(address: &Address) -> io::Result<(Stream, PeerInfo)> {
    let stream = Stream::connect(address.as_path()).await?;
    let peer = peer(&stream)?;
    Ok((stream, peer))
}

/// The process that connected, or that listens, as the kernel recorded it.
pub(crate) fn peer(stream: &Stream) -> io::Result<PeerInfo> {
    let (process_id, user) = sys::peer(stream)?;
    Ok(PeerInfo::new(process_id, user))
}

/// Receives bytes, and descriptors where those can be passed on.
pub(crate) fn try_read_first(
    stream: &Stream,
    buffer: &mut [u8],
) -> io::Result<ReceivedDescriptors> {
    match receive_with_descriptors(stream, buffer) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let bytes = sys::receive(stream, buffer)?;
            Ok(ReceivedDescriptors { bytes, descriptors: Vec::new() })
        }
        received => received,
    }
}

/// Writes as much as there is room for, with the descriptors of an offer on the first byte.
pub(crate) fn try_write_first(stream: &Stream, bytes: &[u8], offer: &Offer) -> io::Result<usize> {
    send_with_descriptors(stream, bytes, &offer.descriptors())
}

/// Takes a stream out of the background runtime, for callers on any thread.
pub(crate) fn detach(stream: Stream) -> io::Result<sys::Stream> {
    let stream = stream.into_std()?.into();
    sys::prepare(&stream)?;
    Ok(stream)
}
