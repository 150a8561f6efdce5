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
//! | [`UserDirectory`], [`top_directory`] | paths |
//! | [`Directory`], [`Listing`], [`directory_at`] and others | directories, and small files in them |
//! | [`open_lasting_file`] and others | a file that a program names |
//! | [`try_lock`], [`unlock`] | files that others read and write while they are locked |
//! | [`Step`], [`REMEDY`] | what a file system cannot do, and the way out |
//!
//! [`SocketPath`], [`listen`], [`peer`] and [`prepare`] are Unix sockets' own; [`PipeInstance`](imp)
//! and what is imported with it is named pipes' own.
//!
//! `docs/PLATFORMS.md` says which systems there are, and what was run where.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as imp;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as imp;

#[cfg(not(any(unix, windows)))]
compile_error!("open-channel runs on Unix systems and Windows: see docs/PLATFORMS.md");

mod step;

pub use imp::UserId;
pub(crate) use imp::{
    Directory, Listing, ProcessExit, REMEDY, ReadyGuard, Registration, Source, Stream,
    UserDirectory, WakeReceiver, WakeSender, Watched, address_space_left, borrow, borrow_doorbell,
    coarse_now, detach_tcp, directory_at, duplicate, fault_of_lasting_file, is_scarce, listen_on,
    machine_memory, make_directory, memory_left, monotonic_now, open_lasting_file, pair,
    process_namespace, program_name, read_from_start, receive, remove_directory, send, share_file,
    shutdown, sleep, sync_directory, top_directory, try_lock, unlock, wake_pair, write_to_start,
};
pub(crate) use step::{Step, Unopened};

// For `link/unix.rs` alone.
#[cfg(unix)]
pub(crate) use imp::{SocketPath, listen, peer, prepare};

// For `link/pipe.rs` alone.
#[cfg(windows)]
pub(crate) use imp::{
    Instance, PipeInstance, PipeStream, has_left, name_of, random_number, read_text, write_new,
};
