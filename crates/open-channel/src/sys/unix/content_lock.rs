//! Locks on files that others read and write meanwhile: what a lock on a file is on Unix anyway.

use std::fs::{File, TryLockError};
use std::io;

pub(crate) fn try_lock(file: &File, shared: bool) -> Result<(), TryLockError> {
    if shared { file.try_lock_shared() } else { file.try_lock() }
}

pub(crate) fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}
