//! How large a ring may be.

/// The smallest ring, in bytes: one page.
pub const MIN_CAPACITY: usize = 4096;
/// The largest ring, in bytes (64 MiB). It bounds how much memory a peer can make a host map.
pub const MAX_CAPACITY: usize = 64 << 20;

/// Whether a ring can have this many bytes: a power of two within the limits.
pub(crate) fn is_capacity(bytes: usize) -> bool {
    bytes.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&bytes)
}
