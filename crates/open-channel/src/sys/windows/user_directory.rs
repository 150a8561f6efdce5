//! Which directory the processes of a user meet in, unless they name one.

use std::io;
use std::path::PathBuf;

/// The directory of the user's channels: `open-channel` in the user's local application data, which
/// only the user may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserDirectory {
    local: Option<PathBuf>,
}

impl UserDirectory {
    /// As the environment is now.
    pub(crate) fn from_environment() -> Self {
        let local = std::env::var_os("LOCALAPPDATA").map(PathBuf::from);
        Self { local: local.filter(|path| path.is_absolute()) }
    }

    /// `%LOCALAPPDATA%\open-channel`.
    ///
    /// # Errors
    /// The variable is not set.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let local = self.local.as_ref().ok_or_else(|| {
            io::Error::other(
                "LOCALAPPDATA names no directory: set it, or name one with OPEN_CHANNEL_DIR",
            )
        })?;
        Ok(local.join("open-channel"))
    }
}

/// Paths always lead where they led before: a process cannot change where they begin.
pub(crate) fn top_directory() -> Option<(u64, u64)> {
    None
}
