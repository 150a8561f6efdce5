//! A private directory that nobody else can enter.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::Error;
use crate::rendezvous::filesystem::{self, Step};
use crate::rendezvous::identity::Identity;
use crate::rendezvous::root::Root;
use crate::sys::{self, UserId};

/// The users who may enter the runtime directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Its owner alone.
    Private,
    /// Others too, on purpose.
    Shared,
}

/// A channel's own directory, held open: what is checked is what is used, whatever happens to the
/// path.
#[derive(Debug)]
pub(crate) struct ChannelDir {
    fd: OwnedFd,
    path: PathBuf,
    root: Arc<Root>,
    name: String,
    privacy: Privacy,
}

/// Whether a directory that is missing is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    /// It is an error of the kind [`NotFound`](io::ErrorKind::NotFound).
    Leave,
}

impl ChannelDir {
    pub(crate) fn open(
        root: &Arc<Root>,
        identity: &Identity,
        privacy: Privacy,
        missing: Missing,
    ) -> Result<Self, Error> {
        Self::in_root(root, identity.directory(), privacy, missing)
    }

    /// Another directory in the same root, with the same checks.
    pub(crate) fn beside(&self, name: &str, missing: Missing) -> Result<Self, Error> {
        Self::in_root(&self.root, name, self.privacy, missing)
    }

    fn in_root(
        root: &Arc<Root>,
        name: &str,
        privacy: Privacy,
        missing: Missing,
    ) -> Result<Self, Error> {
        let root_path =
            root.path().map_err(|error| Error::io("looking for the runtime directory", error))?;
        let root_fd = open_checked(&root_path, privacy, missing)?;
        let path = root_path.join(name);
        let fd = open_checked(&path, privacy, missing)?;
        if privacy == Privacy::Shared {
            share_like(&fd, &root_fd)
                .map_err(|errno| Error::io(format!("sharing {}", path.display()), errno))?;
        }
        Ok(Self { fd, path, root: Arc::clone(root), name: name.to_owned(), privacy })
    }

