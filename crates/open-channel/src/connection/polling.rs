//! One poll of a waiting call: pays its debt, checks, spins, becomes a waiter, checks again.

use std::task::{Context, Poll};

use tokio::task::coop;

use crate::connection::Connection;
use crate::connection::state::State;
use crate::connection::transport::ring::Spinning;
use crate::connection::waiters::{Interest, WaiterKey, WakeMode};

impl Connection {
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        interest: Interest,
        ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        self.poll_both_ways(cx, key, mode, interest, |_| None, ready)
    }

    /// Tries the `short` path, which needs no work afterwards, first and after the spin.
    #[inline]
    pub(super) fn poll_both_ways<T>(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        interest: Interest,
        mut short: impl FnMut(&mut State) -> Option<T>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Poll<T> {
        let mut spin = OneSpin::Possible;
        loop {
            let mut state = self.lock();
            match std::mem::replace(&mut spin, OneSpin::Over) {
                OneSpin::Due(spinning) => state.spun(spinning),
                before => spin = before,
            }
            if mode != WakeMode::Task {
                state.traffic.budget.forget();
            } else if state.traffic.budget.is_due() {
                drop(state);
                if self.pay(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if let Some(found) = short(&mut state) {
                state.found(key, interest);
                return Poll::Ready(found);
            }
            let polled = self.tend(state, |state| {
                state.calls += 1;
                state.step(cx, key, mode, interest, &mut spin, &mut ready)
            });
            match &mut spin {
                OneSpin::Due(spinning) => spinning.run(),
                _ => return polled,
            }
        }
    }

    /// Takes a unit of the task's budget. Pending if it has none left: it is polled again after
    /// others.
    #[cold]
    fn pay(&self, cx: &mut Context<'_>) -> Poll<()> {
        coop::poll_proceed(cx).map(|unit| {
            unit.made_progress();
            self.lock().traffic.budget.pay();
        })
    }
}

/// A poll spins once at most.
enum OneSpin {
    Possible,
    /// To be run without the lock, before the next step.
    Due(Spinning),
    Over,
}

impl State {
    /// The call is ready.
    #[inline]
    fn found(&mut self, key: &mut WaiterKey, interest: Interest) {
        self.traffic.budget.add_call();
        if !key.is_empty() {
            self.note_wake_up(interest);
            self.wakes.waiters.leave(key);
        }
    }

    /// The part of a poll under the lock.
    fn step<T>(
        &mut self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        interest: Interest,
        spin: &mut OneSpin,
        ready: &mut impl FnMut(&mut Self) -> Option<T>,
    ) -> Poll<T> {
        loop {
            let had_link = self.transport.is_some();
            if let Some(value) = ready(self) {
                self.found(key, interest);
                return Poll::Ready(value);
            }
            if !key.is_empty() && mode == WakeMode::Task && !self.has_ring() {
                // It was woken. New messages are read first: the answer to them then carries the
                // acknowledgement of those before, which would travel alone otherwise.
                self.wakes.begin_poll(key);
                let progress = self.poll_link(mode, interest);
                self.wakes.end_poll();
                if progress {
                    continue;
                }
            }
            self.write_before_waiting(interest);
            if had_link && self.transport.is_none() {
                // The link was dead or broken. The messages that had arrived on it were taken in.
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
                // A call that does not watch never polls the link, so it does not count as a caller
                // that does.
                self.calls = 0;
            }
            // Registered before the check, so that no change in between is missed.
            self.wakes.waiters.enter(key, interest, watching, cx.waker());
            self.wakes.begin_poll(key);
            let progress = self.poll_link(mode, interest);
            self.wakes.end_poll();
            if !progress {
                return Poll::Pending;
            }
        }
    }
}
