//! The readiness of a stream, which the background runtime reports to tasks of any runtime.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use open_channel_ring::Doorbell;
use tokio::io::Interest;

use super::stream::Stream;

/// A source that can be registered.
#[derive(Debug)]
pub(crate) enum Source {
    /// A stream of bytes.
    Stream(Arc<Stream>),
    /// The doorbell beside a ring, which nothing makes here.
    Doorbell(Doorbell),
}

/// A found readiness.
#[derive(Debug)]
pub(crate) struct ReadyGuard<'a>(PhantomData<&'a Stream>);

impl ReadyGuard<'_> {
    /// Nothing to do: a stream that has nothing more says so to the call that finds nothing, and
    /// its readiness ends then. To end it afterwards could hide what has come since.
    pub(crate) fn clear_ready(&mut self) {}
}

/// A share in a stream, which stays with the background runtime.
#[derive(Debug)]
pub(crate) struct Registration(Arc<Stream>);

impl Registration {
    /// # Errors
    /// None.
    pub(crate) fn new(source: Source) -> io::Result<Self> {
        match source {
            Source::Stream(stream) => Ok(Self(stream)),
            Source::Doorbell(doorbell) => match doorbell {},
        }
    }

    /// Resolves when the stream is readable. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<ReadyGuard<'_>> {
        self.0.ready(Interest::READABLE).await.map(|()| ReadyGuard(PhantomData))
    }

    /// Resolves when the stream is writable. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<ReadyGuard<'_>> {
        self.0.ready(Interest::WRITABLE).await.map(|()| ReadyGuard(PhantomData))
    }

    /// [`readable`](Self::readable) as a poll function, for one task at a time.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.0.poll_read_ready(cx).map_ok(|()| ReadyGuard(PhantomData))
    }

    /// [`writable`](Self::writable) as a poll function, for one task at a time.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.0.poll_write_ready(cx).map_ok(|()| ReadyGuard(PhantomData))
    }
}
