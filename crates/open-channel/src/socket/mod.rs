//! A socket: one reliable two-way connection, messages in order.

use std::sync::{Arc, Weak};
use std::task::Context;

use bytes::Bytes;
use open_channel_proto::{ResetCode, SocketId};

use crate::channel::shared::{Accepted, ChannelGuard, Shared};
use crate::connection::Connection;
use crate::connection::stall::Stall;
use crate::connection::stats::SocketStats;
use crate::connection::waiters::WaiterKey;
use crate::connection::waiters::WakeMode;
use crate::error::{Error, SendError, TryRecvError};
use crate::link::{LinkKind, PeerInfo};
use crate::socket::batch::{Batch, Messages};
use crate::socket::message::{Message, MessageId};
use crate::socket::reader::MessageReader;
use crate::socket::reservation::Reservation;
use crate::socket::undeliverable::Undeliverable;

pub(crate) mod batch;
pub(crate) mod halves;
mod inner;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod reservation;
mod sink;
pub(crate) mod stream;
mod take_back;
pub(crate) mod undeliverable;
pub(crate) mod waiting;

use self::inner::SocketInner;
pub(crate) use self::inner::{close_within, end};
use self::waiting::{acknowledged, wait_with};

/// One reliable two-way connection between a peer and the host, for ordered messages.
///
/// All methods take `&self` and may be called from several tasks. The peer's end comes from
/// [`Channel::connect`](crate::Channel::connect) and moves from host to host. The host's end is
/// given to the listener and lives with its host. A socket is also a `Stream` of messages and a
/// `Sink` of [`Bytes`].
///
/// # Which call when
///
/// The table holds for a socket on a [ring](crate::LinkKind::Ring), which is the default between
/// processes of one user. Sending is accepting: delivery goes on in the background.
///
/// | Sending | is for | waits while | copies the bytes |
/// | --- | --- | --- | --- |
/// | [`send`] | bytes that you own | the outbox is full | into the ring |
/// | [`send_copy`] | bytes that you borrow | the outbox is full | into the ring |
/// | [`send_many`] | many small messages | the outbox is full | twice: batch, ring |
/// | [`reserve`] | bytes not made yet | the outbox is full | never: made in the ring |
/// | [`try_send`] | bytes that you own | never: fails with [`Error::Full`] | into the ring |
///
/// | Receiving | is for | waits for | copies the bytes |
/// | --- | --- | --- | --- |
/// | [`recv`] | messages one by one | a message or the end | into a buffer for each |
/// | [`recv_many`] | many small messages | a message or the end | into a buffer for all |
/// | [`recv_reader`] | long messages, read once | a message or the end | as you read them |
/// | [`try_recv`] | polling | never: fails with [`TryRecvError::Empty`] | into a buffer for each |
///
/// [`send`]: Self::send
/// [`send_copy`]: Self::send_copy
/// [`send_many`]: Self::send_many
/// [`reserve`]: Self::reserve
/// [`try_send`]: Self::try_send
/// [`recv`]: Self::recv
/// [`recv_many`]: Self::recv_many
/// [`recv_reader`]: Self::recv_reader
/// [`try_recv`]: Self::try_recv
///
/// Without a ring, the kernel copies each message in and out. `send_copy` and `reserve` then use a
/// buffer, and `recv_reader` reads from one. Each method lists the cases in which it does so on a
/// ring, too. `recv_many` copies messages twice that were not sent together.
///
/// # Dropping
///
/// Dropping a socket closes it in the background. Messages that were sent still go out, on a peer's
/// end until they are acknowledged. Then the other side sees the end. A socket dropped while its
/// thread unwinds from a panic is reset instead.
///
/// # Tokio's task budget
///
/// On tokio, a call that is ready counts against the task's budget, by the time that it is taken to
/// cost (see `tokio::task::coop`). Once in a few milliseconds, such a call is pending once, so that
/// other tasks run.
#[derive(Debug)]
pub struct Socket {
    inner: Arc<SocketInner>,
    /// Where the `Stream` and the `Sink` wait.
    recv_key: WaiterKey,
    send_key: WaiterKey,
    flush_to: Option<u64>,
    /// The `Stream` has returned its end or its error.
    stream_ended: bool,
}

