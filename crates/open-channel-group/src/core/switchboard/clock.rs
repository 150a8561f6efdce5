//! Time as the switchboard counts it: while its process does not run, none passes. So a host that
//! was stopped takes nobody for stalled when it wakes up, before it learns that it hosts no more.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Clock {
    now: Duration,
    elapsed: Duration,
    /// The longest time between two calls that counts.
    step: Duration,
}

impl Clock {
    pub(crate) fn new(now: Duration, step: Duration) -> Self {
        Self { now, elapsed: Duration::ZERO, step }
    }

    pub(crate) fn advance(&mut self, now: Duration) {
        self.elapsed += now.saturating_sub(self.now).min(self.step);
        self.now = self.now.max(now);
    }

    /// The driver's time.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Time that has passed while the process ran.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// A moment of the elapsed time in the driver's time; in steps, so that each counts in full.
    pub(crate) fn when(&self, elapsed: Duration) -> Duration {
        self.now + elapsed.saturating_sub(self.elapsed).min(self.step)
    }
}
