//! The calls that wait on a connection, each with its interest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The event that a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// A message, or the end.
    Recv,
    /// Room in the outbox, or acknowledgements.
    Acks,
}

/// The way in which a waiting call is notified that the link is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WakeMode {
    /// By the tokio runtime that polls it, if one does.
    Task,
    /// It watches the descriptor, level-triggered: a thread in poll(2), which may spin on a ring
    /// before.
    Thread,
    /// It watches the descriptor, level-triggered: an event loop, which has other work.
    EventLoop,
    /// By its waker only: the driver watches for it.
    Woken,
}

impl WakeMode {
    pub(crate) fn may_spin(self) -> bool {
        matches!(self, Self::Task | Self::Thread)
    }

    /// Whether the caller watches the descriptor outside of any runtime.
    pub(crate) fn is_level_triggered(self) -> bool {
        matches!(self, Self::Thread | Self::EventLoop)
    }
}

/// Identifies one waiting call among the waiters of its connection; 0 before it waits.
#[derive(Debug, Default)]
pub struct WaiterKey(u64);

impl WaiterKey {
    /// Whether no call waits under it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    interest: Interest,
    /// It sees by itself that the link is ready, and then drives it.
    watching: bool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct List {
    /// Sorted by key, since thousands of calls may wait at once. A map would allocate for each wait
    /// of a single call.
    waiters: VecDeque<Waiter>,
    watching: usize,
    last_key: u64,
}

impl List {
    fn position(&self, key: u64) -> Result<usize, usize> {
        self.waiters.binary_search_by_key(&key, |waiter| waiter.key)
    }

    fn insert(&mut self, waiter: Waiter) {
        self.watching += usize::from(waiter.watching);
        let (Ok(at) | Err(at)) = self.position(waiter.key);
        self.waiters.insert(at, waiter);
    }

    fn remove(&mut self, key: u64) {
        if let Some(waiter) = self.position(key).ok().and_then(|at| self.waiters.remove(at)) {
            self.watching -= usize::from(waiter.watching);
        }
    }

    /// `false` if no call waits under this key.
    fn renew(&mut self, key: u64, watching: bool, waker: &Waker) -> bool {
        let Ok(at) = self.position(key) else { return false };
        let waiter = &mut self.waiters[at];
        self.watching -= usize::from(waiter.watching);
        self.watching += usize::from(watching);
        waiter.watching = watching;
        waiter.waker.clone_from(waker);
        true
    }
}

/// The waiters of one connection. As a waker it wakes those that watch the link.
///
/// It has a lock of its own, the innermost one, because a runtime may call the waker while the
/// connection is locked.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Mutex<List>,
    /// The numbers of all and of those that watch: read without the lock, changed under it.
    waiting: AtomicUsize,
    watching: AtomicUsize,
    /// The link was ready for those that watch, and none of them has come yet.
    called: AtomicBool,
    /// The driver will check whether one of them comes.
    driver_called: AtomicBool,
    driver: Notify,
    /// For calls that wait for no event of the link.
    changed: Notify,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, list: &List) {
        self.waiting.store(list.waiters.len(), Ordering::Release);
        self.watching.store(list.watching, Ordering::Release);
    }

    pub(crate) fn enter(
        &self,
        key: &mut WaiterKey,
        interest: Interest,
        watching: bool,
        waker: &Waker,
    ) {
        let mut list = self.lock();
        if key.0 == 0 {
            list.last_key += 1;
            key.0 = list.last_key;
        }
        if !list.renew(key.0, watching, waker) {
            list.insert(Waiter { key: key.0, interest, watching, waker: waker.clone() });
        }
        self.count(&list);
    }

    #[inline]
    pub(crate) fn leave(&self, key: &mut WaiterKey) {
        if !key.is_empty() {
            self.remove(std::mem::take(key));
        }
    }

    fn remove(&self, key: WaiterKey) {
        let mut list = self.lock();
        list.remove(key.0);
        self.count(&list);
    }

    /// Calls the driver, which polls the link after the grace period.
    pub(crate) fn call_driver(&self) {
        self.driver.notify_one();
    }

    pub(crate) async fn driver_called(&self) {
        self.driver.notified().await;
    }

    /// Resolves at the next change that concerns all waiters, and at each
    /// [`notify_change`](Self::notify_change).
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn notify_change(&self) {
        self.changed.notify_waiters();
    }

    /// A call that watches has come to poll the link.
    pub(crate) fn answer(&self) {
        self.called.store(false, Ordering::SeqCst);
    }

    /// For the driver: whether the calls that watch come when the link is ready. A call that was
    /// polled once and then left alone does not come, nor does one on a busy runtime.
    pub(crate) fn are_answering(&self) -> bool {
        self.driver_called.store(false, Ordering::SeqCst);
        !self.called.load(Ordering::SeqCst) && self.are_watching()
    }

    /// Marks the present waiters as not watching, because their registration is gone.
    pub(crate) fn stop_watching(&self) {
        let mut list = self.lock();
        list.waiters.iter_mut().for_each(|waiter| waiter.watching = false);
        list.watching = 0;
        self.count(&list);
    }

    /// Whether a call watches the link.
    pub(crate) fn are_watching(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
    }

    /// Whether a waiting call does not watch the link.
    pub(crate) fn any_unwatching(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > self.watching.load(Ordering::Acquire)
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.called.store(true, Ordering::SeqCst);
        // At most once in a grace period, so that a busy link does not call it with every message.
        if !self.driver_called.swap(true, Ordering::SeqCst) {
            self.call_driver();
        }
        let list = self.lock();
        let watching = list.waiters.iter().filter(|waiter| waiter.watching);
        let watching: Vec<Waker> = watching.map(|waiter| waiter.waker.clone()).collect();
        drop(list);
        watching.iter().for_each(Waker::wake_by_ref);
    }
}

/// The waiters as the locked connection uses them, and the wakers to call once it is unlocked.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(super) waiters: Arc<Waiters>,
    /// The key of the call that polls the link now: it needs no waking.
    present: u64,
    pending: Vec<Waker>,
}

impl Wakes {
    pub(super) fn new(waiters: Arc<Waiters>) -> Self {
        Self { waiters, present: 0, pending: Vec::new() }
    }

    /// The call under `key` polls the link itself until [`end_poll`](Self::end_poll).
    pub(super) fn begin_poll(&mut self, key: &WaiterKey) {
        self.present = key.0;
    }

    pub(super) fn end_poll(&mut self) {
        self.present = 0;
    }

    /// Wakes the calls with this interest, once the connection is unlocked.
    pub(super) fn notify(&mut self, interest: Interest) {
        if self.waiters.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let (list, present) = (self.waiters.lock(), self.present);
        let wanted = list.waiters.iter().filter(|it| it.interest == interest && it.key != present);
        self.pending.extend(wanted.map(|waiter| waiter.waker.clone()));
    }

    pub(super) fn notify_all(&mut self) {
        self.waiters.notify_change();
        self.pending.extend(self.waiters.lock().waiters.iter().map(|waiter| waiter.waker.clone()));
    }

    pub(super) fn add(&mut self, waker: Option<Waker>) {
        self.pending.extend(waker);
    }

    /// The wakers to call once the connection is unlocked.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<Waker> {
        if self.pending.is_empty() { Vec::new() } else { std::mem::take(&mut self.pending) }
    }
}
