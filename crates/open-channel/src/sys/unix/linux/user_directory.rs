//! Which directory the processes of a user meet in, unless they name one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::user::UserId;

/// One of the user's own directories, whichever is there: the last logout removes some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserDirectory {
    user: UserId,
    places: Vec<Place>,
}

/// A directory that is used while it is the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Bits that its mode must not have.
    closed: u32,
}

impl UserDirectory {
    /// As the user, the environment and the rights of this process are now; what changes later
    /// leads to no other directory.
    pub(crate) fn from_environment() -> Self {
        let user = UserId::current();
        // The specification has relative ones ignored.
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let session = session.filter(|path| path.is_absolute());
        let session = session.map(|path| Place { path, closed: 0 });
        // For processes that have no session, as those of cron, to meet those that have one.
        let usual = Place { path: format!("/run/user/{user}").into(), closed: 0o077 };
        let mut places: Vec<Place> = session.into_iter().chain([usual]).collect();
        // One that cannot even be looked at belongs to another user. Later on that would only mean
        // that this process has given a right up.
        places.retain(|place| !is_denied(&place.path));
        Self { user, places }
    }

    /// Where a process that comes now looks: `$XDG_RUNTIME_DIR/open-channel` if that variable names
    /// a directory of the user's own, else `/run/user/<uid>/open-channel` if that is the user's own
    /// and private, else `/tmp/open-channel-<uid>`.
    ///
    /// # Errors
    /// The path cannot be had at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        for Place { path, closed } in &self.places {
            // After `sudo` or `su` the variable may still name another user's directory.
            if is_own(path, &self.user, *closed)? {
                return Ok(path.join("open-channel"));
            }
        }
        Ok(format!("/tmp/open-channel-{}", self.user).into())
    }
}

fn is_denied(path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether this is a directory of `user`, with none of the bits `closed` in its mode.
fn is_own(path: &Path, user: &UserId, closed: u32) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.is_dir() && meta.uid() == user.as_uid() && meta.mode() & closed == 0),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error),
        },
    }
}
