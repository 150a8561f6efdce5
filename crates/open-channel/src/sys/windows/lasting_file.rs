//! A file that a program names, and that others may have put there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsHandle;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_OPEN_REPARSE_POINT,
};

use super::directory::information;
use super::security::{Access, Object, Others};
use crate::sys::step::Unopened;

/// Opens a file for reading and writing; makes it, with the access list of its directory, if there
/// is none. Follows no link.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open_lasting_file(path: &Path) -> Result<File, Unopened> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
        .map_err(|error| Unopened::Never(error.to_string()))
}

/// The fault in such a file, if it has one. Others may write to one that is `shared`.
///
/// # Errors
/// It cannot be known.
pub(crate) fn fault_of_lasting_file(file: &File, shared: bool) -> io::Result<Option<String>> {
    let there = information(file)?;
    if there.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Ok(Some("it is a link, which is never followed: name the file itself".into()));
    }
    if there.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
        return Ok(Some("it is not a regular file: choose another path".into()));
    }
    if there.nNumberOfLinks > 1 {
        return Ok(Some("it has other names, too (hard links): choose another path".into()));
    }
    if shared {
        return Ok(None);
    }
    Ok(Access::of(file.as_handle(), Object::File)?.fault(Others::Reading))
}

/// Reads from the file's beginning; the number of bytes, less than there is room for at its end.
///
/// # Errors
/// The system's.
pub(crate) fn read_from_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    loop {
        match file.seek_read(&mut buffer[len..], len as u64)? {
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
    let mut written = 0;
    while written < bytes.len() {
        match file.seek_write(&bytes[written..], written as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => written += more,
        }
    }
    file.sync_all()
}

/// Nothing to do: a file that is on the disk has its name there, too.
///
/// # Errors
/// None.
pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
