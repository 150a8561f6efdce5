//! Limits that every Unix has.

use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Resource, getrlimit};

/// Whether descriptors have become so few that the last ones are for sockets, as the number of this
/// one shows.
pub(crate) fn is_scarce(descriptor: &impl AsFd) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::try_from(descriptor.as_fd().as_raw_fd()).is_ok_and(|number| number >= limit / 4 * 3)
}
