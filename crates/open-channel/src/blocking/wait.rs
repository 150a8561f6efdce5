//! How a thread waits: asleep on its link and on a pair of descriptors that wakes it.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use open_channel_ring::ProcessLocal;

use crate::connection::Connection;
use crate::connection::waiters::WaiterKey;
use crate::sys::{self, WakeReceiver, WakeSender};

/// Polls until ready, or `None` at the deadline. In between it sleeps on the link and on the
/// receiver that wakes this thread.
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

/// Wakes one thread out of its sleep.
#[derive(Debug, Default)]
struct PollWaker {
    ends: OnceCell<ProcessLocal<(WakeReceiver, Waker)>>,
    /// The pair of a forked child. A child that polled its parent's would take its wake-ups.
    in_child: OnceCell<Box<PollWaker>>,
}

/// The end that others write to, as a waker.
#[derive(Debug)]
struct ThreadWaker(WakeSender);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl PollWaker {
    fn of_this_process(&self) -> &Self {
        match self.ends.get() {
            Some(ends) if ends.is_inherited() => {
                self.in_child.get_or_init(Box::default).of_this_process()
            }
            _ => self,
        }
    }

    fn ends(&self) -> Option<&(WakeReceiver, Waker)> {
        // Out of descriptors: this round sleeps without one, in short naps.
        if self.ends.get().is_none()
            && let Ok((sender, receiver)) = sys::wake_pair()
        {
            let waker = Arc::new(ThreadWaker(sender)).into();
            let _ = self.ends.set(ProcessLocal::new((receiver, waker)));
        }
        self.made()
    }

    fn made(&self) -> Option<&(WakeReceiver, Waker)> {
        self.ends.get()?.get()
    }

    fn waker(&self) -> &Waker {
        self.ends().map_or(Waker::noop(), |(_, sender)| sender)
    }

    fn sleep(&self, connection: &Connection, deadline: Option<Instant>) {
        const NAP: Duration = Duration::from_millis(10);
        // A pair made now would not do: the waker that others have does not write to it.
        let receiver = self.made().map(|(receiver, _)| receiver);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = if receiver.is_none() { Some(left.unwrap_or(NAP).min(NAP)) } else { left };
        let link = connection.link();
        let link = link.as_ref().map(|link| link.watched());
        if sys::sleep(receiver, link, connection.waits_to_write(), limit).is_err() {
            std::thread::sleep(NAP);
        }
    }
}
