//! The two halves of a socket, for different tasks.

use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::ResetCode;

use crate::connection::stall::Stall;
use crate::connection::stats::SocketStats;
use crate::error::{Error, SendError, TryRecvError};
use crate::link::{LinkKind, PeerInfo};
use crate::socket::Socket;
use crate::socket::batch::{Batch, Messages};
use crate::socket::message::{Message, MessageId, SocketId};
use crate::socket::reader::MessageReader;
use crate::socket::reservation::Reservation;
use crate::socket::undeliverable::Undeliverable;

/// The sending half of a [`Socket`]. Dropping it ends that direction like
/// [`finish`](Socket::finish). Dropped in a panic, it resets the socket instead.
///
/// Its [`AsRef`] is the whole socket, for calls that concern both directions.
#[derive(Debug)]
pub struct SendHalf {
    socket: Arc<Socket>,
}

/// The receiving half of a [`Socket`].
///
/// Its [`AsRef`] is the whole socket, for calls that concern both directions.
#[derive(Debug)]
pub struct RecvHalf {
    socket: Arc<Socket>,
}

impl Socket {
    /// Two halves for different tasks. Dropping the sending half ends that direction like
    /// [`finish`](Self::finish).
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let socket = Arc::new(self);
        (SendHalf { socket: Arc::clone(&socket) }, RecvHalf { socket })
    }
}

impl SendHalf {
    /// As [`Socket::send`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        self.socket.send(message).await
    }

    /// As [`Socket::send_copy`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send_copy(&self, message: &[u8]) -> Result<MessageId, Error> {
        self.socket.send_copy(message).await
    }

    /// As [`Socket::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        self.socket.try_send(message)
    }

    /// As [`Socket::send_many`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn send_many(&self, batch: &mut Batch) -> Result<(), Error> {
        self.socket.send_many(batch).await
    }

    /// As [`Socket::reserve`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn reserve(&self, len: usize) -> Result<Reservation, Error> {
        self.socket.reserve(len).await
    }

    /// As [`Socket::take_back`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn take_back(&self, id: MessageId) -> Result<Option<Bytes>, Error> {
        self.socket.take_back(id).await
    }

    /// As [`Socket::undeliverable`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn undeliverable(&self) -> Result<Undeliverable, Error> {
        self.socket.undeliverable().await
    }

    /// As [`Socket::try_undeliverable`].
    ///
    /// # Errors
    /// As there.
    pub fn try_undeliverable(&self) -> Result<Undeliverable, TryRecvError> {
        self.socket.try_undeliverable()
    }

    /// As [`Socket::flush`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn flush(&self) -> Result<(), Error> {
        self.socket.flush().await
    }

    /// As [`Socket::stalled`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn stalled(&self) -> Result<Stall, Error> {
        self.socket.stalled().await
    }

    /// As [`Socket::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&self) -> Result<(), Error> {
        self.socket.finish()
    }

    /// As [`Socket::max_message`].
    pub fn max_message(&self) -> usize {
        self.socket.max_message()
    }

    /// As [`Socket::id`].
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// As [`Socket::peer`].
    pub fn peer(&self) -> Option<PeerInfo> {
        self.socket.peer()
    }

    /// As [`Socket::connected`].
    pub fn connected(&self) -> bool {
        self.socket.connected()
    }

    /// As [`Socket::generation`].
    pub fn generation(&self) -> u64 {
        self.socket.generation()
    }

    /// As [`Socket::link`].
    pub fn link(&self) -> Option<LinkKind> {
        self.socket.link()
    }

    /// As [`Socket::stats`].
    pub fn stats(&self) -> SocketStats {
        self.socket.stats()
    }
}

impl RecvHalf {
    /// As [`Socket::recv`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv(&self) -> Result<Option<Message>, Error> {
        self.socket.recv().await
    }

    /// As [`Socket::recv_many`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv_many(&self) -> Result<Option<Messages>, Error> {
        self.socket.recv_many().await
    }

    /// As [`Socket::recv_reader`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv_reader(&self) -> Result<Option<MessageReader>, Error> {
        self.socket.recv_reader().await
    }

    /// As [`Socket::try_recv`].
    ///
    /// # Errors
    /// As there.
    pub fn try_recv(&self) -> Result<Option<Message>, TryRecvError> {
        self.socket.try_recv()
    }

    /// As [`Socket::id`].
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// As [`Socket::peer`].
    pub fn peer(&self) -> Option<PeerInfo> {
        self.socket.peer()
    }

    /// As [`Socket::connected`].
    pub fn connected(&self) -> bool {
        self.socket.connected()
    }

    /// As [`Socket::generation`].
    pub fn generation(&self) -> u64 {
        self.socket.generation()
    }

    /// As [`Socket::link`].
    pub fn link(&self) -> Option<LinkKind> {
        self.socket.link()
    }

    /// As [`Socket::stats`].
    pub fn stats(&self) -> SocketStats {
        self.socket.stats()
    }
}

impl AsRef<Socket> for SendHalf {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl AsRef<Socket> for RecvHalf {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // An orderly end would make what was sent look complete.
            let reason = "the task of its sending half panicked";
            return self.socket.connection().reset(ResetCode::ListenerFailed, reason);
        }
        // A socket that is over has ended already.
        let _ = self.socket.finish();
    }
}
