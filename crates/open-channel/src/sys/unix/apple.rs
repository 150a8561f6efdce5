//! macOS.
#![expect(unsafe_code, reason = "the C library names the user's temporary directory")]

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

pub(crate) use super::kqueue::{ProcessExit, file_system};
pub(crate) use super::one_namespace::process_namespace;
pub(crate) use super::unlimited::{address_space_left, command_line, machine_memory, memory_left};

/// The user's temporary directory, which only the user may enter. It is the one that `$TMPDIR`
/// names in a session. Processes without a session, as those of cron or sudo, find the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserDirectory;

impl UserDirectory {
    /// The environment plays no part: `$TMPDIR` is not set for all processes of a user.
    pub(crate) fn from_environment() -> Self {
        Self
    }

    /// `open-channel` in the user's temporary directory.
    ///
    /// # Errors
    /// The system does not name that directory.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        Ok(temporary_directory()?.join("open-channel"))
    }
}

/// Where short links to long paths are made, which the paths of channels in [`UserDirectory`] are.
///
/// # Errors
/// The system does not name the user's temporary directory.
pub(crate) fn short_link_folder() -> io::Result<PathBuf> {
    Ok(temporary_directory()?.join("oc-links"))
}

fn temporary_directory() -> io::Result<PathBuf> {
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: `path` may be written to for as many bytes as it has.
    let len = unsafe {
        libc::confstr(libc::_CS_DARWIN_USER_TEMP_DIR, path.as_mut_ptr().cast(), path.len())
    };
    if len == 0 {
        return Err(io::Error::last_os_error());
    }
    // With the zero at its end; more than the room there is, if it was cut off.
    if len > path.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            "the temporary directory's path is too long",
        ));
    }
    path.truncate(len - 1);
    Ok(OsString::from_vec(path).into())
}
