//! State that the handles of one socket share, and how it ends when the last of them is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use open_channel_proto::ResetCode;
use tokio::runtime::Handle;

use crate::channel::shared::{ChannelGuard, Shared};
use crate::connection::Connection;
use crate::error::Error;
use crate::link::PeerInfo;
use crate::socket::waiting::{acknowledged, wait_with};

/// State that the halves of a socket own together.
#[derive(Debug)]
pub(super) struct SocketInner {
    pub(super) connection: Arc<Connection>,
    /// On the peer's end: the channel goes on while the socket does.
    pub(super) guard: Option<Arc<ChannelGuard>>,
    /// On the host's end: the channel whose listener it was made for.
    pub(super) host: Option<Weak<Shared>>,
    pub(super) background: Handle,
    pub(super) peer: Option<PeerInfo>,
    /// The caller's choice about the next host, if there is one.
    pub(super) reconnect: Option<bool>,
}

impl Drop for SocketInner {
    fn drop(&mut self) {
        let connection = Arc::clone(&self.connection);
        if connection.is_over() || connection.is_handing_over() {
            return;
        }
        if self
            .host
            .as_ref()
            .and_then(Weak::upgrade)
            .is_some_and(|shared| shared.retire_without_runtime())
        {
            // Nobody closed this socket: its handler's runtime ended, usually with the program.
            return connection.fail(Error::HandedOver);
        }
        if std::thread::panicking() {
            return connection.reset(ResetCode::ListenerFailed, "its handler panicked");
        }
        let guard = self.guard.take();
        self.background.spawn(async move {
            let _ = match &guard {
                Some(_) => acknowledged(&connection, connection.request_ack()).await,
                None => {
                    wait_with(&connection, |cx, key| connection.poll_transmitted(cx, key)).await
                }
            };
            end(&connection);
            drop(guard);
        });
    }
}

/// Ends this side: its direction in order, then everything, so that nothing more will be handled.
pub(crate) fn end(connection: &Connection) {
    // A socket that is over has sent its end.
    let _ = connection.finish();
    connection.reset(ResetCode::Closed, "closed");
}

pub(crate) async fn close_within(
    connection: Arc<Connection>,
    patience: Duration,
) -> Result<(), Error> {
    if connection.is_over() {
        return Ok(());
    }
    let flushed =
        tokio::time::timeout(patience, acknowledged(&connection, connection.request_ack())).await;
    let messages = connection.unacknowledged();
    end(&connection);
    flushed.unwrap_or(Err(Error::Unacknowledged { messages, after: patience }))
}
