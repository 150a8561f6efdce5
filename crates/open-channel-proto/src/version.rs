//! The versions of the protocol that this crate speaks.

/// Oldest protocol version that this crate speaks.
pub const VERSION_MIN: u16 = if IN_FUTURE { 9 } else { 1 };
/// Newest protocol version that this crate speaks.
pub const VERSION_MAX: u16 = if IN_FUTURE { 9 } else { 2 };
/// For tests in which processes of two versions meet: one of them is built with this flag.
const IN_FUTURE: bool = cfg!(open_channel_test_version = "9");
/// The first version that counts attempts.
pub(crate) const ATTEMPTS: u16 = 2;
