//! Clocks that only go forward.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The cheapest clock; a tick of some milliseconds does no harm.
#[cfg(target_os = "linux")]
const COARSE: ClockId = ClockId::MonotonicCoarse;
#[cfg(not(target_os = "linux"))]
const COARSE: ClockId = ClockId::Monotonic;

/// Milliseconds of a monotonic clock that costs a few nanoseconds to read.
pub(crate) fn coarse_now() -> u64 {
    u64::try_from(now(COARSE).as_millis()).unwrap_or(u64::MAX)
}

/// Time since a moment that is the same for all processes of this machine.
pub(crate) fn monotonic_now() -> Duration {
    now(ClockId::Monotonic)
}

fn now(clock: ClockId) -> Duration {
    // It counts from the start of the machine, and is never negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
