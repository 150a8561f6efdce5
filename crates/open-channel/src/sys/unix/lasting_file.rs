//! A file that a program names, and that others may have put there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::user::UserId;
use crate::sys::step::Unopened;

/// Opens a file for reading and writing; makes it, for this user alone, if there is none. Follows
/// no link.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open_lasting_file(path: &Path) -> Result<File, Unopened> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags | OFlags::NOCTTY, Mode::RUSR | Mode::WUSR);
    opened.map(File::from).map_err(|errno| match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Unopened::Now(errno.into()),
        Errno::LOOP => Unopened::Never(
            "it is a symbolic link, which is never followed: name the file itself".into(),
        ),
        other => Unopened::Never(io::Error::from(other).to_string()),
    })
}

/// The fault in such a file, if it has one. Others may write to one that is `shared`.
///
/// # Errors
/// It cannot be known.
pub(crate) fn fault_of_lasting_file(file: &File, shared: bool) -> io::Result<Option<String>> {
    let stat = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Some("it is not a regular file: choose another path".into()));
    }
    if stat.st_nlink > 1 {
        return Ok(Some("it has other names, too (hard links): choose another path".into()));
    }
    if shared {
        return Ok(None);
    }
    let (owner, user) = (UserId::from_uid(stat.st_uid), UserId::current());
    if owner != user {
        let fault = format!("it belongs to user {owner}, not to this process's user {user}");
        return Ok(Some(fault));
    }
    let mode = stat.st_mode & 0o777;
    Ok((mode & 0o022 != 0)
        .then(|| format!("its mode {mode:03o} lets other users write to it: chmod 600 it")))
}

/// Reads from the file's beginning; the number of bytes, less than there is room for at its end.
///
/// # Errors
/// The system's.
pub(crate) fn read_from_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    loop {
        match file.read_at(&mut buffer[len..], len as u64)? {
            0 => return Ok(len),
            read => len += read,
        }
    }
}

/// Writes over the file's beginning; the disk has it when this returns.
///
/// # Errors
/// The system's.
pub(crate) fn write_to_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}

/// Waits until the disk has the names of the files in the directory.
///
/// # Errors
/// The system's.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
