//! Users of a Unix system.

use std::fmt;

/// A user of this machine, as the kernel knows it: an effective user id.
///
/// Users compare by identity only. Its text is the number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(u32);

impl UserId {
    /// The user that this process acts for.
    pub fn current() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }

    /// The user with this number. Only on Unix.
    pub fn from_uid(uid: u32) -> Self {
        Self(uid)
    }

    /// The number. Only on Unix.
    pub fn as_uid(&self) -> u32 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
