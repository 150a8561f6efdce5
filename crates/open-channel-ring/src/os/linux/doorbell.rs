//! The eventfd that wakes a sleeping side.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;

use crate::error::AttachError;
use crate::wake::Wake;

/// One side's doorbell: the other side writes to it when this one sleeps. Both rings of a link
/// share it.
///
/// A waiter that watches it edge-triggered, as tokio's `AsyncFd` does, never reads it: each write
/// gives an edge to every epoll instance, so two waiters of one process do not take each other's
/// wake-up. A waiter that polls level-triggered calls [`silence`](Self::silence).
#[derive(Debug, Clone)]
pub struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// A silent doorbell.
    ///
    /// # Errors
    /// The kernel's: no descriptors left.
    pub(super) fn new() -> io::Result<Doorbell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Doorbell(Arc::new(fd)))
    }

    /// Takes a descriptor from the other side, if it is an eventfd that does not block: a write to
    /// anything else might block, or do harm.
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Doorbell, AttachError> {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new())?;
        let nonblocking = rustix::fs::fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
        if target.as_bytes() != b"anon_inode:[eventfd]" || !nonblocking {
            return Err(AttachError::NotADoorbell);
        }
        Ok(Doorbell(Arc::new(fd)))
    }

    /// The descriptor to watch; readable once the doorbell has been rung.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Resets the doorbell, for a waiter that polls level-triggered. It does so *before* it
    /// announces what it waits for, and then looks at the ring.
    ///
    /// The other side may ring late, for a record that was taken without waiting for it. That ring
    /// uses the announcement up, so it has to stay in the doorbell. It may also have been meant for
    /// other waiters of this process. So a caller announces for all of them, looks at everything
    /// that this doorbell rings for, and wakes those concerned.
    pub fn silence(&self) {
        // It may be silent already.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl Wake for Doorbell {
    #[cold]
    fn wake(&self) {
        // It fails only when the counter is full; then the other side is woken already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}
