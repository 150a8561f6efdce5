//! When a task that always finds a message has to let the other tasks of its thread run.
//!
//! Tokio's own sockets take one of the 128 units of a task's budget with each operation. Here a
//! message costs as little as 100 ns, while a yield costs a system call, even if no other task is
//! ready. So one unit pays for some time, in which there may be many messages.

use std::time::Duration;

/// Nanoseconds that a unit of the budget pays for: the 128 units last about four milliseconds.
const UNIT: u32 = 32_000;
/// The time that a whole budget pays for. The debt never exceeds it.
const TURN: u32 = 128 * UNIT;
/// Estimated costs: a call, a message with its handler, and the bytes copied in a nanosecond.
const CALL: u32 = 200;
const MESSAGE: u32 = 50;
const BYTES: usize = 8;

/// The time that a connection has used for a task, and that no unit was taken for yet.
#[derive(Debug, Default)]
pub(super) struct Budget {
    nanos: u32,
}

impl Budget {
    #[inline]
    pub(super) fn add_call(&mut self) {
        self.add(CALL);
    }

    /// Adds messages, and the bytes that they count in the window together.
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

    /// A unit of the task's budget was taken.
    pub(super) fn pay(&mut self) {
        self.nanos = self.nanos.saturating_sub(UNIT);
    }

    /// Drops the debt, because no other task waits for its turn.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.nanos = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The units that a use of the budget costs.
    fn units(act: impl FnOnce(&mut Budget)) -> usize {
        let mut budget = Budget::default();
        act(&mut budget);
        std::iter::from_fn(|| budget.is_due().then(|| budget.pay())).count()
    }

    #[test]
    fn what_takes_long_costs_much() {
        assert_eq!(units(|_| ()), 0);
        assert_eq!(
            units(|budget| (0..1500).for_each(|_| budget.add_messages(1, 128))),
            1500 * 66 / 32_000
        );
        assert_eq!(units(|budget| (0..320).for_each(|_| budget.add_call())), 2);
        assert_eq!(units(|budget| budget.add_messages(1, 64 << 10)), 0);
        assert_eq!(units(|budget| budget.add_messages(1, 1 << 20)), 4);
        assert_eq!(units(|budget| budget.add_messages(2000, 0)), 3);
        assert_eq!(units(|budget| budget.add_spin(Duration::from_micros(200))), 6);
        assert_eq!(
            units(|budget| (0..1000).for_each(|_| budget.add_spin(Duration::from_micros(8)))),
            128
        );
    }

    #[test]
    fn nobody_spends_more_than_a_turn() {
        assert_eq!(units(|budget| budget.add_spin(Duration::MAX)), 128);
        assert_eq!(
            units(|budget| (0..9).for_each(|_| budget.add_messages(u32::MAX, usize::MAX))),
            128
        );
    }
}
