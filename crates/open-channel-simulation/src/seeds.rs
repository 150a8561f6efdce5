//! One world per seed.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::tally::Counts;

thread_local! {
    static IN_A_WORLD: Cell<bool> = const { Cell::new(false) };
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A simulation of a crate. `live` lives the world of a seed through, step by step on the output if
/// its second argument says so, and panics where a promise does not hold.
#[derive(Debug)]
pub struct Simulation<F> {
    package: &'static str,
    live: F,
}

impl<T: Counts, F: Fn(u64, bool) -> T + Sync> Simulation<F> {
    /// The simulation of this package.
    pub fn new(package: &'static str, live: F) -> Self {
        collect_last_words();
        Self { package, live }
    }

    /// Lives through the worlds of the seeds below `seeds`, or of those that the environment names.
    ///
    /// # Panics
    /// If a promise does not hold in one of them, or they do not contain everything.
    pub fn check(&self, seeds: u64) {
        if let Some(seed) = variable("SEED") {
            match self.live(seed, true) {
                Ok(tally) => println!("seed {seed} is fine: {tally:?}"),
                Err(words) => panic!("seed {seed}: {words}"),
            }
            return;
        }
        let chosen = variable("SEEDS").unwrap_or(seeds);
        let (tally, failure) = self.live_all(chosen);
        if let Some((seed, words)) = failure {
            panic!(
                "seed {seed}: {words}\nreplay it with\n    \
                 SEED={seed} cargo test -p {} --test simulation -- --nocapture",
                self.package
            );
        }
        println!("{chosen} worlds: {tally:#?}");
        if chosen >= seeds {
            tally.assert_that_everything_happened();
        }
    }

    /// # Panics
    /// If one of the first worlds is another when it is grown again.
    pub fn check_that_seeds_repeat(&self) {
        for seed in 0..20 {
            assert_eq!(self.live(seed, false), self.live(seed, false));
        }
    }

    /// The counts of all worlds, and the lowest seed that failed, with its panic.
    fn live_all(&self, seeds: u64) -> (T, Option<(u64, String)>) {
        let next = AtomicU64::new(0);
        let failed = AtomicBool::new(false);
        let findings = Mutex::new((T::default(), Vec::new()));
        let work = || {
            let mut tally = T::default();
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    break;
                }
                match self.live(seed, false) {
                    Ok(one) => tally.add(&one),
                    Err(words) => {
                        failed.store(true, Ordering::Relaxed);
                        let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                        findings.1.push((seed, words));
                    }
                }
            }
            findings.lock().unwrap_or_else(PoisonError::into_inner).0.add(&tally);
        };
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(work);
            }
        });
        let (tally, failures) = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        (tally, failures.into_iter().min())
    }

    fn live(&self, seed: u64, trace: bool) -> Result<T, String> {
        IN_A_WORLD.set(true);
        let end = panic::catch_unwind(AssertUnwindSafe(|| (self.live)(seed, trace)));
        IN_A_WORLD.set(false);
        end.map_err(|_| LAST_WORDS.take())
    }
}

/// Panics in a world are findings to report with their seed, not output of the moment.
fn collect_last_words() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_A_WORLD.get() {
                LAST_WORDS.set(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[cfg(test)]
#[allow(unreachable_pub)] // of the tally
mod tests {
    use super::*;

    crate::tally! { at least 1: lived, large, }

    fn world(breaks_at: u64) -> impl Fn(u64, bool) -> Tally + Sync {
        move |seed, _| {
            assert!(seed != breaks_at, "a promise is broken");
            Tally { lived: 1, large: u64::from(seed > 500) }
        }
    }

    fn words_of(check: impl FnOnce() + panic::UnwindSafe) -> String {
        let panicked = panic::catch_unwind(check).expect_err("it failed");
        panicked.downcast_ref::<String>().expect("words").clone()
    }

    #[test]
    fn every_seed_is_lived_through_once() {
        let (tally, failure) = Simulation::new("some", world(u64::MAX)).live_all(1000);
        assert_eq!((tally, failure), (Tally { lived: 1000, large: 499 }, None));
    }

    #[test]
    fn a_broken_promise_is_reported_with_its_seed() {
        let words = words_of(|| Simulation::new("some", world(17)).check(1000));
        assert!(words.starts_with("seed 17: ") && words.contains("a promise is broken"), "{words}");
        assert!(words.contains("SEED=17 cargo test -p some "), "{words}");
    }

    #[test]
    fn a_case_that_never_happens_is_reported() {
        let words = words_of(|| Simulation::new("some", world(u64::MAX)).check(100));
        assert!(words.starts_with("large happened 0 times"), "{words}");
    }

    #[test]
    fn a_world_that_is_another_the_second_time_is_reported() {
        let lives = AtomicU64::new(0);
        let world =
            |_, _| Tally { lived: lives.fetch_add(1, Ordering::Relaxed), ..Tally::default() };
        words_of(AssertUnwindSafe(|| Simulation::new("some", world).check_that_seeds_repeat()));
    }
}
