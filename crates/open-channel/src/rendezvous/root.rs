//! Which directory the processes of a user meet in.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sys::{self, UserDirectory};

/// How the root is found: chosen when the channel is made, so that no later change of the
/// environment, of the working directory or of this process's rights leads anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    way: Way,
    /// Where this process's paths begin.
    top: Option<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Named by the program or by `$OPEN_CHANNEL_DIR`; absolute.
    Named(PathBuf),
    /// The user's own directory on this system.
    Own(UserDirectory),
}

impl Root {
    pub(crate) fn choose(named: Option<&Path>) -> Result<Self, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let named =
            named.map(Path::to_owned).or_else(|| set("OPEN_CHANNEL_DIR").map(PathBuf::from));
        let way = match named {
            Some(path) => Way::Named(absolute(&path)?),
            None => Way::Own(UserDirectory::from_environment()),
        };
        Ok(Self { way, top: sys::top_directory() })
    }

    /// Where a process that comes now looks: the named directory, else the
    /// [user's own](UserDirectory::path).
    ///
    /// # Errors
    /// The path cannot be had at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        match &self.way {
            Way::Named(path) => Ok(path.clone()),
            Way::Own(_) if self.is_out_of_sight() => Err(io::Error::other(
                "this process has another root directory (chroot) than when the channel was made: \
                 make the channel afterwards, or name a directory with OPEN_CHANNEL_DIR",
            )),
            Way::Own(directory) => directory.path(),
        }
    }

    /// Whether paths lead elsewhere than when the channel was made, as after `chroot`. Other
    /// processes still look where they did.
    pub(crate) fn is_out_of_sight(&self) -> bool {
        self.top != sys::top_directory()
    }
}

/// `path`, from the present working directory on.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::directory(
            path,
            format!("its path cannot be made absolute: {error}: choose an absolute one"),
        )
    })
}
