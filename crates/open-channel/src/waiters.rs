//! Who waits for a connection, and for what.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// A message, or the end.
    Recv,
    /// Room in the outbox, or acknowledgements.
    Acks,
}

#[derive(Debug)]
struct Slot {
    key: u64,
    interest: Interest,
    /// Sees by itself when the link becomes ready, and then drives it.
    watching: bool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    last_key: u64,
}

/// The waiters of one connection. As a waker itself, it wakes those who watch the link.
///
/// Has a lock of its own, the innermost one, because a runtime may call the waker while the connection is locked.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slots: Mutex<Slots>,
    /// How many there are and how many of them watch, for a look without the lock; changed under it.
    waiting: AtomicUsize,
    watching: AtomicUsize,
    /// The link has called for those who watch, and none of them has come yet.
    rung: AtomicBool,
    /// The attendant will look whether somebody comes.
    attendant_called: AtomicBool,
    attention: Notify,
    /// For those who wait for nothing that the link brings.
    changed: Notify,
}

/// One waiting call's seat; 0 before it has one.
#[derive(Debug, Default)]
pub struct Seat(u64);

impl Seat {
    pub(crate) fn key(&self) -> u64 {
        self.0
    }

    /// Whether nobody waits there.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, slots: &Slots) {
        self.waiting.store(slots.slots.len(), Ordering::Release);
        self.watching.store(slots.slots.iter().filter(|slot| slot.watching).count(), Ordering::Release);
    }

    pub(crate) fn enter(&self, seat: &mut Seat, interest: Interest, watching: bool, waker: &Waker) {
        let mut slots = self.lock();
        if seat.0 == 0 {
            slots.last_key += 1;
            seat.0 = slots.last_key;
        } else if let Some(slot) = slots.slots.iter_mut().find(|slot| slot.key == seat.0) {
            slot.watching = watching;
            slot.waker.clone_from(waker);
            return self.count(&slots);
        }
        slots.slots.push(Slot { key: seat.0, interest, watching, waker: waker.clone() });
        self.count(&slots);
    }

    #[inline]
    pub(crate) fn leave(&self, seat: &mut Seat) {
        if !seat.is_empty() {
            self.give_back(std::mem::take(seat));
        }
    }

    fn give_back(&self, seat: Seat) {
        let mut slots = self.lock();
        slots.slots.retain(|slot| slot.key != seat.0);
        self.count(&slots);
    }

    /// Calls the attendant, which looks after a moment of grace.
    pub(crate) fn call_attendant(&self) {
        self.attention.notify_one();
    }

    pub(crate) async fn attendant_called(&self) {
        self.attention.notified().await;
    }

    /// Resolves at the next change that concerns everybody, or at a call of
    /// [`notify_change`](Self::notify_change).
    pub(crate) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn notify_change(&self) {
        self.changed.notify_waiters();
    }

    /// One of those who watch has come to look at the link.
    pub(crate) fn answer(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// For the attendant's look: whether those who watch come when the link calls. A call that was polled once and
    /// then left alone, or whose runtime is busy, does not.
    pub(crate) fn are_answering(&self) -> bool {
        self.attendant_called.store(false, Ordering::SeqCst);
        !self.rung.load(Ordering::SeqCst) && self.are_watching()
    }

    /// What the present waiters watched is watched no more.
    pub(crate) fn stop_watching(&self) {
        let mut slots = self.lock();
        slots.slots.iter_mut().for_each(|slot| slot.watching = false);
        self.count(&slots);
    }

    /// Whether somebody watches the link.
    pub(crate) fn are_watching(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
    }

    /// Whether somebody waits who does not watch the link.
    pub(crate) fn has_passive(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > self.watching.load(Ordering::Acquire)
    }

    /// Adds the wakers of those with this interest to `woken`, but for the one in seat `polling`, who is here.
    pub(crate) fn collect(&self, interest: Interest, polling: u64, woken: &mut Vec<Waker>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let slots = self.lock();
        let wanted = slots.slots.iter().filter(|slot| slot.interest == interest && slot.key != polling);
        woken.extend(wanted.map(|slot| slot.waker.clone()));
    }

    pub(crate) fn collect_all(&self, woken: &mut Vec<Waker>) {
        self.notify_change();
        woken.extend(self.lock().slots.iter().map(|slot| slot.waker.clone()));
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        // At most once in a grace, so that a busy link does not call with every message.
        if !self.attendant_called.swap(true, Ordering::SeqCst) {
            self.call_attendant();
        }
        let watching: Vec<Waker> =
            self.lock().slots.iter().filter(|slot| slot.watching).map(|slot| slot.waker.clone()).collect();
        watching.iter().for_each(Waker::wake_by_ref);
    }
}
