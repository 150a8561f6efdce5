//! For bindings to other languages, whose event loops neither poll futures nor run tokio. Not
//! covered by the promises of the version number.

use std::fmt;
use std::ops::Range;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use open_channel_ring::{Descriptor, Mapped, RingWatch};
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

/// The part that sees that the link is ready while a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// The caller, which watches [`RawSocket::watch_fd`] for readability and polls again then.
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

/// A socket for an event loop that neither polls futures nor runs tokio.
#[derive(Debug, Clone, Copy)]
pub struct RawSocket<'a>(&'a Socket);

/// The raw calls of a socket.
pub fn raw(socket: &Socket) -> RawSocket<'_> {
    RawSocket(socket)
}

impl RawSocket<'_> {
    /// [`Socket::recv`] as a poll function. The waker is called for everything except the watched
    /// descriptor, changes of the connection included.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        watch: Watcher,
    ) -> Poll<Result<Option<Message>, Error>> {
        Message::poll(self.0.connection(), cx, key, watch.wake_mode())
    }

    /// Ready when there is a connection; fails when there will be no other.
    pub fn poll_connected(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
    ) -> Poll<Result<(), Error>> {
        self.0.connection().poll_connected(cx, key)
    }

    /// Ready when there is room for a message of `len` bytes.
    pub fn poll_room(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        len: usize,
    ) -> Poll<Result<(), Error>> {
        self.0.connection().poll_room(cx, key, WakeMode::Woken, len)
    }

    /// Ready when everything before sequence number `end` is acknowledged; see
    /// [`request_ack`](Self::request_ack).
    pub fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        end: u64,
    ) -> Poll<Result<(), Error>> {
        self.0.connection().poll_acknowledged(cx, key, WakeMode::Woken, end)
    }

    /// [`Socket::undeliverable`] as a poll function, for one caller at a time.
    pub fn poll_undeliverable(&self, cx: &mut Context<'_>) -> Poll<Result<Undeliverable, Error>> {
        let returned = self.0.connection().poll_undeliverable(cx);
        returned.map_ok(|message| Undeliverable::new(self.0.id(), message))
    }

    /// The sequence numbers from the oldest one that is not acknowledged to the next one to be
    /// given.
    pub fn unacknowledged(&self) -> Range<u64> {
        self.0.connection().unacknowledged_numbers()
    }

    /// [`Socket::take_back`] of the message with this number. While it is pending, call
    /// [`poll_taken_back`](Self::poll_taken_back) until that is ready.
    pub fn begin_taking_back(&self, seq: u64) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.connection().begin_taking_back(seq)
    }

    /// The answer to [`begin_taking_back`](Self::begin_taking_back).
    pub fn poll_taken_back(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.connection().poll_taken_back(cx, key, WakeMode::Woken, seq)
    }

    /// Asks for prompt acknowledgement of all messages sent so far. Returns the number behind the
    /// last.
    pub fn request_ack(&self) -> u64 {
        self.0.connection().request_ack()
    }

    /// Accepts a message of any size within the limit, after [`poll_room`](Self::poll_room) was
    /// ready.
    ///
    /// # Errors
    /// As [`Socket::try_send`], without [`Error::Full`].
    pub fn send_over(&self, message: Bytes) -> Result<MessageId, Error> {
        Ok(self.0.message_id(self.0.connection().send_over(message)?))
    }

    /// [`Socket::try_send`] of bytes that stay the caller's. On a ring they are copied once, into
    /// it.
    ///
    /// # Errors
    /// As [`Socket::try_send`].
    pub fn try_send_copy(&self, message: &[u8]) -> Result<MessageId, SendError> {
        let connection = self.0.connection();
        if let Some(seq) = connection.send_at_once(message) {
            return Ok(self.0.message_id(seq));
        }
        let mut key = WaiterKey::default();
        let mut cx = Context::from_waker(Waker::noop());
        let reserved = connection.poll_reserve(&mut cx, &mut key, WakeMode::Woken, message.len());
        connection.leave(&mut key);
        let Poll::Ready(Ok(room)) = reserved else {
            return self.0.try_send(Bytes::copy_from_slice(message));
        };
        let mut reservation = Reservation::new(connection, room);
        reservation.append(message);
        reservation.commit()
    }

    /// Ends the wait under this key.
    pub fn leave(&self, key: &mut WaiterKey) {
        self.0.connection().leave(key);
    }

    /// A duplicate of the descriptor to watch; another one after every change of the connection.
    pub fn watch_fd(&self) -> Option<Descriptor> {
        sys::duplicate(self.0.connection().link()?.watched()).ok()
    }

    /// How many connections the socket has had.
    pub fn links(&self) -> u64 {
        self.0.connection().links()
    }

    /// Whether the host of this socket, which is this process, hands over. No more messages are
    /// delivered then.
    pub fn is_handing_over(&self) -> bool {
        self.0.connection().is_handing_over()
    }

    /// Ready when nothing more can be sent or acknowledged.
    pub fn poll_over(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<()> {
        self.0.connection().poll_over(cx, key)
    }

    /// A probe that a caller without a message may poll for a while before it sleeps. `None` where
    /// only the descriptor shows that a message has come.
    pub fn readiness_probe(&self) -> Option<ReadinessProbe> {
        self.0.connection().message_watch().map(ReadinessProbe)
    }
}

/// Shows a message first. It belongs to the present connection: after another one, get a new probe.
pub struct ReadinessProbe(RingWatch<Mapped>);

impl fmt::Debug for ReadinessProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessProbe").finish_non_exhaustive()
    }
}

impl ReadinessProbe {
    /// Whether it is worth polling again. Takes a few nanoseconds, no lock and no system call. It
    /// is only a hint: a message that it misses makes the descriptor readable.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.0.is_due()
    }
}

/// The runtime of the library's background thread, for a binding without one. It is for waiting,
/// and for listeners that only pass their socket on. Code that blocks there makes its process seem
/// dead.
///
/// # Errors
/// The background thread could not be started.
pub fn background() -> Result<Handle, Error> {
    background::handle()
}

/// The first step of closing, for a binding that has more to do before the others. If this process
/// hosts, no more messages from other processes are delivered.
pub fn retire(channel: &Channel) {
    channel.retire();
}

/// Leaves the channel as if this process had been killed. Nothing is acknowledged or sent, and
/// another process may host at once.
pub fn abandon(channel: &Channel) {
    channel.abandon();
}

/// A spin that learns how long it pays; [`open_channel_ring::Spin`] for those who have no ring.
#[derive(Debug, Default)]
pub struct Spin(open_channel_ring::Spin);

impl Spin {
    /// One that has learnt nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `ready` until it says yes, `stop` does, or about `at_most` is over. Answers with the
    /// last word of `ready`.
    #[inline]
    pub fn until_or(
        &mut self,
        at_most: Duration,
        ready: impl FnMut() -> bool,
        stop: impl FnMut() -> bool,
    ) -> bool {
        self.0.until_or(at_most, ready, stop)
    }

    /// The wait that went on asleep is over.
    pub fn woken(&mut self) {
        self.0.woken();
    }
}
