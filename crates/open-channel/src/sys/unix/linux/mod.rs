//! Linux: its own means, beside those of a Unix in general.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::registration::{Registration, Source};

mod cgroup;
mod memory;
pub(super) mod socket_path;
mod user_directory;

pub(crate) use memory::{address_space_left, machine_memory, memory_left};
pub(crate) use user_directory::UserDirectory;

/// A watch over a process: a pidfd.
///
/// A connection usually reports a death by itself, but not while a forked child holds the same
/// descriptor.
#[derive(Debug)]
pub(crate) enum ProcessExit {
    Gone,
    Watched(Registration),
    /// It cannot be known.
    Unknown,
}

impl ProcessExit {
    /// Watches process `pid` from now on, whatever process gets that number later.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Self::Unknown };
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Err(Errno::SRCH) => Self::Gone,
            Ok(pidfd) => {
                Registration::new(Source::Exit(pidfd)).map_or(Self::Unknown, Self::Watched)
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Resolves when the process is gone; never when that cannot be known. Cancel safe.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Gone => return,
            Self::Watched(pidfd) if pidfd.readable().await.is_ok() => return,
            _ => {}
        }
        std::future::pending().await
    }
}

/// The namespace in which this process has its number, if that can be known.
pub(crate) fn process_namespace() -> Option<u64> {
    rustix::fs::stat("/proc/self/ns/pid").ok().map(|namespace| namespace.st_ino)
}

/// The words that process `pid` was started with, a zero byte behind each.
pub(crate) fn command_line(pid: u32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/cmdline")).ok()
}

/// The type of the file system that `fd` is on, and where it is mounted.
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let at = if fields.next() == Some(id) { fields.nth(3)? } else { return None };
        Some(format!("{}, mounted on {at}", file_system.split(' ').next()?))
    })
}