impl Socket {
    pub(crate) fn connecting(
        connection: Arc<Connection>,
        guard: Arc<ChannelGuard>,
        reconnect: Option<bool>,
    ) -> Self {
        let background = guard.shared.background.clone();
        let (host, peer) = (None, None);
        Self::from_inner(SocketInner {
            connection,
            guard: Some(guard),
            host,
            background,
            peer,
            reconnect,
        })
    }

    pub(crate) fn accepted(accepted: Accepted) -> Self {
        let Accepted { connection, shared, peer } = accepted;
        let (host, background) = (Some(Arc::downgrade(&shared)), shared.background.clone());
        let (guard, peer, reconnect) = (None, Some(peer), None);
        Self::from_inner(SocketInner { connection, guard, host, background, peer, reconnect })
    }

    fn from_inner(inner: SocketInner) -> Self {
        let (recv_key, send_key) = (WaiterKey::default(), WaiterKey::default());
        Self { inner: Arc::new(inner), recv_key, send_key, flush_to: None, stream_ended: false }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.inner.connection
    }

    /// On the host's end: the channel whose listener it was made for.
    pub(crate) fn accepted_by(&self) -> Option<Arc<Shared>> {
        self.inner.host.as_ref().and_then(Weak::upgrade)
    }

    #[inline]
    pub(crate) fn message_id(&self, seq: u64) -> MessageId {
        MessageId { socket: self.id(), seq }
    }

