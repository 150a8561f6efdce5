//! Checks the sums of an inbox against its slots; for tests.

use super::Inbox;

impl Inbox {
    /// The window invariant, seen from the receiver.
    pub(crate) fn assert_credit_is_conserved(&self) {
        assert_eq!(self.unhandled_cost, self.slots.iter().map(|slot| slot.cost).sum::<usize>());
        let end = self.finished.then(|| self.next - 1);
        let gaps = self.slots.iter().filter(|slot| slot.is_gap() && Some(slot.first) != end);
        assert_eq!(self.gaps, gaps.map(|slot| u64::from(slot.count)).sum::<u64>());
        let received: u64 = self.slots.iter().map(|slot| u64::from(slot.count)).sum();
        assert_eq!(self.next, self.handled_through + 1 + received);
    }
}
