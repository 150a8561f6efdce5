//! Forks without an exec: a child must not use what it inherits.
//!
//! A child has its parent's memory as it was at that moment, with every lock as another thread held
//! it. It has the *same* open files, shared memory and event loops. Whatever a child writes to
//! them, reads from them or drops reaches its parent. [`ProcessLocal`] lets a child notice that
//! without a system call, before it touches anything.
//!
//! `pthread_atfork` counts the forks. Each libc calls it for `fork(3)`; a child that was made with
//! the bare system call `clone(2)` is not noticed.
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::OnceLock;

use crate::os;
use crate::process::{Process, begin_in_child};

/// From here on, forks of this process are noticed. A system that does not fork has nothing to do.
///
/// # Errors
/// [`OutOfMemory`](io::ErrorKind::OutOfMemory): there is no memory for the handler.
pub fn notice_forks() -> io::Result<()> {
    static REGISTERED: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let register = || os::run_in_forked_children(begin_in_child).map_err(|error| error.kind());
    Ok((*REGISTERED.get_or_init(register))?)
}

/// A value that only the process that made it may use or drop. A forked child gets `None`, and
/// leaks the value.
pub struct ProcessLocal<T> {
    process: Process,
    value: ManuallyDrop<T>,
}

impl<T> ProcessLocal<T> {
    /// A value of the current process.
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

    /// Whether this process is a forked child of the one that made the value.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }
}

impl<T> Drop for ProcessLocal<T> {
    fn drop(&mut self) {
        if self.process.is_current() {
            // SAFETY: nothing else drops the value, and it is not used after this.
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
