//! Windows.
//!
//! ```text
//!   process exit     a handle, waited for by a thread of the system's
//!   users            security identifiers
//!   streams          named pipes, which stay with the background runtime
//!   readiness        that runtime tells tasks and threads
//!   directory        %LOCALAPPDATA%\open-channel
//!   publication      a small file, moved into place without replacing
//!   locks            LockFileEx, by std
//! ```

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;

use windows_sys::core::BOOL;

mod clock;
mod content_lock;
mod directory;
mod lasting_file;
mod limits;
mod pipe;
mod port;
mod process;
mod program;
mod registration;
mod security;
mod step;
mod stream;
mod user;
mod user_directory;
mod wait;

pub(crate) use clock::{coarse_now, monotonic_now};
pub(crate) use content_lock::{try_lock, unlock};
pub(crate) use directory::{
    Directory, Listing, directory_at, make_directory, read_text, remove_directory, share_file,
    write_new,
};
pub(crate) use lasting_file::{
    fault_of_lasting_file, open_lasting_file, read_from_start, sync_directory, write_to_start,
};
pub(crate) use limits::{address_space_left, is_scarce, machine_memory, memory_left};
pub(crate) use pipe::{Instance, PipeInstance, PipeStream, has_left};
pub(crate) use port::listen_on;
pub(crate) use process::{ProcessExit, process_namespace};
pub(crate) use program::program_name;
pub(crate) use registration::{ReadyGuard, Registration, Source};
pub(crate) use step::REMEDY;
pub(crate) use stream::{
    Stream, Watched, borrow, borrow_doorbell, detach_tcp, duplicate, name_of, pair, random_number,
    receive, send, shutdown,
};
pub use user::UserId;
pub(crate) use user_directory::{UserDirectory, top_directory};
pub(crate) use wait::{WakeReceiver, WakeSender, sleep, wake_pair};

#[cfg(test)]
mod tests;

/// The error of a call that answers with zero if it fails.
fn check(answer: BOOL) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A text for a C function, with a zero at its end.
fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.as_ref().encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path holds a zero character"));
    }
    wide.push(0);
    Ok(wide)
}
