//! The age of the oldest open message of one direction, from regular checks of the sequence
//! numbers.
//!
//! No message is timed: that would read a clock for each. The age counts from the first check that
//! found the message. It is less than the true one by at most the time between two checks.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// Checks that are remembered. Beyond that, every second one is forgotten, and messages seem
/// younger than they are.
const CHECKS: usize = 32;

/// The results of the checks of one direction.
#[derive(Debug, Default)]
pub(super) struct Age {
    /// Checks that found new messages: the number behind the last message, and the time. Both grow.
    checks: VecDeque<(u64, Duration)>,
    /// The progress of the other side at the last check, and the time of the first check that found
    /// it.
    progress: Option<(u64, Duration)>,
}

impl Age {
    /// A check at `now` finds the messages `open`, and the other side's `progress`.
    pub(super) fn check(&mut self, now: Duration, open: &Range<u64>, progress: u64) {
        // Messages beyond the end will be sent again, or the numbers began anew.
        while self.checks.back().is_some_and(|(end, _)| *end > open.end) {
            self.checks.pop_back();
        }
        while self.checks.front().is_some_and(|(end, _)| *end <= open.start) {
            self.checks.pop_front();
        }
        if open.is_empty() {
            self.progress = None;
            return;
        }
        if self.checks.back().is_none_or(|(end, _)| *end < open.end) {
            self.checks.push_back((open.end, now));
        }
        if self.checks.len() > CHECKS {
            let mut kept = false;
            self.checks.retain(|_| {
                kept = !kept;
                kept
            });
        }
        if self.progress.is_none_or(|(before, _)| before != progress) {
            self.progress = Some((progress, now));
        }
    }

    /// The time from the check that found the oldest of the messages `open` to `now`, the last
    /// check.
    pub(super) fn of_oldest(&self, now: Duration, open: &Range<u64>) -> Option<Duration> {
        let found = self.checks.iter().find(|(end, _)| *end > open.start);
        (!open.is_empty()).then(|| found.map_or(Duration::ZERO, |(_, at)| now.saturating_sub(*at)))
    }

    /// The time without progress while messages were open.
    pub(super) fn without_progress(&self, now: Duration, progress: u64) -> Option<Duration> {
        let since = self.progress.filter(|(before, _)| *before == progress);
        since.map(|(_, at)| now.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_message_is_as_old_as_the_check_that_found_it() {
        let mut age = Age::default();
        age.check(secs(1), &(1..1), 1);
        assert_eq!(age.of_oldest(secs(1), &(1..1)), None);
        assert_eq!(age.of_oldest(secs(1), &(1..4)), Some(secs(0)), "sent since the last check");
        age.check(secs(2), &(1..4), 1);
        age.check(secs(3), &(1..9), 1);
        assert_eq!(age.of_oldest(secs(3), &(1..9)), Some(secs(1)));
        assert_eq!(age.of_oldest(secs(3), &(4..9)), Some(secs(0)));
        age.check(secs(9), &(8..9), 8);
        assert_eq!(age.of_oldest(secs(9), &(8..9)), Some(secs(6)), "it waited behind others");
        assert_eq!(age.without_progress(secs(9), 8), Some(secs(0)), "and they went on");
        age.check(secs(12), &(8..9), 8);
        assert_eq!(age.without_progress(secs(12), 8), Some(secs(3)));
        assert_eq!(age.without_progress(secs(12), 9), None);
    }

    #[test]
    fn what_is_quiet_for_long_is_not_old_when_it_begins() {
        let mut age = Age::default();
        (0..100).for_each(|at| age.check(secs(at), &(5..5), 5));
        age.check(secs(100), &(5..6), 5);
        assert_eq!(age.of_oldest(secs(100), &(5..6)), Some(secs(0)));
        assert_eq!(age.without_progress(secs(100), 5), Some(secs(0)));
    }

    #[test]
    fn checks_without_end_take_no_memory_without_end_and_never_make_a_message_older() {
        let mut age = Age::default();
        for at in 1..10_000 {
            age.check(secs(at), &(1..at + 1), 1);
            assert!(age.checks.len() <= CHECKS);
            assert_eq!(age.of_oldest(secs(at), &(1..at + 1)), Some(secs(at - 1)));
        }
        let found = age.of_oldest(secs(9_999), &(5_000..10_000)).expect("it is open");
        assert!(found <= secs(4_999), "{found:?}");
    }

    #[test]
    fn numbers_that_begin_anew_are_new_messages() {
        let mut age = Age::default();
        age.check(secs(1), &(100..200), 100);
        age.check(secs(2), &(1..2), 1);
        assert_eq!(age.of_oldest(secs(2), &(1..2)), Some(secs(0)));
        assert_eq!(age.without_progress(secs(2), 1), Some(secs(0)));
    }
}
