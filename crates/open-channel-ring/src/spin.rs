//! Looking again for a little while before going to sleep, if that tends to pay.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The longest spin: about what going to sleep and being woken costs both sides together.
const LONGEST: Duration = Duration::from_micros(50);
/// What even a spin that never pays gets, so that a change of habit is noticed cheaply.
const SHORTEST: Duration = Duration::from_micros(1);
/// Looks between two readings of the clock, which costs as much as several looks.
const LOOKS: u32 = 32;

/// Threads of this process that spin. One core is always left to those who could make the wait end.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

/// Decides how long one waiter spins. It learns from how the last waits ended; with a single core it
/// never spins, because nothing can happen meanwhile.
#[derive(Debug, Clone)]
pub struct Spin {
    budget: Duration,
    /// How many threads of this process may spin at once.
    seats: usize,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::new()
    }
}

impl Spin {
    /// For the set of cores (affinity and cgroup quota counted in) that this process had at its first spin.
    pub fn new() -> Spin {
        static CORES: OnceLock<usize> = OnceLock::new();
        Spin::with_cores(*CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from)))
    }

    fn with_cores(cores: usize) -> Spin {
        Spin { budget: LONGEST, seats: cores - 1 }
    }

    /// Calls `ready` until it says yes or the time is up. Answers what it said last.
    #[inline]
    pub fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        let seated = self.seats > 0 && SPINNING.fetch_add(1, Ordering::Relaxed) < self.seats;
        let answer = seated && self.spin(&mut ready);
        if self.seats > 0 {
            SPINNING.fetch_sub(1, Ordering::Relaxed);
        }
        answer
    }

    fn spin(&mut self, ready: &mut impl FnMut() -> bool) -> bool {
        // The first round needs no clock: an answer that is on its way is here before it ends.
        let mut started = None;
        loop {
            for _ in 0..LOOKS {
                std::hint::spin_loop();
                if ready() {
                    self.budget = (self.budget * 2).min(LONGEST);
                    return true;
                }
            }
            let started = *started.get_or_insert_with(Instant::now);
            if started.elapsed() >= self.budget {
                return false;
            }
        }
    }

    /// To be told after a sleep how long it took: a short one would have been better spun through.
    pub fn slept(&mut self, time: Duration) {
        self.budget = if time <= LONGEST { LONGEST } else { (self.budget / 2).max(SHORTEST) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_core_looks_once_and_several_learn() {
        let mut looks = 0;
        assert!(!Spin::with_cores(1).until(|| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);

        let mut spin = Spin::with_cores(2);
        for _ in 0..10 {
            assert!(!spin.until(|| false));
            spin.slept(Duration::from_millis(10));
        }
        assert_eq!(spin.budget, SHORTEST);
        spin.slept(Duration::from_micros(20));
        assert_eq!(spin.budget, LONGEST);
        let mut looks = 0;
        assert!(spin.until(|| {
            looks += 1;
            looks == 100
        }));
    }
}
