//! The versions of the protocol that this crate speaks.

/// Oldest protocol version that this crate speaks.
pub const VERSION_MIN: u16 = if IN_FUTURE { 9 } else { 1 };
/// Newest protocol version that this crate speaks.
pub const VERSION_MAX: u16 = if IN_FUTURE { 9 } else { 2 };
/// Tests let processes of two versions meet, of which one is built with this flag.
const IN_FUTURE: bool = cfg!(open_channel_test_version = "9");
/// The first version that counts attempts.
pub(crate) const ATTEMPTS: u16 = 2;
