//! One file for each question.

pub(crate) mod connect;
mod cores;
pub(crate) mod distance;
pub(crate) mod failover;
pub(crate) mod fan_in;
pub(crate) mod idle;
pub(crate) mod limits;
pub(crate) mod pair;
pub(crate) mod syscalls;
