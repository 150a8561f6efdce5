//! When the sender gets an acknowledgement.

/// The part of the window after which an acknowledgement no longer waits for other frames.
const EVERY: usize = 4;

/// The acknowledgement that was sent last, and the one that the sender waits for.
#[derive(Debug)]
pub(super) struct Acks {
    acked: u64,
    /// Cost handled since the last acknowledgement that went out.
    unacked_cost: usize,
    /// The sender has asked for the acknowledgement of everything up to here.
    requested_through: u64,
    /// The most that the sender has in flight.
    sender_limit: usize,
}

impl Acks {
    /// Everything through `through` counts as acknowledged.
    pub(super) fn new(through: u64, sender_limit: usize) -> Self {
        Self { acked: through, unacked_cost: 0, requested_through: 0, sender_limit }
    }

    /// A new link: what was acknowledged stays, what was asked for does not.
    pub(super) fn attach(&mut self, sender_limit: usize) {
        self.requested_through = 0;
        self.sender_limit = sender_limit;
    }

    /// Something of this cost is handled and not acknowledged.
    #[inline]
    pub(super) fn add(&mut self, cost: usize) {
        self.unacked_cost += cost;
    }

    /// The sender hears now that everything through `through` is handled.
    #[inline]
    pub(super) fn acknowledge(&mut self, through: u64) {
        self.acked = through;
        self.unacked_cost = 0;
    }

    pub(super) fn request(&mut self, through: u64) {
        self.requested_through = through;
    }

    #[inline]
    pub(super) fn pending(&self, handled_through: u64) -> bool {
        handled_through > self.acked
    }

    /// Whether the sender waits for an acknowledgement of what is handled, or has little room left.
    #[inline]
    pub(super) fn urgent(&self, handled_through: u64) -> bool {
        self.unacked_cost >= self.sender_limit / EVERY
            || self.requested_through > self.acked && handled_through >= self.requested_through
    }
}
