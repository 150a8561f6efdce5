//! The memory of two rings, written by hand as docs/PROTOCOL.md has it.

use std::os::fd::{AsFd, OwnedFd};

use open_channel_ring::Layout;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags};

/// The size of each ring, unless a test sets another.
pub(super) const RING: u64 = 1 << 16;
pub(super) const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Offsets in the memory.
pub(super) const UP_CLAIMED: u64 = 128;
pub(super) const DOWN_RELEASED: u64 = 768;
pub(super) const UP_DATA: u64 = 3960;
/// Plus the size of the up ring.
pub(super) const DOWN_DATA: u64 = 4088;
pub(super) const BYTES: u64 = 4096 + 2 * RING;

/// Kinds of records.
pub(super) const WHOLE: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const MIDDLE: u8 = 3;
pub(super) const LAST: u8 = 4;
pub(super) const END: u8 = 5;

/// A record's flag: several messages.
pub(super) const PACKED: u8 = 2;

/// A record's header at `position`.
pub(super) fn header(position: u64, len: u64, kind: u8) -> u64 {
    1 << 63 | (position >> 3 & 0x3fff) << 48 | u64::from(kind) << 32 | len
}

pub(super) fn layout() -> Layout {
    Layout::new(RING as usize, RING as usize).unwrap()
}

/// Memory that is correct except for its size, its seals or its header.
pub(super) fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create(c"hostile", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, bytes).unwrap();
    for (offset, word) in [(0, u64::from_le_bytes(*b"ochring\0")), (8, 2), (16, RING), (24, RING)] {
        poke(&fd, offset, word);
    }
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

pub(super) fn doorbell() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK).unwrap()
}

pub(super) fn poke(memory: impl AsFd, offset: u64, word: u64) {
    assert_eq!(rustix::io::pwrite(memory, &word.to_ne_bytes(), offset), Ok(8));
}

/// Rings a doorbell; one that is rung already is fine.
pub(super) fn call(doorbell: impl AsFd) {
    let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
}