    /// Accepts a message, and waits while the outbox is full. Delivery goes on in the background:
    /// at once if there is a connection, else when there is one.
    ///
    /// # Errors
    /// The message comes back in the [`SendError`]: [`Error::TooLarge`], [`Error::Finished`], or
    /// why the socket is over.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped before it is done, the message was not accepted.
    pub async fn send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        let mut message = message.into();
        let connection = self.connection();
        let sent = wait_with(connection, |cx, key| {
            connection.poll_send(cx, key, WakeMode::Task, &mut message)
        })
        .await;
        let seq = sent.map_err(|error| *error)?;
        Ok(self.message_id(seq))
    }

    /// [`send`](Self::send) for bytes that stay the caller's.
    ///
    /// On a [ring](crate::Builder::ring_bytes), the message is copied once, into the ring, and
    /// nothing is allocated. It is first copied to a buffer and then sent like any other:
    /// - if there is no ring, or it is longer than a quarter of what the ring uses;
    /// - while the ring is full, other messages wait in the outbox, or a reservation is open;
    /// - while the receiver's window is used up.
    ///
    /// # Errors
    /// As [`send`](Self::send), with nothing to hand back.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped before it is done, the message was not accepted.
    pub async fn send_copy(&self, message: &[u8]) -> Result<MessageId, Error> {
        let connection = self.connection();
        if let Some(seq) = connection.send_at_once(message) {
            return Ok(self.message_id(seq));
        }
        let place = |cx: &mut Context<'_>, key: &mut WaiterKey| {
            connection.poll_send_copy(cx, key, WakeMode::Task, message)
        };
        match wait_with(connection, place).await? {
            Some(seq) => Ok(self.message_id(seq)),
            None => Ok(self.send(Bytes::copy_from_slice(message)).await?),
        }
    }

    /// Accepts a message if the outbox has room.
    ///
    /// # Errors
    /// The message comes back in the [`SendError`]: [`Error::Full`] when there is no room now, else
    /// as [`send`](Self::send).
    pub fn try_send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        Ok(self.message_id(self.connection().try_send(message.into())?))
    }

    /// Accepts all messages of a [`Batch`], and waits while the outbox is full. `batch`
    /// is empty afterwards. Many small messages cost much less this way than each with a
    /// [`send`](Self::send) of its own.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Finished`], or why the socket is over. Messages that were not
    /// accepted are still in `batch`; those before them are accepted.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped before it is done, `batch` holds the messages that were not
    /// accepted.
    pub async fn send_many(&self, batch: &mut Batch) -> Result<(), Error> {
        let connection = self.connection();
        wait_with(connection, |cx, key| {
            connection.poll_send_many(cx, key, WakeMode::Task, &mut batch.packer)
        })
        .await
    }

    /// Reserves room for a message of up to `len` bytes.
    ///
    /// On a [ring](crate::Builder::ring_bytes), the message is written in the ring itself, and
    /// nothing copies it on this side. Elsewhere it is written to a buffer; [`Reservation`] lists
    /// the cases.
    ///
    /// The call waits while the outbox is full.
    ///
    /// # Errors
    /// As [`send`](Self::send), with nothing to hand back.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped before it is ready, nothing is reserved.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let channel = open_channel::Channel::builder("reserve").runtime_dir(dir.path().join("d"))
    /// #     .build(|socket| async move {
    /// #         while let Ok(Some(message)) = socket.recv().await {
    /// #             assert_eq!(message.into_bytes(), "3 + 4 = 7");
    /// #         }
    /// #     })?;
    /// let socket = channel.connect();
    /// let mut message = socket.reserve(64).await?;
    /// write!(message, "3 + 4 = {}", 3 + 4)?;
    /// message.commit()?;
    /// # socket.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn reserve(&self, len: usize) -> Result<Reservation, Error> {
        let connection = self.connection();
        let room =
            wait_with(connection, |cx, key| connection.poll_reserve(cx, key, WakeMode::Task, len))
                .await?;
        Ok(Reservation::new(connection, room))
    }

    /// The next message; `None` when the other side has ended its direction in an orderly way.
    ///
    /// # Errors
    /// Why the socket is over. On the peer's end a lost host is no error: `recv` goes on with the
    /// next host.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    pub async fn recv(&self) -> Result<Option<Message>, Error> {
        let connection = self.connection();
        wait_with(connection, |cx, key| Message::poll(connection, cx, key, WakeMode::Task)).await
    }

    /// Receives the next messages: waits for one, and takes those that have come with it and after
    /// it. Together they have up to 32 KiB, counting [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD)
    /// for each; a longer message comes alone. They need not have been sent together. `None` at the
    /// end, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    pub async fn recv_many(&self) -> Result<Option<Messages>, Error> {
        let connection = self.connection();
        let poll =
            |cx: &mut Context<'_>, key: &mut _| connection.poll_recv_many(cx, key, WakeMode::Task);
        let received = wait_with(connection, poll).await?;
        Ok(received.map(|received| Messages::new(connection, received)))
    }

    /// The next message, to be read piece by piece; on a ring, from where it lies. `None` at the
    /// end, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let channel = open_channel::Channel::builder("files")
    /// #     .runtime_dir(dir.path().join("d"))
    ///     .build(|socket| async move {
    ///         while let Ok(Some(mut message)) = socket.recv_reader().await {
    ///             let written = std::io::copy(&mut message, &mut std::io::sink());
    ///             assert_eq!(written.expect("nothing fails here"), 100_000);
    ///             message.ack();
    ///         }
    ///     })?;
    /// let socket = channel.connect();
    /// socket.send(vec![7; 100_000]).await?;
    /// socket.flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn recv_reader(&self) -> Result<Option<MessageReader>, Error> {
        let connection = self.connection();
        let poll = |cx: &mut Context<'_>, key: &mut _| {
            connection.poll_recv_in_place(cx, key, WakeMode::Task)
        };
        let received = wait_with(connection, poll).await?;
        Ok(received.map(|received| MessageReader::new(connection, received)))
    }

    /// The next message if it is here already; `None` at the end, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`TryRecvError::Empty`], or why the socket is over.
    pub fn try_recv(&self) -> Result<Option<Message>, TryRecvError> {
        match self.connection().try_recv() {
            None => Err(TryRecvError::Empty),
            Some(Err(error)) => Err(TryRecvError::Failed(error)),
            Some(Ok(received)) => Ok(received.map(|it| Message::new(self.connection(), it))),
        }
    }

    /// The next message of this side that is not delivered any more, oldest first. It has had as
    /// many attempts as [`Builder::max_attempts`](crate::Builder::max_attempts) allows, or its
    /// handler [rejected](crate::Message::reject) it, or a [`take_back`](Self::take_back) that was
    /// dropped has fetched it. Waits for one.
    ///
    /// Messages that nobody fetches are held up to [`outbox_bytes`](crate::Builder::outbox_bytes),
    /// counted like the outbox. Beyond that the oldest is dropped, with a line in the log.
    ///
    /// # Errors
    /// Why the socket is over, once everything that came back is fetched.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    pub async fn undeliverable(&self) -> Result<Undeliverable, Error> {
        Ok(Undeliverable::new(self.id(), self.connection().undeliverable().await?))
    }

    /// The next message that is not delivered any more, if there is one already.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`], or why the socket is over.
    pub fn try_undeliverable(&self) -> Result<Undeliverable, TryRecvError> {
        match self.connection().try_undeliverable() {
            Some(Ok(message)) => Ok(Undeliverable::new(self.id(), message)),
            Some(Err(error)) => Err(TryRecvError::Failed(error)),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Waits until everything sent so far is acknowledged, which means handled. A handler that
    /// hangs makes it wait for ever: set a limit, or wait for [`stalled`](Self::stalled) beside it.
    ///
    /// # Errors
    /// Why the socket is over before that. [`Error::Undeliverable`] when some messages came back
    /// instead.
    ///
    /// # Cancel safety
    /// Cancel safe: what was sent is still delivered, and `flush` may be called again.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let channel = open_channel::Channel::builder("limit").runtime_dir(dir.path().join("d"))
    /// #     .build(|socket| async move {
    /// #         while let Ok(Some(message)) = socket.recv().await { message.ack(); }
    /// #     })?;
    /// let socket = channel.connect();
    /// socket.send("work").await?;
    /// match tokio::time::timeout(Duration::from_secs(60), socket.flush()).await {
    ///     Ok(flushed) => flushed?,
    ///     Err(_) => println!("not handled yet: {:?}", socket.stats().oldest_unacknowledged),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        acknowledged(self.connection(), self.connection().request_ack()).await
    }

    /// Resolves when the socket is stalled, at once if it is: nothing that it sent was acknowledged
    /// for [`stall_after`](crate::Builder::stall_after). Nothing else happens; the socket goes on.
    ///
    /// # Errors
    /// Why the socket is over.
    ///
    /// # Cancel safety
    /// Cancel safe: a stall lasts until a message is acknowledged, and the next call finds it, too.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let channel = open_channel::Channel::builder("stall").runtime_dir(dir.path().join("d"))
    /// #     .build(|socket| async move {
    /// #         while let Ok(Some(message)) = socket.recv().await { message.ack(); }
    /// #     })?;
    /// let socket = channel.connect();
    /// socket.send("work").await?;
    /// tokio::select! {
    ///     flushed = socket.flush() => flushed?,
    ///     stall = socket.stalled() => println!("the handler hangs: {:?}", stall?),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stalled(&self) -> Result<Stall, Error> {
        self.connection().stalled().await
    }

    /// Ends this side's direction: the other side gets what was sent, then the end, and may still
    /// answer.
    ///
    /// # Errors
    /// Why the socket is over already.
    pub fn finish(&self) -> Result<(), Error> {
        self.connection().finish()
    }

    /// Flushes, then closes both directions.
    ///
    /// # Errors
    /// Why not everything was acknowledged; the socket is closed in any case.
    ///
    /// # Cancel safety
    /// When dropped before it is done, the socket stays open. Dropping the socket itself goes on
    /// with flushing and closing in the background.
    pub async fn close(&self) -> Result<(), Error> {
        let flushed = self.flush().await;
        end(self.connection());
        flushed
    }

    /// Closes both directions at once. Messages that were not acknowledged are given up.
    pub fn destroy(&self) {
        self.connection().reset(ResetCode::Destroyed, "destroyed");
    }

    /// The socket's stable identity, the same on both ends and with every host.
    pub fn id(&self) -> SocketId {
        self.connection().id()
    }

    /// The process on the other side. On the peer's end `None` while there is no connection.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.inner.peer.clone().or_else(|| self.connection().peer())
    }

    /// Whether there is a connection right now.
    pub fn connected(&self) -> bool {
        self.connection().is_connected()
    }

    /// Generation of the host that the socket is or was last connected to; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.connection().generation()
    }

    /// The kind of link that carries the socket now; `None` while there is no connection. The next
    /// host may be reached by another kind.
    pub fn link(&self) -> Option<LinkKind> {
        self.connection().link_kind()
    }

    /// Longest message that may be sent, in bytes: the smaller of both sides' limits, once the
    /// other side's is known.
    pub fn max_message(&self) -> usize {
        self.connection().max_message()
    }

    /// Statistics of the socket. Takes its lock for a moment.
    pub fn stats(&self) -> SocketStats {
        self.connection().stats()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        for key in [&mut self.recv_key, &mut self.send_key] {
            self.inner.connection.leave(key);
        }
    }
}
