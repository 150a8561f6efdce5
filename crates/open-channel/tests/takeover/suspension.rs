//! Stopping a process, and letting it go on.

#[cfg(unix)]
use std::process::Child;

#[cfg(unix)]
pub(crate) fn suspend(child: &Child) {
    send(child, rustix::process::Signal::STOP);
}

#[cfg(unix)]
pub(crate) fn resume(child: &Child) {
    send(child, rustix::process::Signal::CONT);
}

#[cfg(unix)]
fn send(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("signalled");
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsRawHandle, RawHandle};
    use std::process::Child;

    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn NtSuspendProcess(process: RawHandle) -> i32;
        fn NtResumeProcess(process: RawHandle) -> i32;
    }

    pub(crate) fn suspend(child: &Child) {
        // SAFETY: the process's handle is open.
        assert_eq!(unsafe { NtSuspendProcess(child.as_raw_handle()) }, 0);
    }

    pub(crate) fn resume(child: &Child) {
        // SAFETY: the process's handle is open.
        assert_eq!(unsafe { NtResumeProcess(child.as_raw_handle()) }, 0);
    }
}

#[cfg(windows)]
pub(crate) use windows::{resume, suspend};
