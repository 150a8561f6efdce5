//! Links, which carry bytes for a session. A link knows bytes, never sessions.
//!
//! ```text
//!   Address ── connect ──▶ ┌────────┐
//!                          │ Stream │ ── into_link ──▶ Link
//!   Bound ─▶ Listener ───▶ └────────┘
//!            accept, identify
//!
//!   on the background runtime                          on any thread
//! ```
//! Each of the first four is an enum of the kinds of link. The native kind is the system's own,
//! chosen here. The levels above ask for no kind.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use open_channel_ring::Doorbell;

use crate::sys::{self, Source, UserId, Watched};

mod address;
mod listener;
pub(crate) mod local;
#[cfg(windows)]
pub(crate) mod pipe;
pub(crate) mod ring;
mod stream;
pub(crate) mod tcp;
#[cfg(unix)]
pub(crate) mod unix;

#[cfg(unix)]
pub(crate) use unix as native;

#[cfg(windows)]
pub(crate) use pipe as native;

pub(crate) use address::Address;
pub(crate) use listener::{Bound, Incoming, Listener};
pub(crate) use stream::Stream;

/// The link that carries the messages of a socket; the promises are the same on all links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkKind {
    /// Inside the host's own process.
    Local,
    /// A Unix domain socket: with another user's process, and wherever there can be no ring.
    Unix,
    /// A Windows named pipe.
    Pipe,
    /// Two rings in shared memory, beside a Unix domain socket whose end says that the other
    /// process is gone: with other processes of the same user, wherever the kernel gives the
    /// memory.
    Ring,
    /// TCP on this machine's loopback interface, between processes of one user: where no socket
    /// file can be made.
    Tcp,
}

impl LinkKind {
    const NAMES: [(&str, Self); 5] = [
        ("ring", Self::Ring),
        ("unix", Self::Unix),
        ("pipe", Self::Pipe),
        ("tcp", Self::Tcp),
        ("local", Self::Local),
    ];

    /// Its name in settings: `ring`, `unix`, `pipe`, `tcp` or `local`.
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, kind)| *kind == self);
        named.map_or("", |(name, _)| name)
    }

    /// The kind of this [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "in-process",
            Self::Unix => "unix socket",
            Self::Pipe => "named pipe",
            Self::Ring => "shared memory",
            Self::Tcp => "loopback tcp",
        })
    }
}

/// The process on the other side of a socket, as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    process_id: Option<u32>,
    user: UserId,
}

impl PeerInfo {
    pub(crate) fn new(process_id: Option<u32>, user: UserId) -> Self {
        Self { process_id, user }
    }

    /// Its process id when the link was made; `None` if it lives in another pid namespace, or if
    /// this system does not report it. The process may since have ended, and another have its
    /// number.
    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// The user that it acted for when the link was made.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}

/// A connected, non-blocking, two-way stream of bytes, which may have a doorbell beside it.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Arc<sys::Stream>,
    doorbell: Option<Doorbell>,
    kind: LinkKind,
    peer: PeerInfo,
}

impl Link {
    pub(crate) fn new(stream: sys::Stream, kind: LinkKind, peer: PeerInfo) -> Self {
        Self { stream: Arc::new(stream), doorbell: None, kind, peer }
    }

    /// The stream beside a ring in shared memory whose waiters are woken by `doorbell`.
    pub(crate) fn beside_ring(self, doorbell: Doorbell) -> Self {
        Self { doorbell: Some(doorbell), kind: LinkKind::Ring, ..self }
    }

    /// Makes the doorbell silent, for waiters that watch it level-triggered. An announcement and a
    /// look at the ring have to follow.
    pub(crate) fn silence(&self) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.silence();
        }
    }

    pub(crate) fn kind(&self) -> LinkKind {
        self.kind
    }

    pub(crate) fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// What a thread waits on for messages: the stream or, beside a ring, the doorbell that the
    /// other side rings.
    pub(crate) fn watched(&self) -> Watched<'_> {
        self.doorbell.as_ref().map_or_else(|| sys::borrow(&self.stream), sys::borrow_doorbell)
    }

    /// [`watched`](Self::watched), to be registered with a runtime.
    pub(crate) fn source(&self) -> Source {
        self.doorbell.clone().map_or_else(|| self.stream_source(), Source::Doorbell)
    }

    /// The stream, to be registered with a runtime.
    pub(crate) fn stream_source(&self) -> Source {
        Source::Stream(Arc::clone(&self.stream))
    }

    /// Reads into `buffer`; 0 means that the other side is gone.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        sys::receive(&self.stream, buffer)
    }

    /// Writes as much as there is room for.
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send(&self.stream, slices)
    }

    /// Ends the link for both sides, even while a forked child holds the stream too.
    pub(crate) fn shutdown(&self) {
        sys::shutdown(&self.stream);
    }
}
