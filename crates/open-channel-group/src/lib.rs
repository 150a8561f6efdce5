//! Groups on [open-channel](https://docs.rs/open-channel): the processes at one channel as members
//! that know each other, with publish/subscribe, calls, locks, job queues and a shared map.
//!
//! This crate has the pure [`core`]; `docs/GROUP.md` in the repository explains how it works.
#![forbid(unsafe_code)]

pub mod core;
