//! Looking again for a little while before going to sleep, if that tends to pay.
use std::time::{Duration, Instant};

/// The longest spin: about what going to sleep and being woken costs both sides together.
const LONGEST: Duration = Duration::from_micros(50);
/// What even a spin that never pays gets, so that a change of habit is noticed cheaply.
const SHORTEST: Duration = Duration::from_micros(1);
/// Looks between two readings of the clock, which costs as much as several looks.
const LOOKS: u32 = 32;

/// Decides how long one waiter spins. It learns from how the last waits ended; with a single core it
/// never spins, because nothing can happen meanwhile.
#[derive(Debug, Clone)]
pub struct Spin {
    budget: Duration,
    several_cores: bool,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::new()
    }
}

impl Spin {
    /// For this thread's set of cores (affinity and cgroup quota counted in) as it is now.
    pub fn new() -> Spin {
        Spin::with_cores(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_cores(cores: usize) -> Spin {
        Spin { budget: LONGEST, several_cores: cores > 1 }
    }

    /// Calls `ready` until it says yes or the time is up. Answers what it said last.
    #[inline]
    pub fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        if !self.several_cores {
            return false;
        }
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
