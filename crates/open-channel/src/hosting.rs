//! For groups, which run a part of theirs in whichever process hosts. Not covered by the promises
//! of the version number.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use open_channel_ring::ProcessLocal;

use crate::channel::Channel;
use crate::channel::shared::{Describe, Place};
use crate::connection::waiters::WakeMode;
use crate::error::Error;
use crate::inspect::{Found, Unanswered};
use crate::rendezvous::fence::Fence;
use crate::socket::Socket;
use crate::socket::waiting::wait_with;
use crate::sys;

/// The right of this process to host under one generation.
#[derive(Debug, Clone)]
pub struct Tenure {
    generation: u64,
    fence: Arc<Fence>,
}

impl Tenure {
    /// The tenure in which a listener's socket was accepted; `None` if that is over.
    pub fn of(socket: &Socket) -> Option<Self> {
        let shared = socket.accepted_by()?;
        let place = shared.place.borrow();
        let Place::Hosting(host) = &*place else { return None };
        let (generation, fence) = (host.generation(), Arc::clone(&host.fence));
        (generation == socket.generation()).then_some(Self { generation, fence })
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this process hosts still. Another one may host as soon as it does not.
    pub fn holds(&self) -> bool {
        self.fence.holds()
    }
}

/// Waits until the socket is connected to another host than that of the generation `known`.
/// Returns its generation. Messages of earlier hosts that had arrived can still be received.
///
/// # Errors
/// Why the socket is over.
///
/// # Cancel safety
/// Cancel safe: the next call finds the host, too.
pub async fn next_host(socket: &Socket, known: u64) -> Result<u64, Error> {
    socket.connection().next_host(known).await
}

/// Waits until the outbox has room for a message of `len` bytes.
///
/// # Errors
/// Why the socket is over, or [`Error::TooLarge`].
///
/// # Cancel safety
/// Cancel safe: nothing is reserved.
pub async fn room(socket: &Socket, len: usize) -> Result<(), Error> {
    let connection = socket.connection();
    wait_with(connection, |cx, key| connection.poll_room(cx, key, WakeMode::Task, len)).await
}

/// Has `describe` say, whenever this process hosts and is asked ([`detail`]), how the program on
/// top of the channel is. Its argument is the number of things of one kind that it may describe. It
/// runs on the background thread, and is to be short. The first one stays.
pub fn describe_with(channel: &Channel, describe: impl Fn(usize) -> Bytes + Send + Sync + 'static) {
    if let Ok(shared) = channel.shared() {
        let _ = shared.describe.set(Describe(Box::new(describe)));
    }
}

/// Asks a channel's host what the program on top of it [says of itself](describe_with), with at
/// most this many things of one kind. Empty if it says nothing. Waits no longer than `within`.
///
/// # Errors
/// [`Unanswered`].
///
/// # Cancel safety
/// Cancel safe: nothing changes.
pub async fn detail(found: &Found, most: usize, within: Duration) -> Result<Bytes, Unanswered> {
    found.ask_for_detail(most, within).await
}

/// Locks a file for this process alone, or `shared` with others that lock it so, until it is
/// unlocked or closed. Others can read and write it meanwhile, on every system.
///
/// # Errors
/// [`WouldBlock`](TryLockError::WouldBlock) if another process has locked it; others are the
/// system's.
pub fn try_lock(file: &File, shared: bool) -> Result<(), TryLockError> {
    sys::try_lock(file, shared)
}

/// Ends a [lock](try_lock), whoever else has the file open.
///
/// # Errors
/// The system's.
pub fn unlock(file: &File) -> io::Result<()> {
    sys::unlock(file)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_locked_file_is_read_and_written_by_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let open = || OpenOptions::new().read(true).append(true).create(true).open(&path);
        let [alone, mut one, mut other] = [(); 3].map(|()| open().expect("opened"));
        let busy =
            |file: &File, shared| matches!(try_lock(file, shared), Err(TryLockError::WouldBlock));
        try_lock(&alone, false).expect("free");
        assert!(busy(&one, false) && busy(&one, true));
        one.write_all(b"one").expect("written while another has locked it");
        unlock(&alone).expect("locked");

        try_lock(&one, true).expect("free");
        try_lock(&other, true).expect("shared");
        assert!(busy(&alone, false));
        one.write_all(b", two").expect("written while two have locked it");
        let mut text = String::new();
        other.read_to_string(&mut text).expect("read while another has locked it");
        assert_eq!(text, "one, two");
        drop((one, other));
        try_lock(&alone, false).expect("a file that is closed is not locked");
    }
}
