//! The commands on groups: what people otherwise start a server for, from a shell.
//!
//! | file | is |
//! | --- | --- |
//! | `place` | which group, joining it and leaving it |
//! | `command`, `tied`, `job` | CMD as a process, which is asked to end when the program dies |
//! | `held` | CMD for as long as a lock is held |
//! | `handler` | CMD for each message |

pub(crate) mod call;
pub(crate) mod command;
mod handler;
mod held;
#[cfg(windows)]
mod job;
pub(crate) mod lead;
pub(crate) mod lock;
pub(crate) mod map;
mod place;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod serve;
pub(crate) mod subscribe;
pub(crate) mod tied;
