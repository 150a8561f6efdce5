//! Directories in `/tmp`, for users without a directory of their own.

use std::io;
use std::path::PathBuf;

use super::user::UserId;

/// The directory of the user's channels, which is always the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserDirectory {
    user: UserId,
}

impl UserDirectory {
    /// The environment plays no part: no variable is set for all processes of a user.
    pub(crate) fn from_environment() -> Self {
        Self { user: UserId::current() }
    }

    /// `/tmp/open-channel-<uid>`.
    ///
    /// # Errors
    /// None.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        Ok(format!("/tmp/open-channel-{}", self.user).into())
    }
}

/// Where short links to long paths are made: `/tmp/open-channel-<uid>-links`.
///
/// # Errors
/// None.
pub(crate) fn short_link_folder() -> io::Result<PathBuf> {
    Ok(format!("/tmp/open-channel-{}-links", UserId::current()).into())
}
