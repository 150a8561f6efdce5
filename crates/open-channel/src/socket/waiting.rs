//! Waits on a connection, whose key is given back in every case.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::connection::waiters::WaiterKey;
use crate::connection::waiters::WakeMode;
use crate::error::Error;

/// Waits with a key that is given back however the wait ends.
pub(crate) async fn wait_with<T>(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>, &mut WaiterKey) -> Poll<T>,
) -> T {
    let mut guard = WaitGuard { connection, key: WaiterKey::default() };
    poll_fn(|cx| poll(cx, &mut guard.key)).await
}

struct WaitGuard<'a> {
    connection: &'a Connection,
    key: WaiterKey,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.connection.leave(&mut self.key);
    }
}

pub(super) async fn acknowledged(connection: &Connection, end: u64) -> Result<(), Error> {
    wait_with(connection, |cx, key| connection.poll_acknowledged(cx, key, WakeMode::Task, end))
        .await
}
