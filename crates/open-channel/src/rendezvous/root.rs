//! Which directory the processes of a user meet in.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How the root is found: chosen when the channel is made, so that no later change of the
/// environment or of the working directory leads anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// Named by the program or by `$OPEN_CHANNEL_DIR`; absolute.
    Named(PathBuf),
    /// One of the user's own directories, whichever is there: the last logout removes some of them.
    Own {
        /// `$XDG_RUNTIME_DIR`.
        session: Option<PathBuf>,
    },
}

impl Root {
    pub(crate) fn choose(named: Option<&Path>) -> Result<Self, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let named = named.map(Path::to_owned).or_else(|| set("OPEN_CHANNEL_DIR").map(PathBuf::from));
        let Some(path) = named else {
            // The specification has relative ones ignored.
            let session = set("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
            return Ok(Self::Own { session });
        };
        absolute(&path).map(Self::Named)
    }

    /// Where a process that comes now looks: the named directory, else
    /// `$XDG_RUNTIME_DIR/open-channel` if that variable names a directory of the user's own, else
    /// `/run/user/<uid>/open-channel` if that is the user's own and private, else
    /// `/tmp/open-channel-<uid>`.
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let session = match self {
            Self::Named(path) => return Ok(path.clone()),
            Self::Own { session } => session,
        };
        let uid = rustix::process::geteuid().as_raw();
        // After `sudo` or `su` the variable may still name another user's directory.
        if let Some(session) = session
            && is_own(session, uid, 0)?
        {
            return Ok(session.join("open-channel"));
        }
        // For processes that have no session, as those of cron, to meet those that have one.
        let usual = PathBuf::from(format!("/run/user/{uid}"));
        if is_own(&usual, uid, 0o077)? {
            return Ok(usual.join("open-channel"));
        }
        Ok(format!("/tmp/open-channel-{uid}").into())
    }
}

/// `path`, from the present working directory on.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::directory(path, format!("its path cannot be made absolute: {error}: choose an absolute one"))
    })
}

/// Whether this is a directory of user `uid`, with none of the bits `closed` in its mode.
fn is_own(path: &Path, uid: u32, closed: u32) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.is_dir() && meta.uid() == uid && meta.mode() & closed == 0),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
                Ok(false)
            }
            _ => Err(error),
        },
    }
}
