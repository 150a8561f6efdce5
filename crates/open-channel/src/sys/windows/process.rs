//! The end of another process.
#![expect(unsafe_code, reason = "a handle is waited for by a thread of the system's")]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenProcess, PROCESS_ACCESS_RIGHTS, PROCESS_SYNCHRONIZE, RegisterWaitForSingleObject,
    UnregisterWaitEx, WT_EXECUTEINWAITTHREAD, WT_EXECUTEONLYONCE,
};

use super::check;

/// A watch over a process: its handle.
#[derive(Debug)]
pub(crate) enum ProcessExit {
    Gone,
    Watched(Watch),
    /// It cannot be known.
    Unknown,
}

impl ProcessExit {
    /// Watches process `pid` from now on, whatever process gets that number later.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        let Some(pid) = pid.filter(|&pid| pid != 0) else { return Self::Unknown };
        match open(pid, PROCESS_SYNCHRONIZE) {
            Ok(process) => Watch::over(process).map_or(Self::Unknown, Self::Watched),
            // There is no process with this number.
            Err(error) if error.raw_os_error() == Some(ERROR_INVALID_PARAMETER as i32) => {
                Self::Gone
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Resolves when the process is gone; never when that cannot be known. Cancel safe.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Gone => {}
            Self::Watched(watch) => watch.ended.wait().await,
            Self::Unknown => std::future::pending().await,
        }
    }
}

/// All processes of the machine are in one namespace.
pub(crate) fn process_namespace() -> Option<u64> {
    Some(1)
}

pub(super) fn open(pid: u32, access: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    // SAFETY: it takes numbers only.
    let process = unsafe { OpenProcess(access, 0, pid) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above opened it, for nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(process) })
}

/// A wait for a process, by one of the system's threads.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Ends before the fields below are dropped, which it uses.
    wait: HANDLE,
    ended: Arc<Ended>,
    _process: OwnedHandle,
}

// SAFETY: the wait's handle may be used on any thread, and only `drop` uses it.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

#[derive(Debug, Default)]
struct Ended {
    has_ended: AtomicBool,
    notify: Notify,
}

impl Watch {
    fn over(process: OwnedHandle) -> io::Result<Self> {
        let ended = Arc::new(Ended::default());
        let mut wait = ptr::null_mut();
        // SAFETY: the process's handle is open, and `ended` stays where it is, until `drop` has
        // ended the wait.
        check(unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                process.as_raw_handle(),
                Some(end),
                Arc::as_ptr(&ended).cast(),
                INFINITE,
                WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD,
            )
        })?;
        Ok(Self { wait, ended, _process: process })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: it was registered in `over`, and is unregistered only here. The call waits for a
        // callback that has begun, which takes no lock that this thread could hold.
        unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) };
    }
}

impl Ended {
    async fn wait(&self) {
        let mut notified = pin!(self.notify.notified());
        // From here on, no end is missed.
        notified.as_mut().enable();
        if !self.has_ended.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

unsafe extern "system" fn end(ended: *mut c_void, _timed_out: bool) {
    // SAFETY: `Watch::over` passed it, and it lives until the wait is unregistered.
    let ended = unsafe { &*ended.cast::<Ended>() };
    ended.has_ended.store(true, Ordering::Release);
    ended.notify.notify_waiters();
}
