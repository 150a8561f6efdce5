//! A directory and the files in it, which are reached by its path.
//!
//! No handle to the directory stays open: one that is open keeps a removed directory in the way of
//! the next one. The path is checked whenever it is opened, and a host compares the directory's
//! number at every beat. A process that takes part has files open in the directory, and Windows
//! moves no directory in which files are open.
#![expect(
    unsafe_code,
    reason = "directories and files with an access list are made by C functions"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle};
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_DIR_NOT_EMPTY, ERROR_PATH_NOT_FOUND, GENERIC_READ, GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CREATE_NEW, CreateDirectoryW, CreateFileW,
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_NORMAL, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, GetFileInformationByHandle, MoveFileExW,
    READ_CONTROL,
};

use super::security::{Access, Descriptor, Object, Others};
use super::{check, wide};
use crate::sys::step::Unopened;

/// The longest text that is read of a file.
const LONGEST_TEXT: u64 = 64;

/// A directory as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    id: DirectoryId,
    access: Access,
}

/// Tells a directory or a file from all others: the numbers of its volume and on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryId(u32, u64);

/// A directory that is to be listed again and again.
#[derive(Debug)]
pub(crate) struct Listing(PathBuf);

/// Makes a directory that only this user may enter, and the directories above it. Leaves whatever
/// is there already; says whether it was made.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_directory(path: &Path) -> io::Result<bool> {
    match make_private(path) {
        Err(error) if is(&error, ERROR_PATH_NOT_FOUND) => {
            let Some(parent) = path.parent() else { return Err(error) };
            make_directory(parent)?;
            make_private(path)
        }
        made => made,
    }
}

fn make_private(path: &Path) -> io::Result<bool> {
    let (name, descriptor) = (wide(path)?, Descriptor::private()?);
    // SAFETY: the path ends with a zero, and the descriptor lives as long as the call.
    let made = check(unsafe { CreateDirectoryW(name.as_ptr(), &descriptor.attributes()) });
    match made {
        Ok(()) => Ok(true),
        // Opening says what stands there, if it is no directory.
        Err(error) if is(&error, ERROR_ALREADY_EXISTS) => Ok(false),
        Err(_) if path.symlink_metadata().is_ok() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes an empty directory; says whether it is gone.
///
/// # Errors
/// Other than that something is in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<bool> {
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        // Somebody has come, or something lies there that is not ours.
        Err(error) if is(&error, ERROR_DIR_NOT_EMPTY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The directory that a path leads to; `None` if it leads to none.
///
/// # Errors
/// It cannot be known.
pub(crate) fn directory_at(path: &Path) -> io::Result<Option<DirectoryId>> {
    match look_at(path).and_then(|file| information(&file)) {
        Ok(there) => Ok(Some(id(&there))),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

impl Directory {
    /// Follows no link at the path's end.
    ///
    /// # Errors
    /// It is none, or cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, Unopened> {
        let never = |error: io::Error| Unopened::Never(error.to_string());
        let file = look_at(path).map_err(|error| match error.kind() {
            // Gone since it was made, or never there; or about to be removed, which is the only
            // thing that denies a look at a directory of one's own.
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Unopened::Now(error),
            _ => never(error),
        })?;
        let there = information(&file).map_err(never)?;
        if there.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(Unopened::Never(
                "it is a link (a symbolic one, or a junction), which is never followed: replace it with a directory"
                    .into(),
            ));
        }
        if there.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY == 0 {
            return Err(Unopened::Never(
                "it is not a directory: choose another path, or remove it".into(),
            ));
        }
        let access = Access::of(file.as_handle(), Object::File).map_err(never)?;
        Ok(Self { path: path.to_owned(), id: id(&there), access })
    }

    /// Why it is not this user's alone, if it is not, and what to do. `made`: this process has just
    /// made it.
    ///
    /// # Errors
    /// None.
    pub(crate) fn lets_others_in(&self, made: bool) -> io::Result<Option<String>> {
        let Some(fault) = self.access.fault(Others::Nothing) else { return Ok(None) };
        Ok(Some(if made {
            let remedy = super::REMEDY;
            format!(
                "it was made for this user alone, and {fault}: its file system keeps no access lists: {remedy}"
            )
        } else {
            format!("{fault}: set OPEN_CHANNEL_DIR to a path that does not exist yet")
        }))
    }

    /// Nothing to do: no other user is ever let in.
    ///
    /// # Errors
    /// None.
    pub(crate) fn share_like(&self, _root: &Self) -> io::Result<()> {
        Ok(())
    }

    /// The directory that was opened, whether or not it is there still.
    ///
    /// # Errors
    /// None.
    pub(crate) fn id(&self) -> io::Result<Option<DirectoryId>> {
        Ok(Some(self.id))
    }

    /// It is not asked for.
    pub(crate) fn file_system(&self) -> Option<String> {
        None
    }

    /// # Errors
    /// None.
    pub(crate) fn listing(&self) -> io::Result<Listing> {
        Ok(Listing(self.path.clone()))
    }

    pub(crate) fn exists(&self, name: &str) -> io::Result<bool> {
        match self.path.join(name).symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether `name` is this open file.
    pub(crate) fn is_file(&self, name: &str, file: &File) -> bool {
        let there = look_at(&self.path.join(name)).and_then(|there| information(&there));
        let own = information(file);
        there.and_then(|there| Ok(id(&there) == id(&own?))).unwrap_or(false)
    }

    /// Removes a file, or a link itself.
    ///
    /// Some file systems keep a file that is open under its name until it is closed. So it gets
    /// another name first, which looks like that of a lock that nobody holds: if this process dies
    /// in between, the next host removes it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let (path, out_of_the_way) = (self.path.join(name), format!("{random:016x}.new"));
        let other = self.path.join(out_of_the_way);
        match std::fs::rename(&path, &other) {
            Ok(()) => std::fs::remove_file(other),
            Err(_) => std::fs::remove_file(path),
        }
    }

    /// Nothing to do: no other user is ever let in.
    ///
    /// # Errors
    /// None.
    pub(crate) fn share_socket(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// # Errors
    /// The system's.
    pub(crate) fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(name), self.path.join(new))
    }

    /// Opens a file to lock it.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no file of that name, but nothing or a
    /// link or a directory, or one that is about to be removed; others are the system's.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        let file = open_file(&self.path.join(name), OpenOptions::new().read(true).write(true))?;
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is something of that name, or one
    /// that is about to be removed; others are the system's.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        create_private(&self.path.join(name)).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => io::Error::new(io::ErrorKind::AlreadyExists, error),
            _ => error,
        })
    }

    /// Makes a file for this user alone, which appears with its whole content in the place of
    /// another one. It is written under the name `beside` first, which stays after an error.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn put(&self, beside: &str, name: &str, text: &str) -> io::Result<()> {
        write_new(&self.path.join(beside), text)?;
        self.rename(beside, name)
    }

    /// Reads a file of this user's, as much of it as there is room for; `None` if there is nothing
    /// of that name.
    ///
    /// # Errors
    /// What it is instead, as the end of a sentence; others are the system's.
    pub(crate) fn read_own(&self, name: &str, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let opened = open_file(&self.path.join(name), OpenOptions::new().read(true));
        let Some(mut file) = opened? else { return Ok(None) };
        if let Some(fault) = Access::of(file.as_handle(), Object::File)?.fault(Others::Nothing) {
            return Err(io::Error::other(fault));
        }
        let mut len = 0;
        while len < buffer.len() {
            match file.read(&mut buffer[len..])? {
                0 => break,
                read => len += read,
            }
        }
        Ok(Some(len))
    }

    /// Makes `text` readable under `name` at one go: a small file is written under the name
    /// `beside` and moved into place, which replaces nothing. Says `false` if there is something of
    /// that name already, or somebody has removed the file that was to be moved.
    ///
    /// Moving is atomic, and needs no more of a file system than names. A hard link would exclude
    /// others as well, and leave two names.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn publish(&self, beside: &str, name: &str, text: &str) -> io::Result<bool> {
        let (from, to) = (self.path.join(beside), self.path.join(name));
        write_new(&from, text)?;
        let (old, new) = (wide(&from)?, wide(&to)?);
        // SAFETY: both paths end with a zero.
        let moved = check(unsafe { MoveFileExW(old.as_ptr(), new.as_ptr(), 0) });
        match moved {
            Ok(()) => Ok(true),
            Err(error) => {
                // Unless somebody has done so; what stays is removed by the next host.
                let _ = std::fs::remove_file(&from);
                let taken = match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => true,
                    // A folder stands there, or a file that is being removed.
                    io::ErrorKind::PermissionDenied => self.exists(name).unwrap_or(true),
                    _ => false,
                };
                if taken { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Makes an empty file, unless there is something of that name.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn mark(&self, name: &str) -> io::Result<()> {
        match self.create_file(name) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The text that was [published](Self::publish) under `name`; `None` if none was.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn published(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read_text(&self.path.join(name))
    }
}

impl Listing {
    /// Calls `see` with each name in the directory as it is now.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn each(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            // No name that is not Unicode is one of the library's.
            if let Some(name) = entry?.file_name().to_str() {
                see(name.as_bytes());
            }
        }
        Ok(())
    }
}

