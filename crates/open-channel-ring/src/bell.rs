//! The eventfd that wakes a sleeping side, and a blocking way to sleep on it.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fs::OFlags;

use crate::error::AttachError;
use crate::spsc::Wake;

/// One side's bell: the other side writes to it when this one sleeps. Both rings of a link share it.
///
/// It is never read in normal work: every write gives an edge to each epoll instance that watches it
/// edge-triggered, which is how both tokio's `AsyncFd` and [`Parker`] do. So two waiters of one
/// process cannot steal each other's wake-up. For a level-triggered `poll(2)` there is
/// [`silence`](Self::silence).
#[derive(Debug, Clone)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The kernel's: no descriptors left.
    pub fn new() -> io::Result<Bell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell(Arc::new(fd)))
    }

    /// Takes a descriptor from the other side, if it is what it ought to be: a write to anything
    /// else might block, or do something.
    pub(crate) fn from_fd(fd: OwnedFd) -> Result<Bell, AttachError> {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let target = rustix::fs::readlink(link, Vec::new())?;
        let nonblocking = rustix::fs::fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
        if target.as_bytes() != b"anon_inode:[eventfd]" || !nonblocking {
            return Err(AttachError::NotABell);
        }
        Ok(Bell(Arc::new(fd)))
    }

    /// Resets the bell, for a waiter that polls level-triggered: *before* it announces what it waits for, and then looks. A ring
    /// that comes late, for what was taken without waiting for it, uses the announcement up and must stay in the bell. What rang
    /// may also have been meant for other waiters of its process, announcement included: whoever silences must announce for
    /// them too, look at everything that the bell can ring for, and wake those whom it concerns.
    pub fn silence(&self) {
        // Silent already is fine.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for Bell {
    #[cold]
    fn wake(&self) {
        // It fails only when 2^64 - 2 rings were never heard, and then one more says nothing new.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Lets one thread sleep until its side's bell rings or something else happens. Each waiting thread
/// has one of its own.
#[derive(Debug)]
pub struct Parker {
    epoll: OwnedFd,
}

/// Why [`Parker::sleep`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The bell rang; perhaps for another waiter, so look, and sleep again if there is nothing.
    Bell,
    /// The descriptor given to [`Parker::new`] is at its end: the other process is gone.
    Gone,
    /// The time is up.
    Timeout,
}

const BELL: u64 = 0;
const LIFELINE: u64 = 1;

impl Parker {
    /// Watches `bell`, and `lifeline` (the Unix socket) for its other end being closed.
    ///
    /// # Errors
    /// The kernel's: no descriptors left.
    pub fn new(bell: &Bell, lifeline: Option<BorrowedFd<'_>>) -> io::Result<Parker> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&fd, bell, epoll::EventData::new_u64(BELL), flags)?;
        if let Some(lifeline) = lifeline {
            let flags = epoll::EventFlags::RDHUP;
            epoll::add(&fd, lifeline, epoll::EventData::new_u64(LIFELINE), flags)?;
        }
        Ok(Parker { epoll: fd })
    }

    /// Sleeps. One system call.
    ///
    /// # Errors
    /// None that is known; interruptions by signals are slept through.
    pub fn sleep(&self, timeout: Option<Duration>) -> io::Result<Woken> {
        let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
        loop {
            let left = deadline
                .map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()))
                // Longer than a kernel timeout can be is as good as for ever.
                .and_then(|left| Timespec::try_from(left).ok());
            let mut events: [epoll::Event; 2] =
                [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 2];
            let count = match epoll::wait(&self.epoll, &mut events[..], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result?,
            };
            // What is in the ring comes before the news that nobody will add to it.
            return Ok(match events[..count].iter().map(|event| event.data.u64()).min() {
                Some(BELL) => Woken::Bell,
                Some(_) => Woken::Gone,
                None => Woken::Timeout,
            });
        }
    }
}
