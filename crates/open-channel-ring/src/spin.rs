//! Looking again for a little while before going to sleep, if that tends to pay.
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::os;
use crate::process_counters::SPINNING;

/// About what going to sleep and being woken costs both sides together: a spin that finds something in this time has paid.
const LONG: Duration = Duration::from_micros(100);
/// What spins get that do not pay.
const SHORT: Duration = Duration::from_micros(1);
/// Longer than it takes to wake the other side, so that it can show whether a next spin would pay.
const PROBE: Duration = Duration::from_millis(1);
/// At least one of so many spins is a probe.
const PROBE_EVERY: u32 = 1024;
/// Looks between two readings of the clock, which costs as much as several looks.
const LOOKS: u32 = 32;

/// Decides how long one waiter spins. It learns from how the last waits ended: where the other side needs long, or can't
/// run while this one spins, spinning soon costs next to nothing. On a machine of a single core it never spins.
#[derive(Debug, Clone)]
pub struct Spin {
    /// Spins that did not pay since one did.
    failures: u32,
    /// After a short sleep, the other side was awake when it was last sent something: how often since a spin paid, and whether
    /// this is a time to rely on it.
    expectations: u32,
    expectant: bool,
    /// The last spin took its time in vain: since then its wait has been going on asleep.
    asleep_since: Option<Instant>,
    /// The last sleep was shorter than a probe.
    dozed: bool,
    /// How many threads of this process may spin at once.
    seats: usize,
    /// Of the last spin.
    took: Duration,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::new()
    }
}

impl Spin {
    /// For the cores that the machine had at this process's first spin. All of them count, not only those that this
    /// thread may use: the other side may use the others.
    pub fn new() -> Spin {
        static CORES: OnceLock<usize> = OnceLock::new();
        Spin::with_cores(*CORES.get_or_init(os::cores))
    }

    fn with_cores(cores: usize) -> Spin {
        Spin {
            seats: cores.saturating_sub(1),
            failures: 0,
            expectations: 0,
            expectant: false,
            asleep_since: None,
            dozed: false,
            took: Duration::ZERO,
        }
    }

    /// How long the last call of [`until`](Self::until) spun; nothing if a first round of looks was enough.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Calls `ready` until it says yes, or the time is up, of which there is never more than `at_most` and a few microseconds. Answers
    /// what it said last.
    #[inline]
    pub fn until(&mut self, at_most: Duration, ready: impl FnMut() -> bool) -> bool {
        self.until_or(at_most, ready, || false)
    }

    /// [`until`](Self::until) something else comes up, too: every half a microsecond or so it asks `stop`. A spin that was
    /// stopped did not pay.
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
        if self.seats == 0 {
            return false;
        }
        // An answer that is on its way is here before the first round ends, which needs neither clock nor seat.
        if look(&mut ready) {
            self.pay();
            return true;
        }
        let seated = SPINNING.fetch_add(1, Ordering::Relaxed) < self.seats; // one core is left to who could end the wait
        let answer = seated && self.spin(at_most, &mut ready, &mut stop);
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        answer
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

    /// Late it did not pay: such waits are long, or this thread lost its core.
    fn found_after(&mut self, time: Duration) {
        if time < LONG { self.pay() } else { self.fail() }
    }

    fn pay(&mut self) {
        self.failures = 0;
        self.expectations = 0;
    }

    fn fail(&mut self) {
        self.failures = self.failures.wrapping_add(1);
    }

    /// Before a wait: whether the other side was awake when it was last sent something, so that its answer may be early. Relied on
    /// ever more seldom while that does not pay: on a shared core it may be awake because this side keeps it from going on.
    pub fn expect_soon(&mut self, awake: bool) {
        let likely = awake && self.dozed;
        self.expectations = self.expectations.wrapping_add(u32::from(likely));
        self.expectant = likely && self.expectations.is_power_of_two();
    }

    /// The wait that went on asleep is over. Whose waits are never told of has no early probes.
    pub fn woken(&mut self) {
        if let Some(since) = self.asleep_since.take() {
            self.slept(since.elapsed());
        }
    }

    fn slept(&mut self, time: Duration) {
        self.dozed = time < PROBE;
    }

