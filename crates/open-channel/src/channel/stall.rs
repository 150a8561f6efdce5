//! The times at which connections are checked for messages that wait for long.

use std::time::{Duration, Instant};

use crate::background;

/// Checks within the time after which a socket counts as stalled.
const CHECKS: u32 = 8;
/// The longest time between two checks, which bounds the error of an age in the statistics.
const LONGEST: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(1);

/// Time between two checks.
fn interval(stall_after: Duration) -> Duration {
    (stall_after / CHECKS).clamp(SHORTEST, LONGEST)
}

/// Calls `check` at regular times, for as long as it is polled. The time that it passes stands
/// still while this process is stopped or the machine is suspended. So its own absence is not taken
/// for the silence of others.
pub(crate) async fn watch(stall_after: Duration, mut check: impl FnMut(Duration)) {
    let interval = interval(stall_after);
    let mut ticks = background::beats(interval);
    let mut last = Instant::now();
    let mut now = Duration::ZERO;
    loop {
        ticks.tick().await;
        let tick = Instant::now();
        now += tick.saturating_duration_since(last).min(interval * 2);
        last = tick;
        check(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_as_frequent_as_the_setting_needs_and_never_too_frequent() {
        assert_eq!(interval(Duration::MAX), LONGEST);
        assert_eq!(interval(Duration::from_millis(800)), Duration::from_millis(100));
        assert_eq!(interval(Duration::from_nanos(1)), SHORTEST);
    }
}
