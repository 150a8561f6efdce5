//! A Unix of which nothing more is known.

use std::future;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

pub(crate) use super::one_namespace::process_namespace;
pub(crate) use super::temporary::{UserDirectory, short_link_folder};
pub(crate) use super::unlimited::{address_space_left, command_line, machine_memory, memory_left};

/// The first pause between two looks at a process; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longer ones would make a death known late, shorter ones an idle process busy.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Looks at a process by its number, again and again.
///
/// A connection usually reports a death by itself, but not while a forked child holds the same
/// descriptor. A process whose number another one has got meanwhile counts as alive, and so does
/// one whose parent has not asked for its status; then only its silence shows it.
#[derive(Debug)]
pub(crate) struct ProcessExit(Option<Pid>);

impl ProcessExit {
    /// The exit of process `pid`.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        Self(pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    /// Resolves when the process is gone; never when that cannot be known. Cancel safe.
    pub(crate) async fn wait(&self) {
        let Some(pid) = self.0 else { return future::pending().await };
        let mut pause = FIRST_PAUSE;
        while test_kill_process(pid) != Err(Errno::SRCH) {
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

/// It is not known.
pub(crate) fn file_system(_fd: BorrowedFd<'_>) -> Option<String> {
    None
}
