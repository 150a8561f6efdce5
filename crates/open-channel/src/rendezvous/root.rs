//! Which directory the processes of a user meet in.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How the root is found: chosen when the channel is made, so that no later change of the
/// environment, of the working directory or of this process's rights leads anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    way: Way,
    /// Where this process's paths begin.
    top: Option<Top>,
}

/// Device and inode of `/`.
type Top = (u64, u64);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Named by the program or by `$OPEN_CHANNEL_DIR`; absolute.
    Named(PathBuf),
    /// One of the user's own directories, whichever is there: the last logout removes some of them.
    Own { uid: u32, places: Vec<Place> },
}

/// A directory that is used while it is the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Bits that its mode must not have.
    closed: u32,
}

impl Root {
    pub(crate) fn choose(named: Option<&Path>) -> Result<Self, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let named = named.map(Path::to_owned).or_else(|| set("OPEN_CHANNEL_DIR").map(PathBuf::from));
        let way = match named {
            Some(path) => Way::Named(absolute(&path)?),
            // The specification has relative ones ignored.
            None => Way::own(set("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())),
        };
        Ok(Self { way, top: top() })
    }

    /// Where a process that comes now looks: the named directory, else
    /// `$XDG_RUNTIME_DIR/open-channel` if that variable names a directory of the user's own, else
    /// `/run/user/<uid>/open-channel` if that is the user's own and private, else
    /// `/tmp/open-channel-<uid>`.
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        let (uid, places) = match &self.way {
            Way::Named(path) => return Ok(path.clone()),
            Way::Own { uid, places } => (*uid, places),
        };
        if self.is_out_of_sight() {
            let problem = "this process has another root directory (chroot) than when the channel was made: \
                           make the channel afterwards, or name a directory with OPEN_CHANNEL_DIR";
            return Err(io::Error::other(problem));
        }
        for Place { path, closed } in places {
            // After `sudo` or `su` the variable may still name another user's directory.
            if is_own(path, uid, *closed)? {
                return Ok(path.join("open-channel"));
            }
        }
        Ok(format!("/tmp/open-channel-{uid}").into())
    }

    /// Whether paths lead elsewhere than when the channel was made, as after `chroot`. Other processes
    /// still look where they did.
    pub(crate) fn is_out_of_sight(&self) -> bool {
        self.top != top()
    }
}

impl Way {
    fn own(session: Option<PathBuf>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let session = session.map(|path| Place { path, closed: 0 });
        // For processes that have no session, as those of cron, to meet those that have one.
        let usual = Place { path: format!("/run/user/{uid}").into(), closed: 0o077 };
        let mut places: Vec<Place> = session.into_iter().chain([usual]).collect();
        // One that cannot even be looked at belongs to another user. Later on that would only mean
        // that this process has given a right up.
        places.retain(|place| !is_denied(&place.path));
        Self::Own { uid, places }
    }
}

fn top() -> Option<Top> {
    std::fs::metadata("/").ok().map(|meta| (meta.dev(), meta.ino()))
}

fn is_denied(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
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
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error),
        },
    }
}