    /// After short sleeps the first probes come soon. If all it was is that a core was taken away for a moment, then both sides sleep
    /// now, answers come as late as a sleeper wakes, and every further sleep would be the next one's reason. Who answers a probe finds
    /// its other side awake, and spins in turn.
    fn budget(&self) -> Duration {
        match self.failures {
            0 | 1 => LONG,
            n if n.is_multiple_of(PROBE_EVERY) || n.is_power_of_two() && self.dozed => PROBE,
            _ if self.expectant => LONG,
            _ => SHORT,
        }
    }
}

/// One round of looks.
#[inline]
fn look(ready: &mut impl FnMut() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        std::hint::spin_loop();
        ready()
    })
}

#[cfg(all(test, not(loom)))]
mod pair_tests;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NO_LIMIT: Duration = Duration::MAX;

    #[test]
    fn one_core_looks_once() {
        let mut looks = 0;
        assert!(!Spin::with_cores(1).until(NO_LIMIT, || {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
    }

    /// One that has its seat however many tests spin.
    fn spin() -> Spin {
        Spin::with_cores(64)
    }

    /// Which of three thousand spins in vain were no short ones.
    fn long_ones(dozed: bool) -> Vec<u32> {
        let mut spin = Spin { dozed, ..spin() };
        let is_long = |_: &u32| {
            let long = spin.budget() != SHORT;
            assert!(!spin.until_or(NO_LIMIT, || false, || true));
            long
        };
        (0..3000).filter(is_long).collect()
    }

    #[test]
    fn long_spins_are_ever_fewer_when_they_do_not_pay() {
        assert_eq!(long_ones(true), [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]);
        assert_eq!(long_ones(false), [0, 1, 1024, 2048]);
    }

    #[test]
    fn no_spin_is_longer_than_its_caller_can_wait() {
        let mut spin = Spin { failures: PROBE_EVERY, ..spin() };
        // A spin asks whether to stop as long as there is time.
        let mut asked = 0;
        let mut stop = || {
            asked += 1;
            asked == 2
        };
        assert!(!spin.until_or(Duration::ZERO, || false, &mut stop));
        assert_eq!(spin.failures, PROBE_EVERY + 1);
        assert_eq!(asked, 0);
    }

    #[test]
    fn a_short_sleep_is_a_reason_to_spin() {
        let mut spin = Spin { asleep_since: Some(Instant::now() - 2 * PROBE), ..spin() };
        spin.woken();
        assert!(!spin.dozed);
        spin.asleep_since = Some(Instant::now() + Duration::from_secs(3600));
        spin.woken();
        assert!(spin.dozed);
        // Of a wait that did not sleep nothing is learnt.
        spin.woken();
        assert!(spin.dozed);
    }

    #[test]
    fn one_spin_that_pays_is_enough() {
        let mut spin = Spin { failures: 3, ..spin() };
        let mut looks = 0;
        assert!(spin.until(NO_LIMIT, || {
            looks += 1;
            looks == 20
        }));
        assert_eq!((spin.failures, spin.budget()), (0, LONG));
    }

    #[test]
    fn what_is_found_late_did_not_pay() {
        let mut spin = Spin { failures: 4, dozed: true, ..spin() };
        let mut looks = 0;
        assert!(spin.until(NO_LIMIT, || {
            looks += 1;
            if looks == 2 * LOOKS {
                std::thread::sleep(2 * LONG);
            }
            looks == 2 * LOOKS
        }));
        assert_eq!((spin.failures, spin.budget()), (5, SHORT));
    }

    #[test]
    fn a_side_that_was_found_awake_is_waited_for() {
        let mut spin = Spin { failures: 5, dozed: true, ..spin() };
        let mut budget = |awake| {
            spin.expect_soon(awake);
            spin.budget()
        };
        assert_eq!([budget(true), budget(false)], [LONG, SHORT]);
        // Ever more seldom, if it does not answer.
        let long = (2..1000).filter(|_| budget(true) == LONG).count();
        assert_eq!(long, 9, "of the 2nd, 4th, … 512th");
        // Answers take too long anyway.
        let mut patient = Spin { dozed: false, ..spin };
        patient.expect_soon(true);
        assert_eq!(patient.budget(), SHORT);
    }
}
