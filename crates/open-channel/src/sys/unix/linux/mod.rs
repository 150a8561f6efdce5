//! What Linux has beside a Unix in general.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::registration::{Registration, Source};

mod cgroup;
mod memory;
mod user_directory;

pub(crate) use memory::{address_space_left, machine_memory, memory_left};
pub(crate) use user_directory::UserDirectory;

/// A watch over a process: a pidfd.
///
/// A connection usually tells of a death by itself, but not while a forked child holds the same
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

/// A way to a file that fits a socket address although its path is too long: through the open
/// directory.
#[derive(Debug)]
pub(crate) struct SocketPath(PathBuf);

impl SocketPath {
    /// To `file` in the directory open as `dir`; good for as long as that is open.
    ///
    /// # Errors
    /// There is no way, and what to do about it.
    pub(crate) fn short(dir: BorrowedFd<'_>, _dir_path: &Path, file: &str) -> io::Result<Self> {
        let through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        if !through.exists() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path is too long for a socket and /proc is not mounted: set OPEN_CHANNEL_DIR to a shorter path",
            ));
        }
        Ok(Self(through.join(file)))
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
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
