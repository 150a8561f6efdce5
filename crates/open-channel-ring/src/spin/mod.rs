//! Looking again for a little while before going to sleep, where that tends to pay.
//!
//! `docs/waiting.md` has the reasons for the rules and the figures.
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::os;
use crate::process::SPINNING;

/// About what it costs both sides together to sleep and to wake. A spin that finds something in
/// this time has paid.
const LONG_SPIN: Duration = Duration::from_micros(100);
/// The budget where spins do not pay.
const SHORT_SPIN: Duration = Duration::from_micros(1);
/// Longer than it takes to wake the other side, so that it can show whether a next spin would pay.
const PROBE: Duration = Duration::from_millis(1);
/// One of so many spins is a probe, at least.
const PROBE_EVERY: u32 = 1024;
/// Looks between two readings of the clock, which costs as much as several looks.
const LOOKS_PER_ROUND: u32 = 32;

/// Decides how long one waiter spins, and learns from how its waits end.
///
/// Where the other side needs long, or cannot run while this one spins, spinning soon costs next to
/// nothing. On a machine of a single core it never spins.
#[derive(Debug, Clone)]
pub struct Spin {
    /// Spins in vain since one paid.
    failures: u32,
    /// How often since a spin paid an early answer was likely.
    likely: u32,
    /// An early answer is likely, and this is a time to rely on that.
    expectant: bool,
    /// When the last spin ended in vain: since then the wait has gone on asleep.
    asleep_since: Option<Instant>,
    /// The last sleep was shorter than a probe.
    slept_briefly: bool,
    /// How many threads of this process may spin at once. One core is left to a thread that could
    /// make the wait end.
    max_spinning: usize,
    /// How long the last spin took.
    took: Duration,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::new()
    }
}

impl Spin {
    /// A waiter that has learnt nothing yet. It counts the cores that the machine had at this
    /// process's first spin, also those that this thread may not use: the other side may use them.
    pub fn new() -> Spin {
        static CORES: OnceLock<usize> = OnceLock::new();
        Spin::with_cores(*CORES.get_or_init(os::cores))
    }

    fn with_cores(cores: usize) -> Spin {
        Spin {
            failures: 0,
            likely: 0,
            expectant: false,
            asleep_since: None,
            slept_briefly: false,
            max_spinning: cores.saturating_sub(1),
            took: Duration::ZERO,
        }
    }

    /// Calls `ready` until it says yes or the time is up, and answers with its last word. The time
    /// is never more than `at_most` and a few microseconds.
    #[inline]
    pub fn until(&mut self, at_most: Duration, ready: impl FnMut() -> bool) -> bool {
        self.until_or(at_most, ready, || false)
    }

    /// As [`until`](Self::until), and ends as well when `stop` says yes, which it asks every half a
    /// microsecond or so. A spin that was stopped did not pay.
    #[inline]
    pub fn until_or(
        &mut self,
        at_most: Duration,
        mut ready: impl FnMut() -> bool,
        mut stop: impl FnMut() -> bool,
    ) -> bool {
        self.took = Duration::ZERO;
        if ready() {
            return true;
        }
        self.asleep_since = None;
        if self.max_spinning == 0 {
            return false;
        }
        // An answer that is on its way comes in the first round, which needs no clock and is not
        // counted.
        if look(&mut ready) {
            self.succeed();
            return true;
        }
        let allowed = SPINNING.fetch_add(1, Ordering::Relaxed) < self.max_spinning;
        let answer = allowed && self.spin(at_most, &mut ready, &mut stop);
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Before a wait: whether the other side was awake when it was last sent something, so that its
    /// answer may come early.
    ///
    /// While such waits do not pay, the spin relies on this ever more seldom: on a shared core, the
    /// other side may be awake because this one holds it up.
    pub fn expect_soon(&mut self, awake: bool) {
        let likely = awake && self.slept_briefly;
        self.likely = self.likely.wrapping_add(u32::from(likely));
        self.expectant = likely && self.likely.is_power_of_two();
    }

    /// The wait that went on asleep is over. A waiter that never calls this has no early probes.
    pub fn woken(&mut self) {
        if let Some(since) = self.asleep_since.take() {
            self.slept(since.elapsed());
        }
    }

    /// How long the last call of [`until`](Self::until) spun; zero if the first round was enough.
    pub fn took(&self) -> Duration {
        self.took
    }

    fn spin(
        &mut self,
        at_most: Duration,
        ready: &mut impl FnMut() -> bool,
        stop: &mut impl FnMut() -> bool,
    ) -> bool {
        let budget = self.budget().min(at_most);
        let started = Instant::now();
        let mut stopped = false;
        while self.took < budget && !stopped {
            let found = look(ready);
            self.took = started.elapsed();
            if found {
                self.found_after(self.took);
                return true;
            }
            stopped = stop();
        }
        self.fail();
        self.asleep_since = (!stopped).then(Instant::now);
        false
    }

    /// The next spin's time. After brief sleeps the first probes come soon, to end a state in which
    /// both sides sleep because the other did.
    fn budget(&self) -> Duration {
        match self.failures {
            0 | 1 => LONG_SPIN,
            n if n.is_multiple_of(PROBE_EVERY) || n.is_power_of_two() && self.slept_briefly => {
                PROBE
            }
            _ if self.expectant => LONG_SPIN,
            _ => SHORT_SPIN,
        }
    }

    /// A late find did not pay: such waits are long, or this thread lost its core.
    fn found_after(&mut self, time: Duration) {
        if time < LONG_SPIN { self.succeed() } else { self.fail() }
    }

    fn succeed(&mut self) {
        self.failures = 0;
        self.likely = 0;
    }

    fn fail(&mut self) {
        self.failures = self.failures.wrapping_add(1);
    }

    fn slept(&mut self, time: Duration) {
        self.slept_briefly = time < PROBE;
    }
}

/// One round of looks.
#[inline]
fn look(ready: &mut impl FnMut() -> bool) -> bool {
    (0..LOOKS_PER_ROUND).any(|_| {
        std::hint::spin_loop();
        ready()
    })
}

#[cfg(all(test, not(loom)))]
mod pair_tests;
#[cfg(all(test, not(loom)))]
mod tests;
