//! The differences between operating systems, and nothing else.
//!
//! The system is chosen in this file. Every system has the same items, so nothing above this module
//! asks which one it runs on:
//!
//! | items | what they are about |
//! | --- | --- |
//! | [`UserId`] | users |
//! | [`ProcessExit`], [`program_name`], [`process_namespace`] | other processes: end, program |
//! | [`Stream`], [`pair`], [`receive`], [`send`], [`shutdown`] | streams of bytes, for any thread |
//! | [`listen_on`], [`detach_tcp`] | TCP |
//! | [`Registration`], [`Source`], [`ReadyGuard`] | readiness, for tasks |
//! | [`Watched`], [`borrow`], [`duplicate`] | what a thread or an event loop watches |
//! | [`sleep`], [`WakeReceiver`], [`WakeSender`], [`wake_pair`] | readiness, for threads |
//! | [`coarse_now`], [`monotonic_now`] | clocks |
//! | [`memory_left`], [`address_space_left`], [`machine_memory`], [`is_scarce`] | limits |
//! | [`UserDirectory`], [`file_system`], [`top_directory`] | paths |
//!
//! [`SocketPath`], [`listen`], [`peer`] and [`prepare`] are Unix sockets' own.
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
    ProcessExit, ReadyGuard, Registration, Source, Stream, UserDirectory, WakeReceiver, WakeSender,
    Watched, address_space_left, borrow, coarse_now, detach_tcp, duplicate, file_system, is_scarce,
    listen_on, machine_memory, memory_left, monotonic_now, pair, process_namespace, program_name,
    receive, send, shutdown, sleep, top_directory, wake_pair,
};

// For `link/unix.rs` alone.
#[cfg(unix)]
pub(crate) use imp::{SocketPath, listen, peer, prepare};
