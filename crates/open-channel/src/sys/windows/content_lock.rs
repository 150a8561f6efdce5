//! Locks on files that others read and write meanwhile.
//!
//! Windows lets nobody else read what is locked exclusively, and nobody at all write what is locked
//! by several. So the lock is on one byte, far behind the end of any file.
#![expect(unsafe_code, reason = "a part of a file is locked by a C function")]

use std::fs::{File, TryLockError};
use std::io;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::check;

/// The upper half of the place of the byte: the lower half is zero.
const FAR: u32 = 0x4000_0000;

pub(crate) fn try_lock(file: &File, shared: bool) -> Result<(), TryLockError> {
    let mode = if shared { 0 } else { LOCKFILE_EXCLUSIVE_LOCK };
    let mut place = place();
    let flags = LOCKFILE_FAIL_IMMEDIATELY | mode;
    // SAFETY: the handle is open, and the call ends before the place does, as the file was not
    // opened for overlapped calls.
    let locked = check(unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut place) });
    locked.map_err(|error| {
        let taken = [ERROR_LOCK_VIOLATION, ERROR_IO_PENDING].map(u32::cast_signed);
        match error.raw_os_error() {
            Some(code) if taken.contains(&code) => TryLockError::WouldBlock,
            _ => TryLockError::Error(error),
        }
    })
}

pub(crate) fn unlock(file: &File) -> io::Result<()> {
    let mut place = place();
    // SAFETY: as above.
    check(unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut place) })
}

fn place() -> OVERLAPPED {
    let place = OVERLAPPED_0_0 { Offset: 0, OffsetHigh: FAR };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: place }, ..OVERLAPPED::default() }
}
