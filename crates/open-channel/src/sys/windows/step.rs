//! The abilities that a file system needs for processes to meet on it.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED,
};

use crate::sys::step::Step;

/// The way out when a directory is on a file system that cannot do what is needed.
pub(crate) const REMEDY: &str = "set OPEN_CHANNEL_DIR to a directory on a local NTFS drive, such as a new one in %LOCALAPPDATA%";

impl Step {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Create => "creating a file",
            Self::Share => "setting the access list of a file",
            Self::Lock => "locking a file",
            Self::Listen => "making a named pipe",
            Self::Publish => "moving a file into place",
        }
    }

    /// Whether the file system cannot do this at all. Everything else may be otherwise a moment
    /// later.
    pub(crate) fn is_impossible(self, error: &io::Error) -> bool {
        let never = [ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_CALL_NOT_IMPLEMENTED];
        let code = error.raw_os_error().map(i32::cast_unsigned);
        error.kind() == io::ErrorKind::Unsupported || code.is_some_and(|it| never.contains(&it))
    }
}
