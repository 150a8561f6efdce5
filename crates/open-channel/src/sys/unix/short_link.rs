//! A way to a socket whose path is too long for its address, without `/proc`: a symbolic link with a
//! short name, in a private directory, for as long as a call takes.
//!
//! The working directory belongs to the whole process, so changing it is no way. The link is made
//! in a directory that only this user may enter, under a random name, and the call follows it as it
//! would follow the plain path. A process that is killed meanwhile leaves a link behind, which leads
//! nowhere else and is in nobody's way.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::refined;
use super::user::UserId;

/// A path that leads to a socket while this lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    links: OwnedFd,
    name: String,
}

impl SocketPath {
    /// To `file` in the directory at `dir_path`, which is absolute.
    ///
    /// # Errors
    /// There is no way, and what to do about it.
    pub(crate) fn short(_dir: BorrowedFd<'_>, dir_path: &Path, file: &str) -> io::Result<Self> {
        let folder = refined::short_link_folder()?;
        let explained = |error| explain(error, &folder);
        let links = open_private(&folder).map_err(explained)?;
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("{random:016x}");
        rustix::fs::symlinkat(dir_path, &links, &name).map_err(|errno| explained(errno.into()))?;
        Ok(Self { path: folder.join(&name).join(file), links, name })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        let _ = rustix::fs::unlinkat(&self.links, &self.name, AtFlags::empty());
    }
}

/// What to do about an error that will be the same next time.
fn explain(error: io::Error, folder: &Path) -> io::Error {
    if let Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOSPC) = Errno::from_io_error(&error) {
        return error;
    }
    let folder = folder.display();
    let problem = format!(
        "the path is too long for a socket, and {folder} cannot hold a shorter one: {error}: \
         set OPEN_CHANNEL_DIR to a shorter path"
    );
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Makes the directory if it is missing. Nobody else could put a link into it.
fn open_private(folder: &Path) -> io::Result<OwnedFd> {
    match rustix::fs::mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = rustix::fs::open(folder, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let (owner, mode) = (UserId::from_uid(stat.st_uid), Mode::from_raw_mode(stat.st_mode));
    if owner != UserId::current() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it belongs to user {owner}")));
    }
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its mode lets other users in"));
    }
    Ok(fd)
}
