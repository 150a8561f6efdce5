//! The eventfd that wakes a sleeping side.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;

use crate::error::AttachError;
use crate::spsc::Wake;

/// One side's doorbell: the other side writes to it when this one sleeps. Both rings of a link share it.
///
/// It is never read in normal work: every write gives an edge to each epoll instance that watches it
/// edge-triggered, which is how tokio's `AsyncFd` does. So two waiters of one
/// process cannot steal each other's wake-up. For a level-triggered `poll(2)` there is
/// [`silence`](Self::silence).
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

    /// Takes a descriptor from the other side, if it is what it ought to be: a write to anything
    /// else might block, or do something.
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Doorbell, AttachError> {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new())?;
        let nonblocking = rustix::fs::fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
        if target.as_bytes() != b"anon_inode:[eventfd]" || !nonblocking {
            return Err(AttachError::NotADoorbell);
        }
        Ok(Doorbell(Arc::new(fd)))
    }

    /// For whoever watches the doorbell.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Resets the doorbell, for a waiter that polls level-triggered: *before* it announces what it waits for, and then looks. A ring
    /// that comes late, for what was taken without waiting for it, uses the announcement up and must stay in the doorbell. What rang
    /// may also have been meant for other waiters of its process, announcement included: whoever silences must announce for
    /// them too, look at everything that the doorbell can ring for, and wake those whom it concerns.
    pub fn silence(&self) {
        // Silent already is fine.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl Wake for Doorbell {
    #[cold]
    fn wake(&self) {
        // It fails only when 2^64 - 2 rings were never heard, and then one more says nothing new.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}
