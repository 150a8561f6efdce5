//! The abilities that a file system needs for processes to meet on it, and the error texts for one
//! without them.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::Error;
use crate::sys;

/// The way out when a directory is on a file system that cannot do what is needed.
pub(crate) const REMEDY: &str = "set OPEN_CHANNEL_DIR to a directory on a local Unix file system, such as a new one in /run or /tmp";

/// A step of a candidate in its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Share,
    Lock,
    Listen,
    Publish,
}

impl Step {
    fn words(self) -> &'static str {
        match self {
            Self::Create => "creating a file",
            Self::Share => "setting the mode of a file",
            Self::Lock => "locking a file (flock)",
            Self::Listen => "making a Unix socket",
            Self::Publish => "making a symbolic link",
        }
    }

    /// Whether the file system cannot do this at all. Everything else may be otherwise a moment
    /// later.
    fn is_impossible(self, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::Unsupported {
            return true;
        }
        match Errno::from_io_error(error) {
            Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => true,
            Some(Errno::BADF | Errno::NOLCK) => self == Self::Lock,
            Some(Errno::PERM) => matches!(self, Self::Listen | Self::Publish | Self::Share),
            _ => false,
        }
    }
}

/// The error of a `step` in the directory at `path`, open as `fd`: one of the directory if it can
/// never work there.
pub(crate) fn failed(fd: BorrowedFd<'_>, path: &Path, step: Step, error: io::Error) -> Error {
    if !step.is_impossible(&error) {
        return Error::io(step.words(), error);
    }
    let place = sys::file_system(fd)
        .map_or_else(String::new, |name| format!(" (its file system is {name})"));
    Error::directory(path, format!("{} failed there{place}: {error}: {REMEDY}", step.words()))
}
