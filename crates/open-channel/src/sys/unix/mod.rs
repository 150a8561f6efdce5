//! Unix in general. A refinement, chosen here, is what only some Unix systems have.
//!
//! ```text
//!                    linux       apple        freebsd      any other, portable
//!   process exit     pidfd       kqueue       kqueue       by number
//!   socket flags     at once     afterwards   at once      at once, afterwards
//!   directory        session's   user's       /tmp         /tmp
//!   long paths       /proc       short link   short link   short link
//!   memory limits    cgroup      not known    not known    not known
//!   file system      /proc       fstatfs      fstatfs      not known
//! ```
//! With `--cfg open_channel_portable`, Linux counts as any other. So the code for systems without
//! these refinements is run by the whole test suite, although none of those systems is at hand.

mod clock;
mod content_lock;
mod directory;
mod lasting_file;
mod limits;
mod program;
mod registration;
mod socket;
mod step;
mod top;
mod user;
mod wait;

#[cfg(all(target_os = "linux", not(open_channel_portable)))]
mod linux;
#[cfg(all(target_os = "linux", not(open_channel_portable)))]
use linux::{self as refined, socket_path as long_paths};

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(target_vendor = "apple")]
use apple as refined;

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "freebsd")]
use freebsd as refined;

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
mod kqueue;

#[cfg(not(any(
    all(target_os = "linux", not(open_channel_portable)),
    target_vendor = "apple",
    target_os = "freebsd",
)))]
mod portable;
#[cfg(not(any(
    all(target_os = "linux", not(open_channel_portable)),
    target_vendor = "apple",
    target_os = "freebsd",
)))]
use portable as refined;

#[cfg(any(not(target_os = "linux"), open_channel_portable))]
mod short_link;
#[cfg(any(not(target_os = "linux"), open_channel_portable))]
use short_link as long_paths;
#[cfg(any(not(target_os = "linux"), open_channel_portable))]
mod one_namespace;
#[cfg(any(not(any(target_os = "linux", target_vendor = "apple")), open_channel_portable))]
mod temporary;
#[cfg(any(not(target_os = "linux"), open_channel_portable))]
mod unlimited;

#[cfg(not(any(target_vendor = "apple", open_channel_portable)))]
#[path = "flags_at_once.rs"]
mod flags;
#[cfg(any(target_vendor = "apple", open_channel_portable))]
#[path = "flags_afterwards.rs"]
mod flags;

pub(crate) use clock::{coarse_now, monotonic_now};
pub(crate) use content_lock::{try_lock, unlock};
pub(crate) use directory::{
    Directory, Listing, directory_at, make_directory, remove_directory, share_file,
};
pub(crate) use lasting_file::{
    fault_of_lasting_file, open_lasting_file, read_from_start, sync_directory, write_to_start,
};
pub(crate) use limits::is_scarce;
pub(crate) use long_paths::SocketPath;
pub(crate) use program::program_name;
pub(crate) use refined::{
    ProcessExit, UserDirectory, address_space_left, machine_memory, memory_left, process_namespace,
};
pub(crate) use registration::{ReadyGuard, Registration, Source};
pub(crate) use socket::{
    Stream, Watched, borrow, borrow_doorbell, detach_tcp, duplicate, listen, listen_on, pair, peer,
    prepare, receive, send, shutdown,
};
pub(crate) use step::REMEDY;
pub(crate) use top::top_directory;
pub use user::UserId;
pub(crate) use wait::{WakeReceiver, WakeSender, sleep, wake_pair};

#[cfg(test)]
mod tests;
