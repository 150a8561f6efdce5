//! The same channel for threads instead of tasks: no runtime needed, every call may block.
//!
//! The listener runs on a thread of its own for each socket. Callers read and write the link themselves; no other
//! thread is crossed.
//!
//! ```
//! use open_channel::blocking::Channel;
//! # fn main() -> Result<(), open_channel::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let builder = open_channel::Channel::builder("shout").runtime_dir(dir.path().join("d"));
//! # if false {
//! let channel = Channel::new("shout", |socket| {
//!     while let Ok(Some(message)) = socket.recv() {
//!         let _ = socket.send(message.to_ascii_uppercase());
//!         message.ack();
//!     }
//! })?;
//! # }
//! # let channel = Channel::build(builder, |socket| {
//! #     while let Ok(Some(message)) = socket.recv() { let _ = socket.send(message.to_ascii_uppercase()); message.ack() }
//! # })?;
//! let socket = channel.connect();
//! socket.send("hello")?;
//! assert_eq!(socket.recv()?.unwrap().into_bytes(), "HELLO");
//! # Ok(()) }
//! ```

use std::cell::OnceCell;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use open_channel_ring::ProcessLocal;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::batch::{Batch, Messages};
use crate::builder::Builder;
use crate::channel;
use crate::connect::ConnectOptions;
use crate::connection::{Begun, Connection, WakeMode};
use crate::error::{Error, SendError, TryRecvError};
use crate::event::{Events, Role, Stall, State};
use crate::link::{LinkKind, PeerInfo};
use crate::message::{Message, MessageId, SocketId};
use crate::reader::MessageReader;
use crate::rendezvous::Scope;
use crate::reservation::Reservation;
use crate::socket;
use crate::stats::{ChannelStats, SocketStats};
use crate::undeliverable::Undeliverable;
use crate::waiters::Seat;

mod halves;
mod stream;

pub use halves::{RecvHalf, SendHalf};
pub use stream::ByteStream;

/// [`open_channel::Channel`](crate::Channel) for threads.
#[derive(Debug, Clone)]
pub struct Channel {
    channel: channel::Channel,
}

impl Channel {
    /// As [`open_channel::Channel::new`](crate::Channel::new), with a listener that runs on its own thread for each
    /// socket; a listener that panics takes down its own connection only. While no thread can be started, new sockets of
    /// peers are put off, which try again until their connect timeout.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::InvalidSetting`] for the environment's scope, or the background thread could
    /// not be started.
    pub fn new<F>(name: impl Into<String>, listener: F) -> Result<Self, Error>
    where
        F: Fn(Socket) + Send + Sync + 'static,
    {
        Self::build(channel::Channel::builder(name), listener)
    }

    /// A channel with settings other than the defaults.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidSetting`].
    pub fn build<F>(builder: Builder, listener: F) -> Result<Self, Error>
    where
        F: Fn(Socket) + Send + Sync + 'static,
    {
        let listener = Arc::new(move |socket| listener(Socket { socket }));
        Ok(Self { channel: builder.build_threaded(listener)? })
    }

    /// As [`open_channel::Channel::peer`](crate::Channel::peer).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn peer(name: impl Into<String>) -> Result<Self, Error> {
        Ok(channel::Channel::peer(name)?.into())
    }

    /// As [`open_channel::Channel::connect`](crate::Channel::connect): does not block.
    pub fn connect(&self) -> Socket {
        Socket { socket: self.channel.connect() }
    }

    /// As [`open_channel::Channel::connect_within`](crate::Channel::connect_within): does not block.
    pub fn connect_within(&self, timeout: Duration) -> Socket {
        Socket { socket: self.channel.connect_within(timeout) }
    }

    /// As [`open_channel::Channel::connect_with`](crate::Channel::connect_with): does not block.
    pub fn connect_with(&self, options: ConnectOptions) -> Socket {
        Socket { socket: self.channel.connect_with(options) }
    }

    /// As [`open_channel::Channel::join`](crate::Channel::join).
    ///
    /// # Errors
    /// As there.
    pub fn join(&self) -> Result<Role, Error> {
        block_on(self.channel.join())
    }

    /// As [`open_channel::Channel::directory`](crate::Channel::directory).
    pub fn directory(&self) -> PathBuf {
        self.channel.directory()
    }

    /// As [`open_channel::Channel::name`](crate::Channel::name).
    pub fn name(&self) -> &str {
        self.channel.name()
    }

    /// As [`open_channel::Channel::scope`](crate::Channel::scope).
    pub fn scope(&self) -> &Scope {
        self.channel.scope()
    }

    /// As [`open_channel::Channel::key`](crate::Channel::key).
    pub fn key(&self) -> String {
        self.channel.key()
    }

    /// As [`open_channel::Channel::state`](crate::Channel::state).
    pub fn state(&self) -> State {
        self.channel.state()
    }

    /// As [`open_channel::Channel::connected`](crate::Channel::connected).
    pub fn connected(&self) -> bool {
        self.channel.connected()
    }

    /// As [`open_channel::Channel::role`](crate::Channel::role).
    pub fn role(&self) -> Role {
        self.channel.role()
    }

    /// As [`open_channel::Channel::generation`](crate::Channel::generation).
    pub fn generation(&self) -> u64 {
        self.channel.generation()
    }

    /// As [`open_channel::Channel::events`](crate::Channel::events); use
    /// [`blocking_recv`](Events::blocking_recv).
    pub fn events(&self) -> Events {
        self.channel.events()
    }

    /// As [`open_channel::Channel::stats`](crate::Channel::stats).
    pub fn stats(&self) -> ChannelStats {
        self.channel.stats()
    }

    /// As [`open_channel::Channel::close`](crate::Channel::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), Error> {
        block_on(self.channel.close())
    }
}

