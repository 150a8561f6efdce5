//! Limits of memory and handles, which only a ring would need to know.

/// No limit is known.
pub(crate) fn memory_left() -> Option<u64> {
    None
}

/// No limit is known.
pub(crate) fn address_space_left() -> Option<u64> {
    None
}

/// It is not known.
pub(crate) fn machine_memory() -> Option<u64> {
    None
}

/// Handles are never few.
pub(crate) fn is_scarce<D>(_descriptor: &D) -> bool {
    false
}
