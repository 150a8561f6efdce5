//! Rings in shared memory: what a peer offers along with its hello, and what a host takes.
//!
//! The Unix socket stays open beside the rings: frames that are not messages travel on it, and its
//! end says that the other process is gone.

use std::io;

use open_channel_proto::RingSizes;
use open_channel_ring::{AttachError, Descriptor, Layout, Offer, RingLink, committed_bytes};

use crate::sys;

/// Default of [`Builder::ring_memory`](crate::Builder::ring_memory), or a quarter of the machine's
/// memory if that is less.
pub const DEFAULT_RING_MEMORY: usize = 1 << 30;

/// The largest rings that a host maps for one socket, each.
pub(crate) const MAX_RING_BYTES: usize = 16 << 20;
/// The smallest rings that are worth it: a page.
pub(crate) const MIN_RING_BYTES: usize = open_channel_ring::MIN_CAPACITY;
/// The part of a larger ring that a direction uses at first: small enough for the caches of a core.
pub(crate) const FIRST_LAP: usize = 256 << 10;

/// Rings are made and taken where so many times their size is left to this process.
const MEMORY_FACTOR: u64 = 4;

/// The share of the machine's memory that a process's rings take at most, unless a setting says
/// otherwise.
const MACHINE_SHARE: u64 = 4;

/// The rings of one link, and the memory that they may take.
pub(crate) struct Rings {
    pub(crate) link: RingLink,
    pub(crate) memory: Memory,
}

/// How much memory the rings of this process may take together, over all channels.
///
/// Each side's memory group pays for the pages that it touches first, which may be long after they
/// were committed. So all that is committed counts here as if nothing of it were touched yet:
/// together the rings take half of a group at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    most: u64,
}

impl Memory {
    /// At most `most` bytes; `None` for the default.
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self { most: most.map_or_else(default_most, |most| most as u64) }
    }

    /// Whether so many bytes more may be committed now.
    pub(crate) fn allows(self, more: usize) -> bool {
        let (committed, more) = (committed_bytes() as u64, more as u64);
        committed + more <= self.most
            && sys::memory_left().is_none_or(|left| left >= committed + MEMORY_FACTOR * more)
    }

    fn require(self, layout: Layout) -> io::Result<()> {
        let fits = self.allows(layout.committed_bytes())
            // Mapped rings are no longer left here.
            && sys::address_space_left()
                .is_none_or(|left| left >= MEMORY_FACTOR * layout.total_bytes() as u64);
        if fits { Ok(()) } else { Err(io::ErrorKind::OutOfMemory.into()) }
    }
}

/// Makes rings of `bytes` in each direction, or small ones where that is too much.
///
/// # Errors
/// Where the kernel gives no memory or descriptors, or does not know how, or where `memory` allows
/// no more: the socket carries on alone.
pub(crate) fn offer(bytes: usize, memory: Memory) -> io::Result<(Rings, Offer, RingSizes)> {
    let bytes = bytes.clamp(MIN_RING_BYTES, MAX_RING_BYTES).next_power_of_two();
    let small = bytes.min(FIRST_LAP);
    // Where memory is committed at once, it is committed for the whole ring.
    if small < bytes
        && !open_channel_ring::commits_at_once()
        && let Ok(offered) = offer_exactly(bytes, memory)
    {
        return Ok(offered);
    }
    offer_exactly(small, memory)
}

fn offer_exactly(bytes: usize, memory: Memory) -> io::Result<(Rings, Offer, RingSizes)> {
    let layout = Layout::new(bytes, bytes).map_err(io::Error::other)?.with_lap(FIRST_LAP);
    memory.require(layout)?;
    let (link, offer) = open_channel_ring::offer(layout)?;
    if offer.descriptors().iter().any(sys::is_scarce) {
        return Err(few_descriptors());
    }
    let sizes = RingSizes { up: bytes as u64, down: bytes as u64 };
    Ok((Rings { link, memory }, offer, sizes))
}

/// Takes the rings that came with a hello, as far as `memory` allows.
///
/// # Errors
/// The fault in the rings, or in this process: the socket carries on alone.
pub(crate) fn accept(
    sizes: RingSizes,
    descriptors: Vec<Descriptor>,
    memory: Memory,
) -> Result<Rings, AttachError> {
    let capacity = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (up, down) = (capacity(sizes.up), capacity(sizes.down));
    if up.max(down) > MAX_RING_BYTES {
        return Err(AttachError::Capacity(up.max(down)));
    }
    if descriptors.iter().any(sys::is_scarce) {
        return Err(AttachError::Io(few_descriptors()));
    }
    let layout = Layout::new(up, down)?.with_lap(FIRST_LAP);
    memory.require(layout)?;
    let link = open_channel_ring::accept(layout, descriptors)?;
    Ok(Rings { link, memory })
}

fn default_most() -> u64 {
    let share = sys::machine_memory().map_or(u64::MAX, |memory| memory / MACHINE_SHARE);
    (DEFAULT_RING_MEMORY as u64).min(share)
}

fn few_descriptors() -> io::Error {
    io::Error::other("few file descriptors are left, and they are for sockets")
}
