//! Looking again for a little while before going to sleep, if that tends to pay.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A spin that may pay: about what going to sleep and being woken costs both sides together.
const LONG: Duration = Duration::from_micros(100);
/// One that hardly does, because the last did not.
const SHORT: Duration = Duration::from_micros(1);
/// One that finds out whether that has changed: longer than it takes to wake the other side.
const PROBE: Duration = Duration::from_millis(1);
/// At least one of so many spins is a probe.
const PROBE_EVERY: u32 = 1024;
/// Looks between two readings of the clock, which costs as much as several looks.
const LOOKS: u32 = 32;

/// Threads of this process that spin. One core is always left to those who could make the wait end.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

/// Decides how long one waiter spins. It learns from how the last waits ended: where the other side needs long, or can't
/// run while this one spins, spinning soon costs next to nothing. On a machine of a single core it never spins.
#[derive(Debug, Clone)]
pub struct Spin {
    /// Spins that did not pay since one did.
    failures: u32,
    /// The last spin did not pay, and its wait went on asleep.
    asleep_since: Option<Instant>,
    /// The last sleep was short.
    dozed: bool,
    /// How many threads of this process may spin at once.
    seats: usize,
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
        Spin::with_cores(*CORES.get_or_init(online_cores))
    }

    fn with_cores(cores: usize) -> Spin {
        Spin { failures: 0, asleep_since: None, dozed: false, seats: cores.saturating_sub(1) }
    }

    /// Calls `ready` for a microsecond or so, whatever came of the last spins, and learns nothing from it. Answers what it said last.
    #[inline]
    pub fn glance(&self, mut ready: impl FnMut() -> bool) -> bool {
        ready() || self.seats > 0 && look(&mut ready)
    }

    /// Calls `ready` until it says yes or the time is up. Answers what it said last.
    #[inline]
    pub fn until(&mut self, ready: impl FnMut() -> bool) -> bool {
        self.until_or(ready, || false)
    }

    /// [`until`](Self::until) something else comes up, too: every half a microsecond or so it asks `stop`. A spin that was
    /// stopped did not pay.
    #[inline]
    pub fn until_or(&mut self, mut ready: impl FnMut() -> bool, mut stop: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        if self.seats == 0 {
            return false;
        }
        // An answer that is on its way is here before the first round ends, which needs neither clock nor seat.
        if look(&mut ready) {
            self.failures = 0;
            return true;
        }
        let seated = SPINNING.fetch_add(1, Ordering::Relaxed) < self.seats;
        let answer = seated && self.spin(&mut ready, &mut stop);
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    fn spin(&mut self, ready: &mut impl FnMut() -> bool, stop: &mut impl FnMut() -> bool) -> bool {
        let budget = self.budget();
        let started = Instant::now();
        while started.elapsed() < budget && !stop() {
            if look(ready) {
                // If it took longer, most waits do, or this thread had no core: it would rather have slept.
                let paid = started.elapsed() < LONG;
                self.failures = if paid { 0 } else { self.failures.wrapping_add(1) };
                return true;
            }
        }
        self.failures = self.failures.wrapping_add(1);
        self.asleep_since = Some(started + budget);
        false
    }

    /// The wait that went on asleep is over. Who does not tell has spins in vain followed by short ones only.
    pub fn woken(&mut self) {
        if let Some(since) = self.asleep_since.take() {
            self.dozed = since.elapsed() < PROBE;
        }
    }

    /// After short sleeps the first probes come soon. If all it was is that a core was taken away for a moment, then both sides sleep
    /// now, answers come as late as a sleeper wakes, and every further sleep would be the next one's reason.
    fn budget(&self) -> Duration {
        match self.failures {
            0 | 1 => LONG,
            n if n.is_multiple_of(PROBE_EVERY) || n.is_power_of_two() && self.dozed => PROBE,
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

/// Cores of the machine, as ranges of numbers: `0-3,8`. One, if that cannot be read.
fn online_cores() -> usize {
    let ranges = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((last.parse::<usize>().ok()?).checked_sub(first.parse().ok()?)? + 1)
    };
    ranges.trim().split(',').filter_map(count).sum::<usize>().max(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_core_looks_once() {
        let mut looks = 0;
        assert!(!Spin::with_cores(1).until(|| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
    }

    #[test]
    fn long_spins_are_ever_fewer_when_they_do_not_pay() {
        let mut spin = Spin::with_cores(64);
        let long_spins = |spin: &mut Spin, dozed| {
            let mut long = Vec::new();
            for wait in 0..3000 {
                spin.dozed = dozed;
                if spin.budget() != SHORT {
                    long.push(wait);
                }
                assert!(!spin.until_or(|| false, || true));
                spin.asleep_since = None;
            }
            long
        };
        let dozing = long_spins(&mut spin.clone(), true);
        assert_eq!(dozing, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]);
        assert_eq!(long_spins(&mut spin, false), [0, 1, 1024, 2048]);
    }

    #[test]
    fn a_short_sleep_is_a_reason_to_spin() {
        let mut spin = Spin::with_cores(64);
        spin.asleep_since = Some(Instant::now() - 2 * PROBE);
        spin.woken();
        assert!(!spin.dozed);
        spin.asleep_since = Some(Instant::now() + PROBE);
        spin.woken();
        assert!(spin.dozed);
        // Of a wait that did not sleep nothing is learnt.
        spin.woken();
        assert!(spin.dozed);
    }

    #[test]
    fn one_spin_that_pays_in_time_is_enough() {
        let mut spin = Spin::with_cores(64);
        spin.dozed = true;
        while spin.budget() != SHORT {
            assert!(!spin.until(|| false));
            spin.asleep_since = None;
        }
        let mut looks = 0;
        let mut at_look = |last: u32| {
            looks += 1;
            looks == last
        };
        assert!(spin.until(|| at_look(20)));
        assert_eq!(spin.budget(), LONG);
    }

    #[test]
    fn a_thread_that_lost_its_core_did_not_spin_in_time() {
        let mut spin = Spin::with_cores(64);
        let mut looks = 0;
        assert!(spin.until(|| {
            looks += 1;
            if looks == 2 * LOOKS {
                std::thread::sleep(2 * LONG);
            }
            looks == 2 * LOOKS
        }));
        assert_eq!(spin.failures, 1);
    }
}
