//! Which directory the processes of a user meet in.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sys::UserDirectory;

/// How the root is found: chosen when the channel is made, so that no later change of the
/// environment or of the working directory leads anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// Named by the program or by `$OPEN_CHANNEL_DIR`; absolute.
    Named(PathBuf),
    /// The user's own directory on this system.
    Own(UserDirectory),
}

impl Root {
    pub(crate) fn choose(named: Option<&Path>) -> Result<Self, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let named = named.map(Path::to_owned).or_else(|| set("OPEN_CHANNEL_DIR").map(PathBuf::from));
        let Some(path) = named else { return Ok(Self::Own(UserDirectory::from_environment())) };
        absolute(&path).map(Self::Named)
    }

    /// Where a process that comes now looks: the named directory, else the
    /// [user's own](UserDirectory::path).
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        match self {
            Self::Named(path) => Ok(path.clone()),
            Self::Own(directory) => directory.path(),
        }
    }
}

/// `path`, from the present working directory on.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::directory(path, format!("its path cannot be made absolute: {error}: choose an absolute one"))
    })
}
