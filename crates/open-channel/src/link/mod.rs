//! What carries bytes for a session. A link knows bytes, never sessions.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use open_channel_ring::Doorbell;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use tokio::io::unix::AsyncFd;

mod cgroup;
pub(crate) mod local;
pub(crate) mod ring;
pub(crate) mod unix;

/// What carries the messages of a socket; the promises are the same on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkKind {
    /// Inside the host's own process.
    Local,
    /// A Unix domain socket: with another user's process, and wherever there can be no ring.
    Unix,
    /// Two rings in shared memory, beside a Unix domain socket that tells when the other process is gone: with other
    /// processes of the same user, wherever the kernel gives the memory.
    Ring,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "in-process",
            Self::Unix => "unix socket",
            Self::Ring => "shared memory",
        })
    }
}

/// Who is on the other side, as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its process id when the link was made; `None` if it lives in another pid namespace.
    pub pid: Option<u32>,
    /// Its effective user id.
    pub uid: u32,
}

/// A connected, non-blocking, two-way stream of bytes.
///
/// As a descriptor it is what those watch who wait for messages: the stream itself or, beside a ring, the doorbell that
/// the other side rings.
#[derive(Debug)]
pub(crate) struct Link {
    fd: OwnedFd,
    doorbell: Option<Doorbell>,
    kind: LinkKind,
    peer: PeerInfo,
}

impl Link {
    pub(crate) fn new(fd: OwnedFd, kind: LinkKind, peer: PeerInfo) -> Self {
        Self { fd, doorbell: None, kind, peer }
    }

    /// The stream beside a ring in shared memory whose waiters are woken by `doorbell`.
    pub(crate) fn beside_ring(self, doorbell: Doorbell) -> Self {
        Self { doorbell: Some(doorbell), kind: LinkKind::Ring, ..self }
    }

    /// Makes the doorbell silent, for those who watch it level-triggered; to be followed by an announcement and a look at the ring.
    pub(crate) fn silence(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.silence();
        }
    }

    pub(crate) fn kind(&self) -> LinkKind {
        self.kind
    }

    pub(crate) fn peer(&self) -> PeerInfo {
        self.peer
    }

    /// Reads into `buf`; 0 means that the other side is gone.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buf, RecvFlags::DONTWAIT) {
                Ok((read, _)) => return Ok(read),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let sent = match slices {
                [one] => rustix::net::send(&self.fd, one, flags),
                many => rustix::net::sendmsg(&self.fd, many, &mut SendAncillaryBuffer::default(), flags),
            };
            match sent {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Ends the link for both sides, even while a forked child holds the descriptor too.
    pub(crate) fn shutdown(&self) {
        // A link that is gone already needs no shutting down.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Both);
    }
}

/// Registers a descriptor's owner with the runtime of the caller.
#[expect(
    deprecated,
    reason = "its replacement is unsafe; everything watched here owns its descriptor for life"
)]
pub(crate) fn watch<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::try_new(owner).map_err(|error| error.into_parts().1)
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.doorbell.as_ref().map_or_else(|| self.fd.as_fd(), Doorbell::descriptor)
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The stream of a link, for who watches it beside a ring.
#[derive(Debug)]
pub(crate) struct Stream(pub(crate) std::sync::Arc<Link>);

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}
