//! Linux: a sealed memfd for the memory, eventfds for the doorbells, SCM_RIGHTS to pass both on.
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::offered::OFFERED;
use crate::ends::RingEnds;
use crate::error::AttachError;
use crate::layout::Layout;

mod doorbell;
mod header;
mod memory;
mod passing;
#[cfg(all(test, not(loom)))]
mod tests;

pub use doorbell::Doorbell;
pub use memory::{Mapped, commits_at_once};
pub use passing::{ReceivedDescriptors, receive_with_descriptors, send_with_descriptors};

/// The descriptors that the offering side sends along with its announcement.
#[derive(Debug)]
pub struct Offer {
    memory: OwnedFd,
    own_doorbell: Doorbell,
    others_doorbell: Doorbell,
}

impl Offer {
    /// For [`send_with_descriptors`].
    pub fn descriptors(&self) -> [BorrowedFd<'_>; OFFERED] {
        [self.memory.as_fd(), self.own_doorbell.descriptor(), self.others_doorbell.descriptor()]
    }
}

/// Makes the memory, the doorbells, and this side's ends. The [`Offer`] can be dropped once it is
/// sent. If the other side declines, drop both, and nothing is left behind.
///
/// # Errors
/// The kernel's: no memory, no descriptors, or a seccomp filter.
/// [`Unsupported`](io::ErrorKind::Unsupported) on a system without rings. Use another link then.
pub fn offer(layout: Layout) -> io::Result<(RingEnds<Mapped, Doorbell>, Offer)> {
    let (memory, mapped) = memory::create(layout)?;
    let (own_doorbell, others_doorbell) = (Doorbell::new()?, Doorbell::new()?);
    let link = RingEnds::offering(mapped, layout, own_doorbell.clone(), others_doorbell.clone());
    Ok((link, Offer { memory, own_doorbell, others_doorbell }))
}

/// Checks an offer and takes it. `layout` is what the announcement said, within the caller's
/// limits; `descriptors` came with it.
///
/// # Errors
/// [`AttachError`]; the descriptors are closed.
pub fn accept(
    layout: Layout,
    descriptors: Vec<OwnedFd>,
) -> Result<RingEnds<Mapped, Doorbell>, AttachError> {
    let got = descriptors.len();
    let [memory, others_doorbell, own_doorbell] = <[OwnedFd; OFFERED]>::try_from(descriptors)
        .map_err(|_| AttachError::Descriptors { expected: OFFERED, got })?;
    let mapped = memory::attach(&memory, layout)?;
    let (own_doorbell, others_doorbell) =
        (Doorbell::from_fd(own_doorbell)?, Doorbell::from_fd(others_doorbell)?);
    Ok(RingEnds::accepting(mapped, layout, own_doorbell, others_doorbell))
}

impl From<Errno> for AttachError {
    fn from(errno: Errno) -> Self {
        AttachError::Io(errno.into())
    }
}

/// Cores of the machine, also those that this process may not use; one, if that cannot be read. The
/// file holds ranges: `0-3,8`.
pub(crate) fn cores() -> usize {
    let ranges = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((last.parse::<usize>().ok()?).checked_sub(first.parse().ok()?)? + 1)
    };
    ranges.trim().split(',').filter_map(count).sum::<usize>().max(1)
}
