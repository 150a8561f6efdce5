//! How a thread sleeps until something is ready.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::io::Interest;

use super::stream::Watched;

/// The end that wakes a thread.
#[derive(Debug, Clone)]
pub(crate) struct WakeSender(Arc<Alarm>);

/// The end that a thread sleeps on.
#[derive(Debug)]
pub(crate) struct WakeReceiver(Arc<Alarm>);

#[derive(Debug, Default)]
struct Alarm {
    rung: Mutex<bool>,
    changed: Condvar,
}

/// The means to wake one thread out of [`sleep`].
///
/// # Errors
/// None.
pub(crate) fn wake_pair() -> io::Result<(WakeSender, WakeReceiver)> {
    let alarm = Arc::<Alarm>::default();
    Ok((WakeSender(Arc::clone(&alarm)), WakeReceiver(alarm)))
}

impl WakeSender {
    /// Ends the present sleep of the thread, or else the next one.
    pub(crate) fn wake(&self) {
        self.0.ring();
    }
}

impl Alarm {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Sleeps until it rings or the deadline has passed, and uses the ringing up.
    fn sleep(&self, limit: Option<Duration>) {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            let Some(until) = until else {
                rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(rung, left);
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// Sleeps until `link` is readable (or writable, if `to_write`), a sender wakes `receiver`, or
/// `limit` has passed; at times for no reason.
///
/// The background runtime sees that the link is ready, and wakes the thread as a sender does.
///
/// # Errors
/// The link cannot be watched.
pub(crate) fn sleep(
    receiver: Option<&WakeReceiver>,
    link: Option<Watched<'_>>,
    to_write: bool,
    limit: Option<Duration>,
) -> io::Result<()> {
    let alarm = receiver.map_or_else(Arc::default, |receiver| Arc::clone(&receiver.0));
    let interest =
        if to_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
    let mut ready = pin!(async {
        match link {
            Some(link) => link.ready(interest).await,
            None => std::future::pending().await,
        }
    });
    let waker = Waker::from(Arc::clone(&alarm));
    match ready.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(ready) => ready,
        Poll::Pending => {
            alarm.sleep(limit);
            Ok(())
        }
    }
}
