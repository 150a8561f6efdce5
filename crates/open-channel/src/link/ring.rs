//! Rings in shared memory: what a peer offers along with its hello, and what a host takes.
//!
//! The Unix socket stays open beside the rings: frames that are not messages travel on it, and its end says that
//! the other process is gone.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use open_channel_proto::RingSizes;
use open_channel_ring::{AttachError, Layout, Offer, RingLink};
use rustix::process::{Resource, getrlimit};

use super::cgroup;

/// The largest rings that a host maps for one socket, each.
pub(crate) const MAX_RING_BYTES: usize = 16 << 20;
/// The smallest rings that are worth it: a page.
pub(crate) const MIN_RING_BYTES: usize = open_channel_ring::MIN_CAPACITY;

/// Rings are made and taken where so many times their size is left to this process.
const MEMORY_FACTOR: u64 = 4;

/// Makes rings of `bytes` in each direction.
///
/// # Errors
/// Where the kernel gives no memory or descriptors, or does not know how: the socket carries on alone.
pub(crate) fn offer(bytes: usize) -> io::Result<(RingLink, Offer, RingSizes)> {
    let bytes = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES).next_power_of_two();
    let layout = Layout::new(bytes, bytes).map_err(io::Error::other)?;
    require_memory(layout)?;
    let (link, offer) = open_channel_ring::offer(layout)?;
    if offer.descriptors().iter().any(is_scarce) {
        return Err(rustix::io::Errno::MFILE.into());
    }
    Ok((link, offer, RingSizes { up: bytes as u64, down: bytes as u64 }))
}

/// Takes the rings that came with a hello.
///
/// # Errors
/// What is wrong with them, or here: the socket carries on alone.
pub(crate) fn accept(sizes: RingSizes, descriptors: Vec<OwnedFd>) -> Result<RingLink, AttachError> {
    let capacity = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (up, down) = (capacity(sizes.up), capacity(sizes.down));
    if up.max(down) > MAX_RING_BYTES {
        return Err(AttachError::Capacity(up.max(down)));
    }
    let got = descriptors.len();
    let descriptors = <[OwnedFd; open_channel_ring::OFFERED]>::try_from(descriptors)
        .map_err(|_| AttachError::Descriptors { expected: open_channel_ring::OFFERED, got })?;
    if descriptors.iter().any(is_scarce) {
        return Err(AttachError::Io(rustix::io::Errno::MFILE.into()));
    }
    let layout = Layout::new(up, down)?;
    require_memory(layout)?;
    open_channel_ring::accept(layout, descriptors)
}

/// Each side's memory group pays for the pages that it touches first.
fn require_memory(layout: Layout) -> io::Result<()> {
    let needed = MEMORY_FACTOR * layout.total_bytes() as u64;
    if cgroup::memory_left().is_some_and(|left| left < needed) {
        return Err(rustix::io::Errno::NOMEM.into());
    }
    Ok(())
}

/// Whether descriptors have become so few that the last ones are for sockets.
fn is_scarce(fd: &impl AsRawFd) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::try_from(fd.as_raw_fd()).is_ok_and(|fd| fd >= limit / 4 * 3)
}
