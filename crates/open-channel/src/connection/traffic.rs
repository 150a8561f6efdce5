//! Bytes that have passed, summed up with the budget of each message: both are one addition.

use open_channel_proto::MESSAGE_OVERHEAD;

use crate::connection::budget::Budget;

/// What a connection has carried, and what that costs the tasks that it does it for.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) budget: Budget,
    /// Bytes of the messages that were accepted for sending.
    pub(super) sent: u64,
    /// Bytes of the messages that the application got.
    pub(super) received: u64,
}

impl Traffic {
    /// Messages were accepted; `cost` is what they count in the window together.
    #[inline]
    pub(super) fn add_sent(&mut self, count: u32, cost: usize) {
        self.budget.add_messages(count, cost);
        self.sent += bytes(count, cost);
    }

    /// The application got messages; `cost` is what they count in the window together.
    #[inline]
    pub(super) fn add_received(&mut self, count: u32, cost: usize) {
        self.budget.add_messages(count, cost);
        self.received += bytes(count, cost);
    }
}

#[inline]
fn bytes(count: u32, cost: usize) -> u64 {
    (cost as u64).saturating_sub(u64::from(count) * MESSAGE_OVERHEAD as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_messages_own_bytes_are_summed_up() {
        let mut traffic = Traffic::default();
        traffic.add_sent(1, 5 + MESSAGE_OVERHEAD);
        traffic.add_sent(3, 9 + 3 * MESSAGE_OVERHEAD);
        traffic.add_received(1, MESSAGE_OVERHEAD);
        assert_eq!((traffic.sent, traffic.received), (14, 0));
    }
}
