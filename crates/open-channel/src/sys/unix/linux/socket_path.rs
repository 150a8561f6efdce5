//! A way to a socket whose path is too long for its address: through the open directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use super::super::directory::Directory;

/// A path that leads to a socket while its directory is open.
#[derive(Debug)]
pub(crate) struct SocketPath(PathBuf);

impl SocketPath {
    /// To `file` in the directory open as `dir`; good for as long as that is open.
    ///
    /// # Errors
    /// There is no way, and what to do about it.
    pub(crate) fn short(dir: &Directory, _dir_path: &Path, file: &str) -> io::Result<Self> {
        let through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
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
