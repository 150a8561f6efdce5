//! The common part of the systems with kqueue(2): macOS and FreeBSD.
#![expect(unsafe_code, reason = "events of a kqueue may hold descriptors that have to stay open")]

use std::ffi::c_char;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::Errno;
use rustix::process::Pid;

use super::registration::{Registration, Source};

/// A watch over a process: a kqueue with its exit as the only event.
///
/// A connection usually reports a death by itself, but not while a forked child holds the same
/// descriptor.
#[derive(Debug)]
pub(crate) enum ProcessExit {
    Gone,
    Watched(Registration),
    /// It cannot be known.
    Unknown,
}

impl ProcessExit {
    /// Watches process `pid` from now on, whatever process gets that number later.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Self::Unknown };
        match exit_queue(pid) {
            Err(Errno::SRCH) => Self::Gone,
            Ok(queue) => {
                Registration::new(Source::Exit(queue)).map_or(Self::Unknown, Self::Watched)
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Resolves when the process is gone; never when that cannot be known. Cancel safe.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Gone => return,
            Self::Watched(queue) if queue.readable().await.is_ok() => return,
            _ => {}
        }
        std::future::pending().await
    }
}

/// A queue that becomes readable, and stays so, when the process ends.
fn exit_queue(pid: Pid) -> rustix::io::Result<OwnedFd> {
    let queue = kqueue()?;
    let exit = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
    let changes = [Event::new(exit, EventFlags::ADD, ptr::null_mut())];
    let mut none: [Event; 0] = [];
    // SAFETY: the only event names a process, by its number, and no descriptor.
    unsafe { kevent(&queue, &changes, &mut none, Some(Duration::ZERO)) }?;
    Ok(queue)
}

/// The type of the file system that `fd` is on, and where it is mounted.
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> Option<String> {
    let there = rustix::fs::fstatfs(fd).ok()?;
    let (kind, mount) = (text(&there.f_fstypename), text(&there.f_mntonname));
    Some(format!("{kind}, mounted on {mount}"))
}

/// Up to the zero that ends it.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> =
        chars.iter().take_while(|&&char| char != 0).map(|&char| char.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
