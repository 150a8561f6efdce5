//! Rings in shared memory: what a peer offers along with its hello, and what a host takes.
//!
//! The Unix socket stays open beside the rings: frames that are not messages travel on it, and its
//! end says that the other process is gone.

use std::io;

use open_channel_proto::RingSizes;
use open_channel_ring::{AttachError, Descriptor, Layout, Offer, RingLink, mapped_bytes};

use crate::sys;

/// Default of [`Builder::ring_memory`](crate::Builder::ring_memory), or a quarter of the machine's
/// memory if that is less.
pub const DEFAULT_RING_MEMORY: usize = 1 << 30;

/// The largest rings that a host maps for one socket, each.
pub(crate) const MAX_RING_BYTES: usize = 16 << 20;
/// The smallest rings that are worth it: a page.
pub(crate) const MIN_RING_BYTES: usize = open_channel_ring::MIN_CAPACITY;

/// Rings are made and taken where so many times their size is left to this process.
const MEMORY_FACTOR: u64 = 4;

/// The share of the machine's memory that a process's rings take at most, unless a setting says
/// otherwise.
const MACHINE_SHARE: u64 = 4;

/// Makes rings of `bytes` in each direction, as long as this process has no more than `most` bytes
/// of rings.
///
/// # Errors
/// Where the kernel gives no memory or descriptors, or does not know how: the socket carries on
/// alone.
pub(crate) fn offer(bytes: usize, most: Option<usize>) -> io::Result<(RingLink, Offer, RingSizes)> {
    let bytes = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES).next_power_of_two();
    let layout = Layout::new(bytes, bytes).map_err(io::Error::other)?;
    require_memory(layout, most)?;
    let (link, offer) = open_channel_ring::offer(layout)?;
    if offer.descriptors().iter().any(sys::is_scarce) {
        return Err(few_descriptors());
    }
    Ok((link, offer, RingSizes { up: bytes as u64, down: bytes as u64 }))
}

/// Takes the rings that came with a hello, as long as this process has no more than `most` bytes of
/// rings.
///
/// # Errors
/// The fault in the rings, or in this process: the socket carries on alone.
pub(crate) fn accept(
    sizes: RingSizes,
    descriptors: Vec<Descriptor>,
    most: Option<usize>,
) -> Result<RingLink, AttachError> {
    let capacity = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (up, down) = (capacity(sizes.up), capacity(sizes.down));
    if up.max(down) > MAX_RING_BYTES {
        return Err(AttachError::Capacity(up.max(down)));
    }
    if descriptors.iter().any(sys::is_scarce) {
        return Err(AttachError::Io(few_descriptors()));
    }
    let layout = Layout::new(up, down)?;
    require_memory(layout, most)?;
    open_channel_ring::accept(layout, descriptors)
}

/// Each side's memory group pays for the pages that it touches first, which may be long after the
/// rings were made. So all rings of this process count here as if nothing of them were touched yet:
/// together they take half of a group at most.
fn require_memory(layout: Layout, most: Option<usize>) -> io::Result<()> {
    let (mapped, more) = (mapped_bytes() as u64, layout.total_bytes() as u64);
    let most = most.map_or_else(default_most, |most| most as u64);
    let fits = mapped + more <= most
        && sys::memory_left().is_none_or(|left| left >= mapped + MEMORY_FACTOR * more)
        // Mapped rings are no longer left here.
        && sys::address_space_left().is_none_or(|left| left >= MEMORY_FACTOR * more);
    if fits { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
}

fn default_most() -> u64 {
    let share = sys::machine_memory().map_or(u64::MAX, |memory| memory / MACHINE_SHARE);
    (DEFAULT_RING_MEMORY as u64).min(share)
}

fn few_descriptors() -> io::Error {
    io::Error::other("few file descriptors are left, and they are for sockets")
}
