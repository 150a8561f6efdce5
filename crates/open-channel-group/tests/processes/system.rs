//! What a test does with processes, and each system does in its own way.

use std::process::Child;

/// Nanoseconds on a clock that all processes share.
pub(crate) fn now() -> u64 {
    #[cfg(unix)]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
    }
    #[cfg(not(unix))]
    {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        since.as_nanos().try_into().unwrap()
    }
}

/// Has the system kill this process when its parent dies, at once. Elsewhere the end of its input
/// ends it.
pub(crate) fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    }
}

/// The child's process id in the parent.
#[cfg(unix)]
pub(crate) fn fork() -> Option<i32> {
    // SAFETY: the child uses no other thread, prints, drops and waits.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => Some(child.as_raw()),
        nix::unistd::ForkResult::Child => {
            die_with_parent();
            None
        }
    }
}

/// Stops a process, and waits until it stands still.
#[cfg(unix)]
pub(crate) fn stop(child: &Child) {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap();
}

#[cfg(unix)]
pub(crate) fn resume(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};

    kill_process(Pid::from_child(child), Signal::CONT).unwrap();
}

#[cfg(windows)]
#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtSuspendProcess(process: std::os::windows::io::RawHandle) -> i32;
    fn NtResumeProcess(process: std::os::windows::io::RawHandle) -> i32;
}

/// Stops a process, and waits until it stands still.
#[cfg(windows)]
pub(crate) fn stop(child: &Child) {
    use std::os::windows::io::AsRawHandle;

    // SAFETY: the process's handle is open.
    assert_eq!(unsafe { NtSuspendProcess(child.as_raw_handle()) }, 0);
}

#[cfg(windows)]
pub(crate) fn resume(child: &Child) {
    use std::os::windows::io::AsRawHandle;

    // SAFETY: the process's handle is open.
    assert_eq!(unsafe { NtResumeProcess(child.as_raw_handle()) }, 0);
}
