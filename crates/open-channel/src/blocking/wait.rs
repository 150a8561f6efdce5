//! How a thread waits: in poll(2), on its link and on a socket pair that wakes it.

use std::cell::OnceCell;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use open_channel_ring::ProcessLocal;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::connection::Connection;
use crate::connection::waiters::WaiterKey;

/// Polls until ready, or `None` at the deadline. In between it sleeps in poll(2), on the link and
/// on the socket pair that wakes this thread.
pub(super) fn wait<T>(
    connection: &Connection,
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>, &mut WaiterKey) -> Poll<T>,
) -> Option<T> {
    POLL_WAKER.with(|poll_waker| {
        let poll_waker = poll_waker.of_this_process();
        let mut key = WaiterKey::default();
        loop {
            // Tried again each time: there may be descriptors for it now.
            let mut cx = Context::from_waker(poll_waker.waker());
            if let Poll::Ready(value) = poll(&mut cx, &mut key) {
                return Some(value);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                connection.leave(&mut key);
                return None;
            }
            poll_waker.sleep(connection, deadline);
        }
    })
}

/// Runs a future that needs no runtime.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

thread_local! {
    static POLL_WAKER: PollWaker = const { PollWaker { ends: OnceCell::new(), in_child: OnceCell::new() } };
}

/// Wakes one thread out of poll(2).
#[derive(Debug, Default)]
struct PollWaker {
    ends: OnceCell<ProcessLocal<(UnixStream, Waker)>>,
    /// The pair of a forked child. A child that polled its parent's would take its wake-ups.
    in_child: OnceCell<Box<PollWaker>>,
}

/// The end that others write to.
#[derive(Debug)]
struct WakeSender(UnixStream);

impl Wake for WakeSender {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If the socket is full, the thread wakes up anyway.
        let _ = (&self.0).write(&[1]);
    }
}

impl PollWaker {
    fn of_this_process(&self) -> &Self {
        match self.ends.get() {
            Some(ends) if ends.is_inherited() => self.in_child.get_or_init(Box::default).of_this_process(),
            _ => self,
        }
    }

    fn ends(&self) -> Option<&(UnixStream, Waker)> {
        if self.ends.get().is_none() {
            let pair = UnixStream::pair().and_then(|(receiver, sender)| {
                receiver.set_nonblocking(true)?;
                sender.set_nonblocking(true)?;
                Ok((receiver, sender))
            });
            // Out of descriptors: this round sleeps without one, and polls at short intervals.
            if let Ok((receiver, sender)) = pair {
                let _ = self.ends.set(ProcessLocal::new((receiver, Arc::new(WakeSender(sender)).into())));
            }
        }
        self.made()
    }

    fn made(&self) -> Option<&(UnixStream, Waker)> {
        self.ends.get()?.get()
    }

    fn waker(&self) -> &Waker {
        self.ends().map_or(Waker::noop(), |(_, sender)| sender)
    }

    fn sleep(&self, connection: &Connection, deadline: Option<Instant>) {
        const NAP: Duration = Duration::from_millis(10);
        // A pair made now would not do: the waker that others have does not write to it.
        let pair = self.made();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = if pair.is_none() { Some(left.unwrap_or(NAP).min(NAP)) } else { left };
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let link = connection.link();
        let interest =
            if connection.waits_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
        fds.extend(pair.map(|(receiver, _)| PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)));
        fds.extend(link.iter().map(|link| PollFd::from_borrowed_fd(link.as_fd(), interest)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(NAP),
        }
        // It is polled first. A byte that comes from here on ends the next sleep.
        if let Some((receiver, _)) = pair.filter(|_| fds[0].revents().contains(PollFlags::IN)) {
            let (mut receiver, mut bytes) = (receiver, [0; 64]);
            while matches!(receiver.read(&mut bytes), Ok(64)) {}
        }
    }
}
