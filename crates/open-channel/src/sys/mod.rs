//! The differences between operating systems, and nothing else.
//!
//! The system is chosen in this file. Every system has the same items, so nothing above this module
//! asks which one it runs on:
//!
//! | items | what they are about |
//! | --- | --- |
//! | [`UserId`], [`peer`] | users, and the process on the other side of a stream |
//! | [`ProcessExit`], [`program_name`] | the end of another process, and what it runs |
//! | [`listen`], [`pair`], [`prepare`], [`receive`], [`send`], [`shutdown`] | streams of bytes |
//! | [`Registration`], [`Source`], [`ReadyGuard`] | readiness, for tasks |
//! | [`sleep`], [`WakeReceiver`], [`WakeSender`], [`wake_pair`] | readiness, for threads |
//! | [`coarse_now`], [`monotonic_now`] | clocks |
//! | [`memory_left`], [`address_space_left`], [`machine_memory`], [`is_scarce`] | limits |
//! | [`UserDirectory`], [`SocketPath`], [`file_system`], [`top_directory`] | paths |
//!
//! `docs/PLATFORMS.md` says which systems there are, and what was run where.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as imp;

#[cfg(not(unix))]
compile_error!("open-channel runs on Unix systems so far: see docs/PLATFORMS.md");

pub use imp::UserId;
pub(crate) use imp::{
    ProcessExit, ReadyGuard, Registration, SocketPath, Source, UserDirectory, WakeReceiver,
    WakeSender, address_space_left, borrow, coarse_now, duplicate, file_system, is_scarce, listen,
    machine_memory, memory_left, monotonic_now, pair, peer, prepare, program_name, receive, send,
    shutdown, sleep, top_directory, wake_pair,
};
