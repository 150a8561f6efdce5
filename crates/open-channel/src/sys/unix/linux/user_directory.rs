//! Which directory the processes of a user meet in, unless they name one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::user::UserId;

/// One of the user's own directories, whichever is there: the last logout removes some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserDirectory {
    /// `$XDG_RUNTIME_DIR`.
    session: Option<PathBuf>,
}

impl UserDirectory {
    /// As the environment of this process has it now.
    pub(crate) fn from_environment() -> Self {
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        // The specification has relative ones ignored.
        Self { session: session.filter(|path| path.is_absolute()) }
    }

    /// Where a process that comes now looks: `$XDG_RUNTIME_DIR/open-channel` if that variable names
    /// a directory of the user's own, else `/run/user/<uid>/open-channel` if that is the user's own
    /// and private, else `/tmp/open-channel-<uid>`.
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let user = UserId::current();
        // After `sudo` or `su` the variable may still name another user's directory.
        if let Some(session) = &self.session
            && is_own(session, &user, 0)?
        {
            return Ok(session.join("open-channel"));
        }
        // For processes that have no session, as those of cron, to meet those that have one.
        let usual = PathBuf::from(format!("/run/user/{user}"));
        if is_own(&usual, &user, 0o077)? {
            return Ok(usual.join("open-channel"));
        }
        Ok(format!("/tmp/open-channel-{user}").into())
    }
}

/// Whether this is a directory of `user`, with none of the bits `closed` in its mode.
fn is_own(path: &Path, user: &UserId, closed: u32) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.is_dir() && meta.uid() == user.as_uid() && meta.mode() & closed == 0),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
                Ok(false)
            }
            _ => Err(error),
        },
    }
}
