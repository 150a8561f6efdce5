//! No rings between processes: calls answer with an error, and types that only an offer could bring
//! about have no values.
use std::io;

use super::offered::OFFERED;
use super::process::{BorrowedDescriptor, Descriptor};
use crate::atomics::AtomicU64;
use crate::ends::RingEnds;
use crate::error::AttachError;
use crate::layout::Layout;
use crate::region::Region;
use crate::wake::Wake;

/// The memory of a ring between two processes.
#[derive(Debug, Clone)]
pub enum Mapped {}

impl Region for Mapped {
    fn words(&self) -> &[AtomicU64] {
        match *self {}
    }
}

/// One side's doorbell.
#[derive(Debug, Clone)]
pub enum Doorbell {}

impl Doorbell {
    /// The descriptor to watch; readable once the doorbell has been rung.
    pub fn descriptor(&self) -> BorrowedDescriptor<'_> {
        match *self {}
    }

    /// Resets the doorbell, for a waiter that polls level-triggered.
    pub fn silence(&self) {
        match *self {}
    }
}

impl Wake for Doorbell {
    fn wake(&self) {
        match *self {}
    }
}

/// The descriptors that the offering side sends along with its announcement.
#[derive(Debug)]
pub enum Offer {}

impl Offer {
    /// For [`send_with_descriptors`].
    pub fn descriptors(&self) -> [BorrowedDescriptor<'_>; OFFERED] {
        match *self {}
    }
}

/// Bytes and descriptors that [`receive_with_descriptors`] received.
#[derive(Debug)]
pub struct ReceivedDescriptors {
    /// Bytes written to the buffer; zero at the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them.
    pub descriptors: Vec<Descriptor>,
}

/// Would make a ring that another process can map.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported), always. Use another link.
pub fn offer(_layout: Layout) -> io::Result<(RingEnds<Mapped, Doorbell>, Offer)> {
    Err(unsupported())
}

/// Whether the memory of a ring is committed when it is made: there is none.
pub fn commits_at_once() -> bool {
    false
}

/// Would take a ring that another process offers. The descriptors are closed.
///
/// # Errors
/// [`AttachError::Io`] with [`Unsupported`](io::ErrorKind::Unsupported), always.
pub fn accept(
    _layout: Layout,
    _descriptors: Vec<Descriptor>,
) -> Result<RingEnds<Mapped, Doorbell>, AttachError> {
    Err(AttachError::Io(unsupported()))
}

/// Would send `bytes` with the descriptors of an [`Offer`].
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported), always.
pub fn send_with_descriptors<S>(
    _socket: S,
    _bytes: &[u8],
    _descriptors: &[BorrowedDescriptor<'_>; OFFERED],
) -> io::Result<usize> {
    Err(unsupported())
}

/// Would receive bytes together with descriptors. A plain read receives the bytes alone.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported), always.
pub fn receive_with_descriptors<S>(
    _socket: S,
    _buffer: &mut [u8],
) -> io::Result<ReceivedDescriptors> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no rings between processes")
}

/// Cores that this process may use; one, if that is not known.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
