//! Thousands of small groups, each grown from a seed: members that publish, call, lock, work and
//! write; processes that crash, stop, leave and come back; hosts that change at any step. In each
//! of them the promises of `docs/GROUP.md` hold.
//!
//! ```text
//! cargo test -p open-channel-group --test simulation             10,000 seeds
//! SEED=17 cargo test -p open-channel-group --test simulation -- --nocapture    one, step by step
//! SEEDS=1000000 cargo test --release …                           more of them
//! ```
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // its panics are its findings

mod application;
mod audit;
mod events;
mod faults;
mod kernel;
mod ledger;
mod network;
mod process;
mod tally;
mod world;

use open_channel_simulation::Simulation;

use tally::Tally;
use world::World;

const SEEDS: u64 = 10_000;

fn live(seed: u64, trace: bool) -> Tally {
    World::new(seed, trace).live()
}

#[test]
fn the_promises_hold_in_every_small_group() {
    Simulation::new("open-channel-group", live).check(SEEDS);
}

#[test]
fn a_seed_means_the_same_world_every_time() {
    Simulation::new("open-channel-group", live).check_that_seeds_repeat();
}
