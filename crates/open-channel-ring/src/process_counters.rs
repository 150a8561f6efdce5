//! What this process counts. A forked child, which uses nothing that it inherited, counts from zero.
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads that spin.
pub(crate) static SPINNING: AtomicUsize = AtomicUsize::new(0);
/// Bytes of all mappings.
pub(crate) static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// In a forked child, where only stores to atomics are allowed.
pub(crate) fn restart() {
    SPINNING.store(0, Ordering::Relaxed);
    MAPPED.store(0, Ordering::Relaxed);
}

/// Bytes of shared memory that this process has mapped for rings, whether its pages were touched
/// yet or not.
pub fn mapped_bytes() -> usize {
    MAPPED.load(Ordering::Relaxed)
}
