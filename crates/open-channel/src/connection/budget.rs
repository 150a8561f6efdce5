//! When a task that finds at once whatever it waits for has to let the others of its thread go on.
//!
//! A runtime's own sockets take one of the 128 units of a task's turn for everything that they give it. Here a message costs as little
//! as a hundred nanoseconds, and the end of a turn a system call, even where nobody else has anything to do: so a unit buys some time,
//! in which there may be many messages.

use std::time::Duration;

/// Nanoseconds that a unit of the budget buys: a turn lasts about four milliseconds.
const UNIT: u32 = 32_000;
/// What a whole turn buys. Nobody owes more.
const TURN: u32 = 128 * UNIT;
/// What things are taken to cost: a call, a message with what its handler does, and so many bytes in a nanosecond.
const CALL: u32 = 200;
const MESSAGE: u32 = 50;
const BYTES: usize = 8;

/// What a connection has given to a task, or spun for it, and the task has not paid for.
#[derive(Debug, Default)]
pub(super) struct Budget {
    nanos: u32,
}

impl Budget {
    #[inline]
    pub(super) fn add_call(&mut self) {
        self.add(CALL);
    }

    /// For messages that count so many bytes in the window together.
    #[inline]
    pub(super) fn add_messages(&mut self, count: u32, cost: usize) {
        let bytes = u32::try_from(cost / BYTES).unwrap_or(TURN);
        self.add(MESSAGE.saturating_mul(count).saturating_add(bytes));
    }

    #[inline]
    pub(super) fn add_spin(&mut self, time: Duration) {
        self.add(u32::try_from(time.as_nanos()).unwrap_or(TURN));
    }

    #[inline]
    fn add(&mut self, nanos: u32) {
        self.nanos = self.nanos.saturating_add(nanos).min(TURN);
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.nanos >= UNIT
    }

    /// A unit was paid.
    pub(super) fn pay(&mut self) {
        self.nanos = self.nanos.saturating_sub(UNIT);
    }

    /// Nobody else wants a turn.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.nanos = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many units so much costs.
    fn units(act: impl FnOnce(&mut Budget)) -> usize {
        let mut budget = Budget::default();
        act(&mut budget);
        std::iter::from_fn(|| budget.is_due().then(|| budget.pay())).count()
    }

    #[test]
    fn what_takes_long_costs_much() {
        assert_eq!(units(|_| ()), 0);
        assert_eq!(units(|budget| (0..1500).for_each(|_| budget.add_messages(1, 128))), 1500 * 66 / 32_000);
        assert_eq!(units(|budget| (0..320).for_each(|_| budget.add_call())), 2);
        assert_eq!(units(|budget| budget.add_messages(1, 64 << 10)), 0);
        assert_eq!(units(|budget| budget.add_messages(1, 1 << 20)), 4);
        assert_eq!(units(|budget| budget.add_messages(2000, 0)), 3);
        assert_eq!(units(|budget| budget.add_spin(Duration::from_micros(200))), 6);
        assert_eq!(units(|budget| (0..1000).for_each(|_| budget.add_spin(Duration::from_micros(8)))), 128);
    }

    #[test]
    fn nobody_spends_more_than_a_turn() {
        assert_eq!(units(|budget| budget.add_spin(Duration::MAX)), 128);
        assert_eq!(units(|budget| (0..9).for_each(|_| budget.add_messages(u32::MAX, usize::MAX))), 128);
    }
}
