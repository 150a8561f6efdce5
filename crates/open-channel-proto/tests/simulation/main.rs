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
mod ring;
mod store;
mod taking_back;
mod tally;
mod traffic;
mod world;

use open_channel_simulation::Simulation;

use tally::Tally;
use world::World;

const SEEDS: u64 = 15_000;

fn live(seed: u64, trace: bool) -> Tally {
    World::new(seed, trace).live()
}

#[test]
fn the_contract_holds_in_every_small_world() {
    Simulation::new("open-channel-proto", live).check(SEEDS);
}

#[test]
fn a_seed_means_the_same_world_every_time() {
    Simulation::new("open-channel-proto", live).check_that_seeds_repeat();
}
