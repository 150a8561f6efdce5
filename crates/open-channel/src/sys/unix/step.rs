//! The abilities that a file system needs for processes to meet on it.

use std::io;

use rustix::io::Errno;

use crate::sys::step::Step;

/// The way out when a directory is on a file system that cannot do what is needed.
pub(crate) const REMEDY: &str = "set OPEN_CHANNEL_DIR to a directory on a local Unix file system, such as a new one in /run or /tmp";

impl Step {
    pub(crate) fn words(self) -> &'static str {
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
    pub(crate) fn is_impossible(self, error: &io::Error) -> bool {
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
