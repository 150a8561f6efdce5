//! One poll of a waiting call: pays for what was, looks, spins, takes a seat, looks again.

use std::task::{Context, Poll};

use tokio::task::coop;

use super::inner::Inner;
use super::ring::Spinning;
use super::{Connection, WakeMode};
use crate::waiters::{Interest, Seat};

impl Connection {
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        mode: WakeMode,
        interest: Interest,
        ready: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Poll<T> {
        self.poll_both_ways(cx, seat, mode, interest, |_| None, ready)
    }

    /// Tries the `short` way, which leaves nothing to see to, first and after the spin.
    #[inline]
    pub(super) fn poll_both_ways<T>(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        mode: WakeMode,
        interest: Interest,
        mut short: impl FnMut(&mut Inner) -> Option<T>,
        mut ready: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Poll<T> {
        let mut spin = OneSpin::Possible;
        loop {
            let mut inner = self.lock();
            match std::mem::replace(&mut spin, OneSpin::Over) {
                OneSpin::Due(spinning) => inner.spun(spinning),
                before => spin = before,
            }
            if mode != WakeMode::Task {
                inner.owed.forget();
            } else if inner.owed.is_due() {
                drop(inner);
                if self.pay(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if let Some(found) = short(&mut inner) {
                inner.found(seat, interest);
                return Poll::Ready(found);
            }
            let polled = self.tend(inner, |inner| {
                inner.calls += 1;
                inner.step(cx, seat, mode, interest, &mut spin, &mut ready)
            });
            match &mut spin {
                OneSpin::Due(spinning) => spinning.run(),
                _ => return polled,
            }
        }
    }

    /// Takes a unit of the task's budget. Pending: it has none left, and is polled again after others.
    #[cold]
    fn pay(&self, cx: &mut Context<'_>) -> Poll<()> {
        coop::poll_proceed(cx).map(|unit| {
            unit.made_progress();
            self.lock().owed.pay();
        })
    }
}

/// A poll spins once at most.
enum OneSpin {
    Possible,
    /// Without the lock, and before the next step.
    Due(Spinning),
    Over,
}

impl Inner {
    /// The call has what it waited for.
    #[inline]
    fn found(&mut self, seat: &mut Seat, interest: Interest) {
        self.owed.add_call();
        if !seat.is_empty() {
            self.note_wake_up(interest);
            self.waiters.leave(seat);
        }
    }

    /// As far as a waiting call gets with the lock.
    fn step<T>(
        &mut self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        mode: WakeMode,
        interest: Interest,
        spin: &mut OneSpin,
        ready: &mut impl FnMut(&mut Self) -> Option<T>,
    ) -> Poll<T> {
        loop {
            let had_link = self.link.is_some();
            if let Some(value) = ready(self) {
                self.found(seat, interest);
                return Poll::Ready(value);
            }
            self.write_before_waiting(interest);
            if had_link && self.link.is_none() {
                // It was found dead, or broken, and what had arrived on it was taken in.
                continue;
            }
            if matches!(spin, OneSpin::Possible)
                && let Some(spinning) = self.spinning(mode, interest)
            {
                *spin = OneSpin::Due(spinning);
                return Poll::Pending;
            }
            let watching = self.watch_link(mode);
            if !watching {
                // However often it comes, it never looks at the link itself.
                self.calls = 0;
            }
            // Registered before looking, so that nothing that happens in between is missed.
            self.waiters.enter(seat, interest, watching, cx.waker());
            self.polling = seat.key();
            let progress = self.look(mode, interest);
            self.polling = 0;
            if !progress {
                return Poll::Pending;
            }
        }
    }
}
