//! A directory and the files in it, which are reached through its descriptor: what is checked is
//! what is used, whatever happens to the path.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::refined::file_system;
use super::step::REMEDY;
use super::user::UserId;
use crate::sys::step::Unopened;

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

/// Tells a directory from all others: its device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryId(rustix::fs::Dev, u64);

/// A directory that is open to be listed again and again, which takes no further descriptor.
#[derive(Debug)]
pub(crate) struct Listing(Dir);

/// Makes a directory that only this user may enter, and the directories above it. Leaves whatever
/// is there already; says whether it was made.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(path: &Path) -> io::Result<bool> {
    let mut made = rustix::fs::mkdir(path, Mode::RWXU);
    if made == Err(Errno::NOENT)
        && let Some(parent) = path.parent()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        made = rustix::fs::mkdir(path, Mode::RWXU);
    }
    match made {
        Ok(()) => Ok(true),
        // Opening says what stands there, if it is no directory.
        Err(Errno::EXIST) => Ok(false),
        Err(_) if path.symlink_metadata().is_ok() => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes an empty directory; says whether it is gone.
///
/// # Errors
/// Other than that something is in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<bool> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        // Somebody has come, or something lies there that is not ours.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The directory that a path leads to; `None` if it leads to none.
///
/// # Errors
/// It cannot be known.
pub(crate) fn directory_at(path: &Path) -> io::Result<Option<DirectoryId>> {
    match rustix::fs::lstat(path) {
        Ok(there) => Ok(Some(id(&there))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl Directory {
    /// Follows no link at the path's end.
    ///
    /// # Errors
    /// It is none, or cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, Unopened> {
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(Unopened::Never("the path holds a zero byte".into()));
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).map_err(|errno| {
            let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
            match errno {
                _ if is_link => Unopened::Never(
                    "it is a symbolic link, which is never followed: replace it with a directory"
                        .into(),
                ),
                Errno::NOTDIR => Unopened::Never(
                    "it is not a directory: choose another path, or remove it".into(),
                ),
                // Gone since it was made, or never there.
                Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOENT => {
                    Unopened::Now(errno.into())
                }
                other => Unopened::Never(io::Error::from(other).to_string()),
            }
        })
    }

    /// Why it is not this user's alone, if it is not, and what to do. `made`: this process has just
    /// made it.
    ///
    /// # Errors
    /// It cannot be known.
    pub(crate) fn lets_others_in(&self, made: bool) -> io::Result<Option<String>> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok(lets_others_in(&stat, made, || self.file_system()))
    }

    /// Lets everybody in whom `root` lets in. Only the directory's owner can, and needs to, see to
    /// that.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn share_like(&self, root: &Self) -> io::Result<()> {
        let (own, root) = (rustix::fs::fstat(&self.0)?, rustix::fs::fstat(&root.0)?);
        let mode = Mode::from_raw_mode(root.st_mode & 0o1777);
        if UserId::from_uid(own.st_uid) == UserId::current()
            && own.st_mode & 0o1777 != mode.as_raw_mode()
        {
            rustix::fs::fchmod(&self.0, mode)?;
        }
        Ok(())
    }

    /// `None` if it was removed.
    ///
    /// # Errors
    /// It cannot be known.
    pub(crate) fn id(&self) -> io::Result<Option<DirectoryId>> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok((stat.st_nlink > 0).then(|| id(&stat)))
    }

    /// The type of its file system, and where that is mounted, if that can be known.
    pub(crate) fn file_system(&self) -> Option<String> {
        file_system(self.0.as_fd())
    }

    /// Opens it to be listed.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn listing(&self) -> io::Result<Listing> {
        Ok(Listing(Dir::read_from(&self.0)?))
    }

    pub(crate) fn exists(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether `name` is this open file.
    pub(crate) fn is_file(&self, name: &str, file: &File) -> bool {
        let there = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        there.and_then(|there| Ok(id(&there) == id(&rustix::fs::fstat(file)?))).unwrap_or(false)
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Lets everybody connect to a socket who may enter the directory.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn share_socket(&self, name: &str) -> io::Result<()> {
        let everybody = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        Ok(rustix::fs::chmodat(&self.0, name, everybody, AtFlags::empty())?)
    }

    /// # Errors
    /// The system's.
    pub(crate) fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, name, &self.0, new)?)
    }

    /// Opens a file to lock it, for writing where that is allowed: a network file system that
    /// emulates `flock` takes an exclusive lock on no other descriptor.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no file of that name, but nothing or a
    /// symbolic link, a directory or a socket; others are the system's.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = |access| rustix::fs::openat(&self.0, name, flags | access, Mode::empty());
        let opened = match open(OFlags::RDWR) {
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => open(OFlags::RDONLY),
            opened => opened,
        };
        match opened {
            Ok(fd) => Ok(fd.into()),
            Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                Err(io::ErrorKind::NotFound.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is something of that name; others
    /// are the system's.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Makes a file for this user alone, which appears with its whole content in the place of
    /// another one. It is written under the name `beside` first, which stays after an error.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn put(&self, beside: &str, name: &str, text: &str) -> io::Result<()> {
        let file = self.create_file(beside)?;
        if rustix::io::write(&file, text.as_bytes())? < text.len() {
            return Err(Errno::NOSPC.into());
        }
        self.rename(beside, name)
    }

    /// Reads a file of this user's, as much of it as there is room for; `None` if there is nothing
    /// of that name.
    ///
    /// # Errors
    /// What it is instead, as the end of a sentence; others are the system's.
    pub(crate) fn read_own(&self, name: &str, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            // Some systems have another number for it.
            Err(Errno::LOOP | Errno::MLINK) => {
                return Err(io::Error::other("is a symbolic link"));
            }
            Err(errno) => return Err(io::Error::other(format!("cannot be opened: {errno}"))),
        };
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("is no file"));
        }
        let (owner, user) = (UserId::from_uid(stat.st_uid), UserId::current());
        if owner != user {
            return Err(io::Error::other(format!("belongs to user {owner}, not to user {user}")));
        }
        let mut len = 0;
        while len < buffer.len() {
            match rustix::io::read(&file, &mut buffer[len..])? {
                0 => break,
                read => len += read,
            }
        }
        Ok(Some(len))
    }

    /// Makes `text` readable under `name` at one go, which is done by a symbolic link with that
    /// target; says `false` if there is something of that name already. Systems without such links
    /// use a file named `beside`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn publish(&self, _beside: &str, name: &str, text: &str) -> io::Result<bool> {
        match rustix::fs::symlinkat(text, &self.0, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes something of that name which takes no space, unless there is something already: a
    /// symbolic link to a word for people.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn mark(&self, name: &str) -> io::Result<()> {
        match rustix::fs::symlinkat("removed", &self.0, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The text that was [published](Self::publish) under `name`; `None` if none was.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn published(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match rustix::fs::readlinkat(&self.0, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listing {
    /// Calls `see` with each name in the directory as it is now.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn each(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        self.0.rewind();
        while let Some(entry) = self.0.read() {
            see(entry?.file_name().to_bytes());
        }
        Ok(())
    }
}

/// Lets others lock a file who may enter its directory, whatever the umask of this process is.
///
/// # Errors
/// The system's.
pub(crate) fn share_file(file: &File) -> io::Result<()> {
    let everybody = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    Ok(rustix::fs::fchmod(file, everybody)?)
}

fn id(stat: &Stat) -> DirectoryId {
    DirectoryId(stat.st_dev, stat.st_ino)
}

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
        format!(
            "it was made with mode 700 and has mode {mode:03o}: its file system{file_system} keeps no permissions: {REMEDY}"
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

#[cfg(test)]
mod tests {
    use rustix::fs::fcntl_getfl;

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

    /// A `flock` that is emulated over a network refuses an exclusive lock on a descriptor that
    /// cannot write.
    #[test]
    fn a_lock_of_somebody_else_is_opened_for_writing() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = Directory::open(root.path()).expect("opened");
        let _held = dir.create_file("x.lock").expect("made");
        let opened = dir.open_file("x.lock").expect("opened");
        assert!(fcntl_getfl(&opened).expect("its flags").contains(OFlags::RDWR));
    }
}
