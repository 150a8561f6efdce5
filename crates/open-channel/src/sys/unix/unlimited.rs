//! What is not known of a system that is not Linux. Memory: only a ring would need to know.

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

/// It is not known.
pub(crate) fn command_line(_pid: u32) -> Option<Vec<u8>> {
    None
}
