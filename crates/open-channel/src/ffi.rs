//! For faces in other languages, whose event loops neither poll futures nor run tokio.
//!
//! Not covered by the version's promises.

use std::fmt;
use std::ops::Range;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
pub use open_channel_ring::Spin;
use open_channel_ring::{Descriptor, Mapped, Watch};
use tokio::runtime::Handle;

use crate::background;
use crate::channel::Channel;
pub use crate::connection::waiters::WaiterKey;
use crate::connection::waiters::WakeMode;
use crate::error::{Error, SendError};
use crate::socket::Socket;
use crate::socket::message::{Message, MessageId};
use crate::socket::reservation::Reservation;
use crate::socket::undeliverable::Undeliverable;
use crate::sys;

/// Who sees that the link is ready while a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// The caller, which watches [`Face::watch_fd`] for readability and polls again then.
    Caller,
    /// The library's background thread.
    Background,
}

impl Watcher {
    fn wake_mode(self) -> WakeMode {
        match self {
            Self::Caller => WakeMode::EventLoop,
            Self::Background => WakeMode::Woken,
        }
    }
}

/// What an event loop of its own needs of a socket.
pub trait Face {
    /// [`Socket::recv`] as a poll function; the waker is called for everything but the watched descriptor, changes
    /// of the connection included.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        watch: Watcher,
    ) -> Poll<Result<Option<Message>, Error>>;
    /// There is a connection; fails when there will be no other.
    fn poll_connected(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<Result<(), Error>>;
    /// Room for a message of `len` bytes.
    fn poll_room(&self, cx: &mut Context<'_>, key: &mut WaiterKey, len: usize) -> Poll<Result<(), Error>>;
    /// Everything before sequence number `end` (see [`request_ack`](Self::request_ack)) is acknowledged.
    fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        end: u64,
    ) -> Poll<Result<(), Error>>;
    /// [`Socket::undeliverable`] as a poll function, for one caller at a time.
    fn poll_undeliverable(&self, cx: &mut Context<'_>) -> Poll<Result<Undeliverable, Error>>;
    /// The numbers from the oldest on that is not acknowledged, up to the next that is given.
    fn unacknowledged(&self) -> Range<u64>;
    /// [`Socket::take_back`] of the message with this number; pending: to be followed by
    /// [`poll_taken_back`](Self::poll_taken_back) until that is ready.
    fn begin_taking_back(&self, seq: u64) -> Poll<Result<Option<Bytes>, Error>>;
    /// The answer.
    fn poll_taken_back(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>>;
    /// Asks for prompt acknowledgement of all that was sent, and tells where that ends.
    fn request_ack(&self) -> u64;
    /// Accepts a message after [`poll_room`](Self::poll_room) was ready, whatever its size within the limit.
    ///
    /// # Errors
    /// As [`Socket::try_send`], but for [`Error::Full`].
    fn send_over(&self, message: Bytes) -> Result<MessageId, Error>;
    /// [`Socket::try_send`] of bytes that stay the caller's: where there can be a ring, they are copied once only, into it.
    ///
    /// # Errors
    /// As [`Socket::try_send`].
    fn try_send_copy(&self, message: &[u8]) -> Result<MessageId, SendError>;
    /// The waiting call is over.
    fn leave(&self, key: &mut WaiterKey);
    /// A duplicate of the descriptor to watch; another one after every change of the connection.
    fn watch_fd(&self) -> Option<Descriptor>;
    /// How many connections the socket has had.
    fn links(&self) -> u64;
    /// Whether the host of this socket, which is this process, hands over: nothing more is
    /// delivered.
    fn is_handing_over(&self) -> bool;
    /// Nothing more can be sent or acknowledged.
    fn poll_over(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<()>;
    /// What a caller that found nothing may look at for a while before it sleeps; `None` where it is told by the descriptor alone.
    fn arrival(&self) -> Option<Arrival>;
}

/// Where the next message will show first. Belongs to the connection as it was: after another one, ask again.
pub struct Arrival(Watch<Mapped>);

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").finish_non_exhaustive()
    }
}

impl Arrival {
    /// Whether it is worth to poll again. A few nanoseconds; no lock, no system call. Only ever advises: what is missed here
    /// makes the descriptor readable.
    #[inline]
    pub fn has_come(&self) -> bool {
        self.0.is_due()
    }
}

impl Face for Socket {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        watch: Watcher,
    ) -> Poll<Result<Option<Message>, Error>> {
        Message::poll(self.connection(), cx, key, watch.wake_mode())
    }

    fn poll_connected(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<Result<(), Error>> {
        self.connection().poll_connected(cx, key)
    }

    fn poll_room(&self, cx: &mut Context<'_>, key: &mut WaiterKey, len: usize) -> Poll<Result<(), Error>> {
        self.connection().poll_room(cx, key, WakeMode::Woken, len)
    }

    fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        end: u64,
    ) -> Poll<Result<(), Error>> {
        self.connection().poll_acknowledged(cx, key, WakeMode::Woken, end)
    }

    fn poll_undeliverable(&self, cx: &mut Context<'_>) -> Poll<Result<Undeliverable, Error>> {
        let returned = self.connection().poll_undeliverable(cx);
        returned.map_ok(|message| Undeliverable::new(self.id(), message))
    }

    fn unacknowledged(&self) -> Range<u64> {
        self.connection().unacknowledged_numbers()
    }

    fn begin_taking_back(&self, seq: u64) -> Poll<Result<Option<Bytes>, Error>> {
        self.connection().begin_taking_back(seq)
    }

    fn poll_taken_back(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.connection().poll_taken_back(cx, key, WakeMode::Woken, seq)
    }

    fn request_ack(&self) -> u64 {
        self.connection().request_ack()
    }

    fn send_over(&self, message: Bytes) -> Result<MessageId, Error> {
        Ok(self.message_id(self.connection().send_over(message)?))
    }

    fn try_send_copy(&self, message: &[u8]) -> Result<MessageId, SendError> {
        let connection = self.connection();
        if let Some(seq) = connection.send_at_once(message) {
            return Ok(self.message_id(seq));
        }
        let mut key = WaiterKey::default();
        let mut cx = Context::from_waker(Waker::noop());
        let reserved = connection.poll_reserve(&mut cx, &mut key, WakeMode::Woken, message.len());
        connection.leave(&mut key);
        let Poll::Ready(Ok(room)) = reserved else { return self.try_send(Bytes::copy_from_slice(message)) };
        let mut reservation = Reservation::new(connection, room);
        reservation.append(message);
        reservation.commit()
    }

    fn leave(&self, key: &mut WaiterKey) {
        self.connection().leave(key);
    }

    fn watch_fd(&self) -> Option<Descriptor> {
        sys::duplicate(self.connection().link()?.descriptor()).ok()
    }

    fn links(&self) -> u64 {
        self.connection().links()
    }

    fn is_handing_over(&self) -> bool {
        self.connection().is_handing_over()
    }

    fn poll_over(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<()> {
        self.connection().poll_over(cx, key)
    }

    fn arrival(&self) -> Option<Arrival> {
        self.connection().message_watch().map(Arrival)
    }
}

/// The runtime of the library's background thread, for a face without one: for listeners that only pass their socket
/// on, and for waiting. What blocks there makes its process look dead.
///
/// # Errors
/// The background thread could not be started.
pub fn background() -> Result<Handle, Error> {
    background::handle()
}

/// The first step of closing, for a face that has more to do before the others: if this process
/// hosts, nothing more from other processes is delivered.
pub fn retire(channel: &Channel) {
    channel.retire();
}

/// Leaves the channel as if this process had been killed: nothing is acknowledged or said, and another process may
/// host at once.
pub fn abandon(channel: &Channel) {
    channel.abandon();
}
