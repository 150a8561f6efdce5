//! [`Socket`] for threads.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::blocking::wait::{block_on, wait};
use crate::connection::Connection;
use crate::connection::stall::Stall;
use crate::connection::stats::SocketStats;
use crate::connection::waiters::WakeMode;
use crate::error::{Error, SendError, TryRecvError};
use crate::link::{LinkKind, PeerInfo};
use crate::socket;
use crate::socket::batch::{Batch, Messages};
use crate::socket::message::{Message, MessageId, SocketId};
use crate::socket::reader::MessageReader;
use crate::socket::reservation::Reservation;
use crate::socket::undeliverable::Undeliverable;

/// [`open_channel::Socket`](crate::Socket) for threads; all methods take `&self`. See there [which
/// call when](crate::Socket#which-call-when).
#[derive(Debug)]
pub struct Socket {
    pub(super) socket: socket::Socket,
}

impl Socket {
    pub(super) fn new(socket: socket::Socket) -> Self {
        Self { socket }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        self.socket.connection()
    }

    /// As [`open_channel::Socket::send`](crate::Socket::send): blocks while the outbox is full.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        let seq = self.send_bytes(&mut message.into()).map_err(|error| *error)?;
        Ok(self.socket.message_id(seq))
    }

    fn send_bytes(&self, message: &mut Bytes) -> Result<u64, Box<SendError>> {
        let connection = self.connection();
        wait(connection, None, |cx, key| connection.poll_send(cx, key, WakeMode::Thread, message))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::send_copy`](crate::Socket::send_copy): blocks while the outbox
    /// is full.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_copy(&self, message: &[u8]) -> Result<MessageId, Error> {
        let connection = self.connection();
        if let Some(seq) = connection.send_at_once(message) {
            return Ok(self.socket.message_id(seq));
        }
        let placed = wait(connection, None, |cx, key| {
            connection.poll_send_copy(cx, key, WakeMode::Thread, message)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))?;
        match placed {
            Some(seq) => Ok(self.socket.message_id(seq)),
            None => Ok(self.send(Bytes::copy_from_slice(message))?),
        }
    }

    /// As [`open_channel::Socket::send_many`](crate::Socket::send_many): blocks while the outbox
    /// is full.
    ///
    /// # Errors
    /// As there.
    pub fn send_many(&self, batch: &mut Batch) -> Result<(), Error> {
        let connection = self.connection();
        wait(connection, None, |cx, key| {
            connection.poll_send_many(cx, key, WakeMode::Thread, &mut batch.packer)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::reserve`](crate::Socket::reserve): blocks while there is no room.
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&self, len: usize) -> Result<Reservation, Error> {
        let connection = self.connection();
        wait(connection, None, |cx, key| connection.poll_reserve(cx, key, WakeMode::Thread, len))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
            .map(|room| Reservation::new(connection, room))
    }

    /// As [`open_channel::Socket::try_send`](crate::Socket::try_send).
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        self.socket.try_send(message)
    }

    /// As [`open_channel::Socket::recv`](crate::Socket::recv): blocks until there is a message or
    /// the end.
    ///
    /// # Errors
    /// As there.
    pub fn recv(&self) -> Result<Option<Message>, Error> {
        self.receive(None).unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// [`recv`](Self::recv) for a limited time, and perhaps a millisecond more.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] when nothing came within `timeout`, else as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message>, TryRecvError> {
        match self.receive(Instant::now().checked_add(timeout)) {
            Some(received) => received.map_err(TryRecvError::Failed),
            None => Err(TryRecvError::Empty),
        }
    }

    fn receive(&self, deadline: Option<Instant>) -> Option<Result<Option<Message>, Error>> {
        let connection = self.connection();
        wait(connection, deadline, |cx, key| Message::poll(connection, cx, key, WakeMode::Thread))
    }

    /// As [`open_channel::Socket::recv_reader`](crate::Socket::recv_reader): blocks until there is
    /// a message or the end.
    ///
    /// # Errors
    /// As there.
    pub fn recv_reader(&self) -> Result<Option<MessageReader>, Error> {
        let connection = self.connection();
        let received = wait(connection, None, |cx, key| {
            connection.poll_recv_in_place(cx, key, WakeMode::Thread)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))?;
        Ok(received.map(|received| MessageReader::new(connection, received)))
    }

    /// As [`open_channel::Socket::recv_many`](crate::Socket::recv_many): blocks until there is a
    /// message or the end.
    ///
    /// # Errors
    /// As there.
    pub fn recv_many(&self) -> Result<Option<Messages>, Error> {
        let connection = self.connection();
        let received =
            wait(connection, None, |cx, key| connection.poll_recv_many(cx, key, WakeMode::Thread))
                .unwrap_or_else(|| unreachable!("waits without a limit"))?;
        Ok(received.map(|received| Messages::new(connection, received)))
    }

    /// As [`open_channel::Socket::try_recv`](crate::Socket::try_recv).
    ///
    /// # Errors
    /// As there.
    pub fn try_recv(&self) -> Result<Option<Message>, TryRecvError> {
        self.socket.try_recv()
    }

    /// As [`open_channel::Socket::undeliverable`](crate::Socket::undeliverable): blocks until there
    /// is one.
    ///
    /// # Errors
    /// As there.
    pub fn undeliverable(&self) -> Result<Undeliverable, Error> {
        block_on(self.socket.undeliverable())
    }

    /// The next message that is not delivered any more, if there is one already.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`], or why the socket is over.
    pub fn try_undeliverable(&self) -> Result<Undeliverable, TryRecvError> {
        self.socket.try_undeliverable()
    }

    /// As [`open_channel::Socket::take_back`](crate::Socket::take_back): blocks until it is known.
    ///
    /// # Errors
    /// As there.
    pub fn take_back(&self, id: MessageId) -> Result<Option<Bytes>, Error> {
        let connection = self.connection();
        if id.socket != connection.id() {
            connection.check_process()?;
            return Ok(None);
        }
        if let Poll::Ready(answer) = connection.begin_taking_back(id.seq) {
            return answer;
        }
        wait(connection, None, |cx, key| {
            connection.poll_taken_back(cx, key, WakeMode::Thread, id.seq)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::flush`](crate::Socket::flush).
    ///
    /// # Errors
    /// As there.
    pub fn flush(&self) -> Result<(), Error> {
        let connection = self.connection();
        let end = connection.request_ack();
        wait(connection, None, |cx, key| {
            connection.poll_acknowledged(cx, key, WakeMode::Thread, end)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// [`flush`](Self::flush) for a limited time, and perhaps a millisecond more. The messages are
    /// still delivered afterwards.
    ///
    /// # Errors
    /// [`Error::FlushTimeout`] when not everything is acknowledged within `timeout`, else as
    /// [`flush`](Self::flush).
    pub fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
        let connection = self.connection();
        let end = connection.request_ack();
        let deadline = Instant::now().checked_add(timeout);
        wait(connection, deadline, |cx, key| {
            connection.poll_acknowledged(cx, key, WakeMode::Thread, end)
        })
        .unwrap_or_else(|| {
            Err(Error::FlushTimeout { messages: connection.unacknowledged(), after: timeout })
        })
    }

    /// As [`open_channel::Socket::stalled`](crate::Socket::stalled): blocks until the socket is
    /// stalled.
    ///
    /// # Errors
    /// As there.
    pub fn stalled(&self) -> Result<Stall, Error> {
        block_on(self.connection().stalled())
    }

    /// As [`open_channel::Socket::finish`](crate::Socket::finish).
    ///
    /// # Errors
    /// As there.
    pub fn finish(&self) -> Result<(), Error> {
        self.socket.finish()
    }

    /// As [`open_channel::Socket::close`](crate::Socket::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), Error> {
        let flushed = self.flush();
        socket::end(self.connection());
        flushed
    }

    /// As [`open_channel::Socket::destroy`](crate::Socket::destroy).
    pub fn destroy(&self) {
        self.socket.destroy();
    }

    /// As [`open_channel::Socket::id`](crate::Socket::id).
    pub fn id(&self) -> SocketId {
        self.socket.id()
    }

    /// As [`open_channel::Socket::peer`](crate::Socket::peer).
    pub fn peer(&self) -> Option<PeerInfo> {
        self.socket.peer()
    }

    /// As [`open_channel::Socket::connected`](crate::Socket::connected).
    pub fn connected(&self) -> bool {
        self.socket.connected()
    }

    /// As [`open_channel::Socket::generation`](crate::Socket::generation).
    pub fn generation(&self) -> u64 {
        self.socket.generation()
    }

    /// As [`open_channel::Socket::stats`](crate::Socket::stats).
    pub fn stats(&self) -> SocketStats {
        self.socket.stats()
    }

    /// As [`open_channel::Socket::max_message`](crate::Socket::max_message).
    pub fn max_message(&self) -> usize {
        self.socket.max_message()
    }

    /// As [`open_channel::Socket::link`](crate::Socket::link).
    pub fn link(&self) -> Option<LinkKind> {
        self.socket.link()
    }
}
