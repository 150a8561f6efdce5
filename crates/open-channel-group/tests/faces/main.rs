//! The promises of each face of a group, one at a time, in a group whose network loses and delays
//! nothing. `tests/simulation` has the other networks.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // a test may panic

mod bounds;
mod calls;
mod harness;
mod hosts;
mod locks;
mod map;
mod queue;
mod topics;
mod view;
