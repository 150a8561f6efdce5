//! Thousands of small worlds, each grown from a seed: sockets, hosts that crash, hand over or fall
//! asleep, links that break between any two bytes, applications with every bad habit. In each of
//! them the contract holds.
//!
//! ```text
//! cargo test -p open-channel-proto --test simulation                 15,000 seeds
//! SEED=17 cargo test -p open-channel-proto --test simulation -- --nocapture   one, step by step
//! SEEDS=1000000 cargo test --release …                               more of them
//! ```
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test, its panics are its findings

mod application;
mod check;
mod connect;
mod endpoint;
mod events;
mod ledger;
mod link;
mod outcome;
mod peace;
mod random;
mod ring;
mod store;
mod taking_back;
mod tally;
mod traffic;
mod world;

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tally::Tally;
use world::World;

const SEEDS: u64 = 15_000;

thread_local! {
    static IN_A_WORLD: Cell<bool> = const { Cell::new(false) };
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Lives one world through; its end, or what was wrong with it.
fn live(seed: u64, trace: bool) -> Result<Tally, String> {
    IN_A_WORLD.set(true);
    let end = panic::catch_unwind(AssertUnwindSafe(|| World::new(seed, trace).live()));
    IN_A_WORLD.set(false);
    end.map_err(|_| LAST_WORDS.take())
}

/// Panics in a world are findings to report with their seed, not output of the moment.
fn collect_last_words() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IN_A_WORLD.get() {
            LAST_WORDS.set(info.to_string());
        } else {
            usual(info);
        }
    }));
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn the_contract_holds_in_every_small_world() {
    collect_last_words();
    if let Some(seed) = variable("SEED") {
        match live(seed, true) {
            Ok(tally) => println!("seed {seed} is fine: {tally:?}"),
            Err(words) => panic!("seed {seed}: {words}"),
        }
        return;
    }
    let seeds = variable("SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let findings = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failed.load(Ordering::Relaxed) {
                        break;
                    }
                    match live(seed, false) {
                        Ok(one) => tally.add(&one),
                        Err(words) => {
                            failed.store(true, Ordering::Relaxed);
                            findings.lock().unwrap().1.push((seed, words));
                        }
                    }
                }
                findings.lock().unwrap().0.add(&tally);
            });
        }
    });
    let (tally, mut failures) = findings.into_inner().unwrap();
    failures.sort();
    if let Some((seed, words)) = failures.first() {
        panic!(
            "seed {seed}: {words}\nreplay it with\n    \
             SEED={seed} cargo test -p open-channel-proto --test simulation -- --nocapture"
        );
    }
    println!("{seeds} worlds: {tally:#?}");
    if seeds >= SEEDS {
        tally.assert_that_everything_happened();
    }
}

#[test]
fn a_seed_means_the_same_world_every_time() {
    collect_last_words();
    for seed in 0..20 {
        assert_eq!(live(seed, false), live(seed, false));
    }
}
