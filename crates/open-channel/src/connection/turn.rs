//! When a task that finds at once whatever it waits for has to let the others of its thread go on.
//!
//! A runtime's own sockets take one of a task's 128 units for everything that they give it, and then make it wait for a turn of the
//! others. Here a message costs as little as a hundred nanoseconds, and a turn at least a system call where there is nobody else: so
//! a unit buys many messages, or a batch, or some time of spinning.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;

/// What a unit buys: a turn ends after four milliseconds of spinning, or 16384 messages.
const UNIT: Duration = Duration::from_micros(32);
/// What a message is taken to cost, its handler included.
const MESSAGE: Duration = Duration::from_nanos(250);

/// What a connection has used since it was last paid for.
#[derive(Debug, Default)]
pub(super) struct Turn(u32);

impl Turn {
    #[inline]
    pub(super) fn use_messages(&mut self, count: u32) {
        self.use_up(MESSAGE.saturating_mul(count));
    }

    #[inline]
    pub(super) fn use_up(&mut self, time: Duration) {
        self.0 = self.0.saturating_add(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Whether it is time to pay.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.0 >= UNIT.as_nanos() as u32
    }

    /// Pays, if it is time to. Pending: the task has nothing left, and is polled again after the others.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() { self.pay(cx) } else { Poll::Ready(()) }
    }

    #[cold]
    fn pay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        coop::poll_proceed(cx).map(|unit| {
            unit.made_progress();
            *self = Turn::default();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often one task does this before it has to let others go on.
    async fn times_in_a_turn(act: fn(&mut Turn)) -> usize {
        let count = move |cx: &mut Context<'_>| {
            let mut turn = Turn::default();
            let ready = |_: &usize| {
                act(&mut turn);
                turn.poll(cx).is_ready()
            };
            Poll::Ready((0..1_000_000).take_while(ready).count())
        };
        tokio::spawn(std::future::poll_fn(count)).await.expect("no panic")
    }

    #[tokio::test]
    async fn a_turn_ends() {
        assert_eq!(times_in_a_turn(|turn| turn.use_messages(1)).await, 129 * 128 - 1);
        assert_eq!(times_in_a_turn(|turn| turn.use_messages(500)).await, 128);
        assert_eq!(times_in_a_turn(|turn| turn.use_up(UNIT / 4)).await, 129 * 4 - 1);
        assert_eq!(times_in_a_turn(|turn| turn.use_up(Duration::MAX)).await, 128);
    }

    #[test]
    fn without_a_runtime_there_are_no_turns() {
        let mut turn = Turn::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..10_000 {
            turn.use_up(UNIT);
            assert!(turn.poll(&mut cx).is_ready());
        }
    }
}
