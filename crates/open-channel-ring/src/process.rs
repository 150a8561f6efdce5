//! This process, as opposed to the processes that it forks, and what it counts.
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Forks between the process that first asked to notice them and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// Threads that spin.
pub(crate) static SPINNING: AtomicUsize = AtomicUsize::new(0);
/// Bytes of all mappings that are committed.
pub(crate) static COMMITTED: AtomicUsize = AtomicUsize::new(0);

/// Runs in a forked child, before anything else. Only stores to atomics are allowed here: other
/// threads of the parent may have held any lock.
pub(crate) extern "C" fn begin_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    // A child uses no mapping that it inherits, and has no thread but this one.
    SPINNING.store(0, Ordering::Relaxed);
    COMMITTED.store(0, Ordering::Relaxed);
}

/// Bytes of shared memory that this process has committed to rings: of each, the longest lap that
/// it had, and the other side's first one. They count whether they were touched yet or not.
pub fn committed_bytes() -> usize {
    COMMITTED.load(Ordering::Relaxed)
}

/// A process; its forked children are other ones. Meaningful after
/// [`notice_forks`](crate::notice_forks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This process.
    #[inline]
    pub fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is this process; `false` in a forked child of it. Costs one load from memory.
    #[inline]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// How many forks lie between it and the process that first called
    /// [`notice_forks`](crate::notice_forks).
    pub fn forks(self) -> u32 {
        self.0
    }
}
