//! A way to a socket whose path is too long for its address, without `/proc`: a symbolic link with
//! a short name, in a private directory, for as long as a call takes.
//!
//! The working directory belongs to the whole process, so changing it is no way. The link is made
//! in a directory that only this user may enter, under a random name, and the call follows it as it
//! would follow the plain path. A process that is killed meanwhile leaves a link behind, which
//! leads nowhere else and is in nobody's way.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::directory::Directory;
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
    pub(crate) fn short(_dir: &Directory, dir_path: &Path, file: &str) -> io::Result<Self> {
        Self::through(refined::short_link_folder()?, dir_path, file)
    }

    fn through(folder: PathBuf, dir_path: &Path, file: &str) -> io::Result<Self> {
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
        // A link that cannot be removed is in nobody's way.
        let _ = rustix::fs::unlinkat(&self.links, &self.name, AtFlags::empty());
    }
}

/// Says what to do about an error that will be the same next time.
fn explain(error: io::Error, folder: &Path) -> io::Error {
    if let Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOSPC) =
        Errno::from_io_error(&error)
    {
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
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it belongs to user {owner}"),
        ));
    }
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "its mode lets other users in",
        ));
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_short_link_is_gone_after_the_call() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("links");
        let links = || std::fs::read_dir(&folder).expect("its entries").count();
        let path = SocketPath::through(folder.clone(), dir.path(), "s").expect("a path");
        assert_eq!(links(), 1);
        assert_eq!(std::fs::metadata(&folder).expect("made").permissions().mode() & 0o777, 0o700);
        drop(path);
        assert_eq!(links(), 0);
    }

    #[test]
    fn a_folder_that_lets_others_in_or_is_a_link_holds_no_short_links() {
        let dir = tempfile::tempdir().expect("a directory");
        let refused = |folder: &Path| {
            let error =
                SocketPath::through(folder.to_owned(), dir.path(), "s").expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains("set OPEN_CHANNEL_DIR"), "{text}");
            text
        };
        let open = dir.path().join("open");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o770)).expect("set");
        assert!(refused(&open).contains("its mode lets other users in"));
        let private = dir.path().join("private");
        std::fs::create_dir(&private).expect("made");
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).expect("set");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&private, &link).expect("made");
        refused(&link);
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        refused(&file);
        assert_eq!(std::fs::read_dir(&private).expect("its entries").count(), 0);
    }
}
