//! The atomics that the ring is written in: the processor's, or loom's under `cfg(loom)`.
//!
//! Everything above this file sees shared memory as `&[AtomicU64]` and nothing else, so the code
//! that loom checks is the code that ships. An atomic may also change at any time, which a `&[u8]`
//! may not: this makes a misbehaving peer harmless to the compiler.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