/// Nothing to do: no other user is ever let in.
///
/// # Errors
/// None.
pub(crate) fn share_file(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Writes a small file that nobody else knows of yet.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is something of that name; others are
/// the system's.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    create_private(path)?.write_all(text.as_bytes())
}

/// Makes an empty file that only this user may open.
fn create_private(path: &Path) -> io::Result<File> {
    let (name, descriptor) = (wide(path)?, Descriptor::private()?);
    // SAFETY: the path ends with a zero, and the descriptor lives as long as the call.
    let file = unsafe {
        CreateFileW(
            name.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &descriptor.attributes(),
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL,
            ptr::null_mut(),
        )
    };
    if file == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above opened it, for nobody else.
    Ok(unsafe { File::from_raw_handle(file) })
}

/// What a small file holds, up to some bytes more than any text of the library's; `None` if there
/// is no file at the path: nothing, a link, a directory, or one that is about to be removed.
///
/// # Errors
/// The system's.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_file(path, OpenOptions::new().read(true))? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(LONGEST_TEXT).read_to_end(&mut text)?;
    Ok(Some(text))
}

fn open_file(path: &Path, how: &mut OpenOptions) -> io::Result<Option<File>> {
    match how.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path) {
        Ok(file) => Ok((!is_link(&file)?).then_some(file)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(None),
            _ => Err(error),
        },
    }
}

/// Opens a directory or a file to look at it, but not through it if it is a link.
fn look_at(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

fn is_link(file: &File) -> io::Result<bool> {
    Ok(information(file)?.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0)
}

pub(super) fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the file is open, and the place may be written to.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) })?;
    Ok(information)
}

fn id(of: &BY_HANDLE_FILE_INFORMATION) -> DirectoryId {
    let number = u64::from(of.nFileIndexHigh) << 32 | u64::from(of.nFileIndexLow);
    DirectoryId(of.dwVolumeSerialNumber, number)
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}
