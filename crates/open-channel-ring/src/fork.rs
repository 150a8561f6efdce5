//! Forks without an exec: a child must not use what it inherited.
//!
//! A child has its parent's memory as it was at that moment, locks that other threads held
//! included, and the *same* open files, shared memory and event loops. So whatever a child writes
//! to them, reads from them or drops reaches its parent. [`ProcessLocal`] lets a child notice that
//! without a system call, before it touches anything.
//!
//! The count of forks is kept by `pthread_atfork`, which each libc calls for `fork(3)`. A child
//! that was made with the bare system call `clone(2)` is not noticed.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{os, process_counters};

/// Forks between the process that called [`notice_forks`] first and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// From here on, forks of this process are noticed. Where there are none, this does nothing.
///
/// # Errors
/// No memory for the handler.
pub fn notice_forks() -> io::Result<()> {
    extern "C" fn in_child() {
        // Only stores to atomics: other threads may have held any lock.
        FORKS.fetch_add(1, Ordering::Relaxed);
        process_counters::restart();
    }
    static REGISTERED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let register = || os::run_in_forked_children(in_child).map_err(|error| error.kind());
    Ok((*REGISTERED.get_or_init(register))?)
}

/// A process, as far as its forked children are other ones. Meaningful after [`notice_forks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one.
    #[inline]
    pub fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is this one; `false` in its forked children. One load from memory.
    #[inline]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// How many forks lie between it and the first process that asked.
    pub fn forks(self) -> u32 {
        self.0
    }
}

/// A value that only the process that made it may use or drop. A forked child gets nothing, and
/// leaks it.
pub struct ProcessLocal<T> {
    process: Process,
    value: ManuallyDrop<T>,
}

impl<T> ProcessLocal<T> {
    /// Of the current process.
    pub fn new(value: T) -> Self {
        Self { process: Process::current(), value: ManuallyDrop::new(value) }
    }

    /// The value; `None` in a forked child.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.process.is_current().then(|| &*self.value)
    }

    /// The value; `None` in a forked child.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.process.is_current().then(|| &mut *self.value)
    }

    /// Whether this process is a forked child of the one that made it.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }
}

impl<T> Drop for ProcessLocal<T> {
    fn drop(&mut self) {
        if self.process.is_current() {
            // SAFETY: nobody else drops the value, and this is the last use of it.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for ProcessLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => value.fmt(f),
            None => f.write_str("<another process's>"),
        }
    }
}
