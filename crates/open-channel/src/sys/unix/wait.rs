//! How a thread sleeps until something is ready: in poll(2).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// The end that wakes a thread.
#[derive(Debug)]
pub(crate) struct WakeSender(UnixStream);

/// The end that a thread sleeps on.
#[derive(Debug)]
pub(crate) struct WakeReceiver(UnixStream);

/// The means to wake one thread out of [`sleep`].
///
/// # Errors
/// No descriptors or memory left.
pub(crate) fn wake_pair() -> io::Result<(WakeSender, WakeReceiver)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((WakeSender(sender), WakeReceiver(receiver)))
}

impl WakeSender {
    /// Ends the present sleep of the thread, or else the next one.
    pub(crate) fn wake(&self) {
        // A full stream wakes already.
        let _ = (&self.0).write(&[1]);
    }
}

impl WakeReceiver {
    fn reset(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.0).read(&mut bytes), Ok(64)) {}
    }
}

/// Sleeps until `link` is readable (or writable, if `to_write`), a sender wakes `receiver`, or
/// `limit` has passed; at times for no reason.
///
/// # Errors
/// The kernel could not wait.
pub(crate) fn sleep(
    receiver: Option<&WakeReceiver>,
    link: Option<BorrowedFd<'_>>,
    to_write: bool,
    limit: Option<Duration>,
) -> io::Result<()> {
    let interest = if to_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
    fds.extend(
        receiver.map(|receiver| PollFd::from_borrowed_fd(receiver.0.as_fd(), PollFlags::IN)),
    );
    fds.extend(link.map(|link| PollFd::from_borrowed_fd(link, interest)));
    let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    // The receiver comes first of those polled. A wake from here on ends the next sleep.
    if let Some(receiver) = receiver.filter(|_| fds[0].revents().contains(PollFlags::IN)) {
        receiver.reset();
    }
    Ok(())
}
