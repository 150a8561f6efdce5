//! The frame of a simulation that is a test: it grows one world from each seed, on all processors,
//! and tells the seed of one in which a promise did not hold. It does not know what a world is.
//!
//! ```sh
//! cargo test -p <crate> --test simulation                          the default number of seeds
//! SEED=17 cargo test -p <crate> --test simulation -- --nocapture   one, step by step
//! SEEDS=1000000 cargo test --release …                             more of them
//! ```

mod random;
mod seeds;
mod tally;

pub use random::Random;
pub use seeds::Simulation;
pub use tally::Counts;