impl From<channel::Channel> for Channel {
    fn from(channel: channel::Channel) -> Self {
        Self { channel }
    }
}

/// [`open_channel::Socket`](crate::Socket) for threads; all methods take `&self`.
#[derive(Debug)]
pub struct Socket {
    socket: socket::Socket,
}

impl Socket {
    fn connection(&self) -> &Arc<Connection> {
        self.socket.connection()
    }

    /// As [`open_channel::Socket::send`](crate::Socket::send): blocks while the outbox is full.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&self, message: impl Into<Bytes>) -> Result<MessageId, SendError> {
        let sent = self.send_bytes(&mut message.into());
        self.connection().sent(sent)
    }

    fn send_bytes(&self, message: &mut Bytes) -> Result<u64, Box<SendError>> {
        let connection = self.connection();
        wait(connection, None, |cx, seat| connection.poll_send(cx, seat, WakeMode::Thread, message))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::send_copy`](crate::Socket::send_copy): blocks while the outbox or the link is full.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_copy(&self, message: &[u8]) -> Result<MessageId, Error> {
        let connection = self.connection();
        if let Some(id) = connection.send_at_once(message) {
            return Ok(id);
        }
        let placed =
            wait(connection, None, |cx, seat| connection.poll_send_copy(cx, seat, WakeMode::Thread, message))
                .unwrap_or_else(|| unreachable!("waits without a limit"))?;
        match placed {
            Some(id) => Ok(id),
            None => Ok(self.send(Bytes::copy_from_slice(message))?),
        }
    }

    /// As [`open_channel::Socket::send_many`](crate::Socket::send_many): blocks while the outbox or the link is full.
    ///
    /// # Errors
    /// As there.
    pub fn send_many(&self, batch: &mut Batch) -> Result<(), Error> {
        let connection = self.connection();
        wait(connection, None, |cx, seat| {
            connection.poll_send_many(cx, seat, WakeMode::Thread, &mut batch.packer)
        })
        .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::reserve`](crate::Socket::reserve): blocks while there is no room.
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&self, len: usize) -> Result<Reservation, Error> {
        let connection = self.connection();
        wait(connection, None, |cx, seat| connection.poll_reserve(cx, seat, WakeMode::Thread, len))
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

    /// As [`open_channel::Socket::recv`](crate::Socket::recv): blocks until there is a message or the end.
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
        wait(connection, deadline, |cx, seat| connection.poll_recv(cx, seat, WakeMode::Thread))
    }

    /// As [`open_channel::Socket::recv_reader`](crate::Socket::recv_reader): blocks until there is a message or the end.
    ///
    /// # Errors
    /// As there.
    pub fn recv_reader(&self) -> Result<Option<MessageReader>, Error> {
        let connection = self.connection();
        wait(connection, None, |cx, seat| connection.poll_recv_reader(cx, seat, WakeMode::Thread))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::recv_many`](crate::Socket::recv_many): blocks until there is a message or the end.
    ///
    /// # Errors
    /// As there.
    pub fn recv_many(&self) -> Result<Option<Messages>, Error> {
        let connection = self.connection();
        wait(connection, None, |cx, seat| connection.poll_recv_many(cx, seat, WakeMode::Thread))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// As [`open_channel::Socket::try_recv`](crate::Socket::try_recv).
    ///
    /// # Errors
    /// As there.
    pub fn try_recv(&self) -> Result<Option<Message>, TryRecvError> {
        self.socket.try_recv()
    }

    /// As [`open_channel::Socket::undeliverable`](crate::Socket::undeliverable): blocks until there is one.
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
        match connection.begin_taking_back(id)? {
            Begun::Answered(answer) => Ok(answer),
            Begun::Asked => wait(connection, None, |cx, seat| {
                connection.poll_taken_back(cx, seat, WakeMode::Thread, id.seq)
            })
            .unwrap_or_else(|| unreachable!("waits without a limit")),
        }
    }

    /// As [`open_channel::Socket::flush`](crate::Socket::flush).
    ///
    /// # Errors
    /// As there.
    pub fn flush(&self) -> Result<(), Error> {
        let connection = self.connection();
        let end = connection.request_ack();
        wait(connection, None, |cx, seat| connection.poll_acknowledged(cx, seat, WakeMode::Thread, end))
            .unwrap_or_else(|| unreachable!("waits without a limit"))
    }

    /// [`flush`](Self::flush) for a limited time, and perhaps a millisecond more. What was sent is still delivered afterwards.
    ///
    /// # Errors
    /// [`Error::FlushTimeout`] when not everything is acknowledged within `timeout`, else as [`flush`](Self::flush).
    pub fn flush_timeout(&self, timeout: Duration) -> Result<(), Error> {
        let connection = self.connection();
        let end = connection.request_ack();
        let deadline = Instant::now().checked_add(timeout);
        wait(connection, deadline, |cx, seat| connection.poll_acknowledged(cx, seat, WakeMode::Thread, end))
            .unwrap_or_else(|| {
                Err(Error::FlushTimeout { messages: connection.unacknowledged(), after: timeout })
            })
    }

    /// As [`open_channel::Socket::stalled`](crate::Socket::stalled): blocks until the socket is stalled.
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

/// Polls until ready, or `None` at the deadline; in between sleeps in poll(2) on the link and on what wakes this thread.
fn wait<T>(
    connection: &Connection,
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>, &mut Seat) -> Poll<T>,
) -> Option<T> {
    POLL_WAKER.with(|poll_waker| {
        let poll_waker = poll_waker.of_this_process();
        let mut seat = Seat::default();
        loop {
            // Anew each time: there may be descriptors for it now.
            let mut cx = Context::from_waker(poll_waker.waker());
            if let Poll::Ready(value) = poll(&mut cx, &mut seat) {
                return Some(value);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                connection.leave(&mut seat);
                return None;
            }
            poll_waker.sleep(connection, deadline);
        }
    })
}

/// Runs a future that needs no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

thread_local! {
    static POLL_WAKER: PollWaker = const { PollWaker { ends: OnceCell::new(), in_child: OnceCell::new() } };
}

/// Wakes one thread out of poll(2).
#[derive(Debug, Default)]
struct PollWaker {
    ends: OnceCell<ProcessLocal<(UnixStream, Waker)>>,
    /// A forked child that listened at its parent's would take its wake-ups.
    in_child: OnceCell<Box<PollWaker>>,
}

/// The end that others write to.
#[derive(Debug)]
struct WakeSender(UnixStream);

impl Wake for WakeSender {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If the socket is full, the thread wakes up anyway.
        let _ = (&self.0).write(&[1]);
    }
}

impl PollWaker {
    fn of_this_process(&self) -> &Self {
        match self.ends.get() {
            Some(ends) if ends.is_inherited() => self.in_child.get_or_init(Box::default).of_this_process(),
            _ => self,
        }
    }

    fn ends(&self) -> Option<&(UnixStream, Waker)> {
        if self.ends.get().is_none() {
            let pair = UnixStream::pair().and_then(|(receiver, sender)| {
                receiver.set_nonblocking(true)?;
                sender.set_nonblocking(true)?;
                Ok((receiver, sender))
            });
            // Out of descriptors: this round sleeps without one, in short naps.
            if let Ok((receiver, sender)) = pair {
                let _ = self.ends.set(ProcessLocal::new((receiver, Arc::new(WakeSender(sender)).into())));
            }
        }
        self.made()
    }

    fn made(&self) -> Option<&(UnixStream, Waker)> {
        self.ends.get()?.get()
    }

    fn waker(&self) -> &Waker {
        self.ends().map_or(Waker::noop(), |(_, sender)| sender)
    }

    fn sleep(&self, connection: &Connection, deadline: Option<Instant>) {
        const NAP: Duration = Duration::from_millis(10);
        // None that is made only now: others have a waker that does not write to it.
        let pair = self.made();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = if pair.is_none() { Some(left.unwrap_or(NAP).min(NAP)) } else { left };
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let link = connection.link();
        let interest =
            if connection.waits_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
        fds.extend(pair.map(|(receiver, _)| PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)));
        fds.extend(link.iter().map(|link| PollFd::from_borrowed_fd(link.as_fd(), interest)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(NAP),
        }
        // It comes first of those polled. A byte that comes from here on ends the next sleep.
        if let Some((receiver, _)) = pair.filter(|_| fds[0].revents().contains(PollFlags::IN)) {
            let (mut receiver, mut bytes) = (receiver, [0; 64]);
            while matches!(receiver.read(&mut bytes), Ok(64)) {}
        }
    }
}
