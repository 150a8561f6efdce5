//! The readiness of a descriptor, as the runtime of a waiting task reports it.
#![expect(unsafe_code, reason = "a runtime has to be promised that the descriptor stays open")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use open_channel_ring::Doorbell;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A source that can be registered. Each owns its descriptor, or a share in it, for life.
#[derive(Debug)]
pub(crate) enum Source {
    /// A stream of bytes.
    Stream(Arc<OwnedFd>),
    /// The doorbell beside a ring.
    Doorbell(Doorbell),
    /// Readable when a process ends.
    #[allow(dead_code, reason = "not every Unix can watch a process")]
    Exit(OwnedFd),
}

impl Source {
    fn interest(&self) -> Interest {
        match self {
            Self::Stream(_) => Interest::READABLE | Interest::WRITABLE,
            // A kqueue cannot be watched for room to write.
            Self::Doorbell(_) | Self::Exit(_) => Interest::READABLE,
        }
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Stream(fd) => fd.as_raw_fd(),
            Self::Doorbell(doorbell) => doorbell.descriptor().as_raw_fd(),
            Self::Exit(fd) => fd.as_raw_fd(),
        }
    }
}

/// A found readiness; to be cleared when there is nothing more.
pub(crate) type ReadyGuard<'a> = AsyncFdReadyGuard<'a, Source>;

/// The registration of a descriptor with one runtime.
#[derive(Debug)]
pub(crate) struct Registration(AsyncFd<Source>);

impl Registration {
    /// With the runtime of the caller.
    ///
    /// # Errors
    /// The runtime's: no memory, or it has ended.
    ///
    /// # Panics
    /// Outside of a runtime, and in one that watches no descriptors.
    pub(crate) fn new(source: Source) -> io::Result<Self> {
        let interest = source.interest();
        // SAFETY: each kind of `Source` holds an `OwnedFd`, or an `Arc` of one, which nothing takes
        // out or replaces: neither this module nor `Doorbell` has a way to do so. So the descriptor
        // is open, and the same one at each call of `as_raw_fd`, for as long as the `Source` lives.
        // `AsyncFd` owns the `Source`, and no method of `Registration` gives it back.
        let registered = unsafe { AsyncFd::register_with_interest(source, interest) };
        registered.map(Self).map_err(|error| error.into_parts().1)
    }

    /// Resolves when the descriptor is readable. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<ReadyGuard<'_>> {
        self.0.readable().await
    }

    /// Resolves when the stream is writable. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<ReadyGuard<'_>> {
        self.0.writable().await
    }

    /// [`readable`](Self::readable) as a poll function, for one task at a time.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.0.poll_read_ready(cx)
    }

    /// [`writable`](Self::writable) as a poll function, for one task at a time.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.0.poll_write_ready(cx)
    }
}
