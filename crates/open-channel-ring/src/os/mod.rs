//! The part that differs between operating systems. The system is chosen in this file and nowhere
//! else; every system has the same items.
//!
//! Rings between processes exist on Linux only, today. Elsewhere [`offer`] and [`accept`] answer
//! with [`Unsupported`](std::io::ErrorKind::Unsupported), and the types behind them have no values.
//! With `--cfg open_channel_portable`, Linux counts as a system without rings.

#[cfg(all(target_os = "linux", not(open_channel_portable)))]
#[path = "linux/mod.rs"]
mod imp;
#[cfg(not(all(target_os = "linux", not(open_channel_portable))))]
#[path = "unsupported.rs"]
mod imp;

#[cfg(unix)]
#[path = "unix.rs"]
mod process;
#[cfg(windows)]
#[path = "windows.rs"]
mod process;

mod offered;

pub(crate) use imp::cores;
pub use imp::{
    Doorbell, Mapped, Offer, ReceivedDescriptors, accept, commits_at_once, offer,
    receive_with_descriptors, send_with_descriptors,
};
pub(crate) use process::run_in_forked_children;
pub use process::{BorrowedDescriptor, Descriptor};