    /// A directory in `root`, whoever may enter it, to look at and to change nothing.
    pub(crate) fn look(root: &Arc<Root>, name: &str) -> Result<Self, Error> {
        let root_path =
            root.path().map_err(|error| Error::io("looking for the runtime directory", error))?;
        let (path, privacy) = (root_path.join(name), Privacy::Shared);
        let fd = open_checked(&path, privacy, Missing::Leave)?;
        Ok(Self { fd, path, root: Arc::clone(root), name: name.to_owned(), privacy })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether a process that comes now would open this same directory. It does not after this one
    /// was removed, moved, unmounted or mounted over, or after the user's runtime directory came or
    /// went. A process that has given up the right to look, or has another root directory, cannot
    /// know. It stays then: others still find it where it was.
    pub(crate) fn is_where_others_look(&self) -> bool {
        let Ok(here) = rustix::fs::fstat(&self.fd) else { return true };
        if here.st_nlink == 0 {
            return false;
        }
        if self.root.is_out_of_sight() {
            return true;
        }
        let Ok(root) = self.root.path() else { return true };
        match rustix::fs::lstat(root.join(&self.name)) {
            Ok(there) => (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino),
            Err(errno) => !matches!(errno, Errno::NOENT | Errno::NOTDIR),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a step here: [`Error::Directory`] if it can never work.
    pub(crate) fn failed(&self, step: Step, error: impl Into<io::Error>) -> Error {
        filesystem::failed(self.fd(), &self.path, step, error.into())
    }

    pub(crate) fn privacy(&self) -> Privacy {
        self.privacy
    }
}

fn open_checked(path: &Path, privacy: Privacy, missing: Missing) -> Result<OwnedFd, Error> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(Error::directory(path, "the path holds a zero byte"));
    }
    let made = missing == Missing::Make && make(path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let problem = match errno {
            _ if is_link => {
                "it is a symbolic link, which is never followed: replace it with a directory".into()
            }
            Errno::NOTDIR => "it is not a directory: choose another path, or remove it".into(),
            // Gone since it was made, or never there.
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOENT => {
                return Error::io(format!("opening {}", path.display()), errno);
            }
            other => io::Error::from(other).to_string(),
        };
        Error::directory(path, problem)
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| Error::io("fstat", errno))?;
    if privacy == Privacy::Private
        && let Some(problem) = lets_others_in(&stat, made, || sys::file_system(fd.as_fd()))
    {
        return Err(Error::directory(path, problem));
    }
    Ok(fd)
}

/// Why a directory is not this user's alone, if it is not, and what to do.
fn lets_others_in(
    stat: &Stat,
    made: bool,
    file_system: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let (owner, user) = (UserId::from_uid(stat.st_uid), UserId::current());
    let mode = stat.st_mode & 0o7777;
    if owner != user {
        return Some(format!(
            "it belongs to user {owner}, not to this process's user {user}: set OPEN_CHANNEL_DIR to a directory of user {user}"
        ));
    }
    if mode & 0o077 == 0 {
        return None;
    }
    Some(if made {
        let file_system = file_system().map_or_else(String::new, |name| format!(" ({name})"));
        let remedy = filesystem::REMEDY;
        format!(
            "it was made with mode 700 and has mode {mode:03o}: its file system{file_system} keeps no permissions: {remedy}"
        )
    } else if mode & 0o2070 == 0o2070 || mode & 0o2070 == 0o2060 {
        format!(
            "its mode {mode:03o} lets other users in: a Kubernetes volume with fsGroup gets such a mode when it is mounted: \
             set OPEN_CHANNEL_DIR to a path outside of that volume or, in an emptyDir, to one that does not exist yet"
        )
    } else {
        // Not "chmod 700 it" alone: it may be /tmp.
        format!(
            "its mode {mode:03o} lets other users in: set OPEN_CHANNEL_DIR to a path that does not exist yet, or chmod \
             700 it if it serves nothing else"
        )
    })
}

/// Lets everybody into the channel who was let into the root. Only the channel's owner can, and
/// needs to, see to that.
fn share_like(fd: &OwnedFd, root: &OwnedFd) -> Result<(), Errno> {
    let (own, root) = (rustix::fs::fstat(fd)?, rustix::fs::fstat(root)?);
    let mode = Mode::from_raw_mode(root.st_mode & 0o1777);
    if UserId::from_uid(own.st_uid) == UserId::current()
        && own.st_mode & 0o1777 != mode.as_raw_mode()
    {
        rustix::fs::fchmod(fd, mode)?;
    }
    Ok(())
}

/// Makes a directory with mode 0700, unless something is there already; says whether it was made.
fn make(path: &Path) -> Result<bool, Error> {
    let refused =
        |error: io::Error| Error::directory(path, format!("it cannot be created: {error}"));
    let mut made = rustix::fs::mkdir(path, Mode::RWXU);
    if made == Err(Errno::NOENT)
        && let Some(parent) = path.parent()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(refused)?;
        made = rustix::fs::mkdir(path, Mode::RWXU);
    }
    match made {
        Ok(()) => Ok(true),
        // Opening says what stands there, if it is no directory.
        Err(Errno::EXIST) => Ok(false),
        Err(_) if path.symlink_metadata().is_ok() => Ok(false),
        Err(errno) => Err(refused(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on exFAT, which shows every directory with the mode that it was mounted with.
    #[test]
    fn a_file_system_that_keeps_no_modes_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let mut stat = rustix::fs::stat(root.path()).expect("its state");
        let problem = |stat: &Stat, made| {
            lets_others_in(stat, made, || Some("exfat, mounted on /mnt".into()))
        };
        stat.st_mode = 0o040_700;
        assert_eq!(problem(&stat, true), None);
        stat.st_mode = 0o040_755;
        let made = problem(&stat, true).expect("a problem");
        assert!(made.contains("(exfat, mounted on /mnt) keeps no permissions"), "{made}");
        assert!(made.contains("set OPEN_CHANNEL_DIR"), "{made}");
        let found = problem(&stat, false).expect("a problem");
        assert!(found.contains("its mode 755 lets other users in"), "{found}");
    }
}
