//! The two halves of a socket, for different threads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::ResetCode;

use crate::blocking::socket::Socket;
use crate::connection::stall::Stall;
use crate::connection::stats::SocketStats;
use crate::error::{Error, SendError, TryRecvError};
use crate::link::{LinkKind, PeerInfo};
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
    /// Two halves for different threads. Dropping the sending half ends that direction like
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
    pub fn send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        self.socket.send(message)
    }

    /// As [`Socket::send_copy`].
    ///
    /// # Errors
    /// As there.
    pub fn send_copy(&self, message: &[u8]) -> Result<MessageId, Error> {
        self.socket.send_copy(message)
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
    pub fn send_many(&self, batch: &mut Batch) -> Result<(), Error> {
        self.socket.send_many(batch)
    }

    /// As [`Socket::reserve`].
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&self, len: usize) -> Result<Reservation, Error> {
        self.socket.reserve(len)
    }

    /// As [`Socket::take_back`].
    ///
    /// # Errors
    /// As there.
    pub fn take_back(&self, id: MessageId) -> Result<Option<Bytes>, Error> {
        self.socket.take_back(id)
    }

    /// As [`Socket::undeliverable`].
    ///
    /// # Errors
    /// As there.
    pub fn undeliverable(&self) -> Result<Undeliverable, Error> {
        self.socket.undeliverable()
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
    pub fn flush(&self) -> Result<(), Error> {
        self.socket.flush()
    }

    /// As [`Socket::flush_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.socket.flush_timeout(timeout)
    }

    /// As [`Socket::stalled`].
    ///
    /// # Errors
    /// As there.
    pub fn stalled(&self) -> Result<Stall, Error> {
        self.socket.stalled()
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
    pub fn recv(&self) -> Result<Option<Message>, Error> {
        self.socket.recv()
    }

    /// As [`Socket::recv_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>, TryRecvError> {
        self.socket.recv_timeout(timeout)
    }

    /// As [`Socket::recv_many`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_many(&self) -> Result<Option<Messages>, Error> {
        self.socket.recv_many()
    }

    /// As [`Socket::recv_reader`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_reader(&self) -> Result<Option<MessageReader>, Error> {
        self.socket.recv_reader()
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
            let reason = "the thread of its sending half panicked";
            return self.socket.connection().reset(ResetCode::ListenerFailed, reason);
        }
        // A socket that is over has ended already.
        let _ = self.socket.finish();
    }
}
