//! One session on one link at a time, driven by whoever calls.
//!
//! `send`, `recv` and `flush` run the session and the link right in the caller, behind one short lock; no task is
//! crossed. While a caller waits it watches the link itself, on its own runtime or thread. Only when nobody
//! watches does the connection's [attendant](crate::attendant) on the background thread step in, after a moment
//! of grace, so that acknowledgements and heartbeats never depend on what the application does.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, Closed, Features, Frame, HEADER_LEN, Hello, Incoming, MAX_BODY, Refused,
    ResetCode, Session, SocketId, TransmitBuffer, Welcome, decode,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::attendant::{self, Attendance};
use crate::election::Fence;
use crate::error::{Error, SendError};
use crate::link::{self, Link, LinkKind, PeerInfo};
use crate::message::{Message, MessageId};
use crate::waiters::{Interest, Seat, Waiters};

/// With fewer unacknowledged messages than this, each is written at once; with more, the other side is busy
/// anyway and small messages are written together.
const WRITE_AT_ONCE: usize = 32;

/// Unwritten bytes that are worth a system call of their own.
const WORTH_WRITING: usize = 32 * 1024;

/// The longest frame. Larger reads were measured to be slower: the bytes leave the near caches before they are copied.
const READ_BUFFER: usize = HEADER_LEN + MAX_BODY;

/// Slices per vectored write: the most that one `TransmitBuffer` usefully has.
const SLICES: usize = 16;

thread_local! {
    /// Bytes rest in a connection only while they are part of a frame, so that idle connections hold none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

#[derive(Debug)]
pub(crate) struct Connection {
    inner: Mutex<Inner>,
    /// Shared with `inner`, for those who come without the lock.
    waiters: Arc<Waiters>,
    /// The link was lost or the session is over: calls the owner on the background thread.
    pub(crate) changed: Notify,
    background: Handle,
    id: SocketId,
}

#[derive(Debug)]
pub(crate) struct Inner {
    session: Session,
    link: Option<Arc<Link>>,
    /// The link as the calling application's runtime sees it.
    reactor: Option<Reactor>,
    waiters: Arc<Waiters>,
    partial: Vec<u8>,
    /// The last read of a caller with eyes of its own took all there was.
    drained: bool,
    out: TransmitBuffer,
    /// Links that the session has had.
    links: u64,
    write_blocked: bool,
    /// The watching attendant knows of it.
    writes_watched: bool,
    /// A message was sent since the last wait: the acknowledgements can travel with the next one.
    replied: bool,
    attendance: Attendance,
    /// Calls that may wait, since the attendant's last look.
    calls: u64,
    fence: Option<Arc<Fence>>,
    /// Messages that the application holds.
    held: usize,
    ended: bool,
    /// Whatever the handler does to its socket now, the peer goes on with the next host.
    handing_over: bool,
    failed: Option<Error>,
    woken: Vec<Waker>,
}

#[derive(Debug)]
struct Reactor {
    fd: AsyncFd<Arc<Link>>,
    runtime: tokio::runtime::Id,
}

/// How a waiting call learns that the link is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eyes {
    /// Through the tokio runtime that polls it, if it is one.
    Task,
    /// By itself, level-triggered: a thread in poll(2), another event loop.
    Own,
    /// Not at all: it is only woken.
    None,
}

/// Life.
impl Connection {
    pub(crate) fn new(session: Session, fence: Option<Arc<Fence>>, background: Handle) -> Arc<Self> {
        let id = session.id();
        let waiters = Arc::new(Waiters::default());
        let inner = Inner {
            session,
            link: None,
            reactor: None,
            waiters: Arc::clone(&waiters),
            partial: Vec::new(),
            drained: false,
            out: TransmitBuffer::default(),
            links: 0,
            write_blocked: false,
            writes_watched: false,
            replied: false,
            attendance: Attendance::Dormant,
            calls: 0,
            fence,
            held: 0,
            ended: false,
            handing_over: false,
            failed: None,
            woken: Vec::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner), waiters, changed: Notify::new(), background, id })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the attendant is called.
    pub(crate) async fn called(&self) {
        self.waiters.attendant_called().await;
    }

    /// Runs `act` on the locked connection, then sees to those that have to know.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let had_link = inner.link.is_some();
        let result = act(&mut inner);
        inner.drop_finished_link();
        let lost = had_link && inner.link.is_none();
        let attend = inner.needs_attendant();
        let woken = std::mem::take(&mut inner.woken);
        drop(inner);
        if attend || lost {
            self.waiters.call_attendant();
        }
        if lost {
            self.changed.notify_one();
        }
        woken.into_iter().for_each(Waker::wake);
        result
    }

    pub(crate) fn hello(&self, channel: ChannelKey) -> Hello {
        self.lock().session.hello(channel, Features::default())
    }

    /// The peer's side goes on with a link that the host has welcomed.
    pub(crate) fn attach(self: &Arc<Self>, link: Link, welcome: &Welcome) -> Result<Attachment, Error> {
        let attached = self.with(|inner| {
            let attachment =
                inner.session.attach(welcome).map_err(|error| Error::Protocol(error.to_string()))?;
            inner.take_link(link);
            Ok(attachment)
        });
        self.attend();
        attached
    }

    /// The host's side of a new session goes on with its link.
    pub(crate) fn begin(self: &Arc<Self>, link: Link) {
        self.with(|inner| inner.take_link(link));
        self.attend();
    }

    /// The host's side goes on with a new link of its peer; returns what to answer before anything is sent.
    pub(crate) fn resume(self: &Arc<Self>, hello: &Hello, version: u16) -> Result<Welcome, Error> {
        self.with(|inner| {
            inner.lose_link();
            inner.session.resume(hello, version).map_err(|error| Error::Protocol(error.to_string()))
        })
    }

    fn attend(self: &Arc<Self>) {
        if let Some(link) = self.lock().link.clone() {
            self.background.spawn(attendant::attend(Arc::clone(self), link));
        }
    }

    /// The link leads nowhere any more: takes what has arrived, then lets go of it.
    pub(crate) fn abandon_link(&self) {
        self.with(Inner::drain_and_lose);
    }

    /// Ends it for this side with `error`.
    pub(crate) fn fail(&self, error: Error) {
        self.with(|inner| {
            inner.failed.get_or_insert(error);
            inner.lose_link();
            inner.wake_all();
        });
    }

    /// The application gets no more messages, while it may go on answering those it has.
    pub(crate) fn stop_delivery(&self) {
        self.with(|inner| {
            inner.handing_over = true;
            inner.wake_all();
        });
    }

    /// The last word of a host that hands over.
    pub(crate) fn say_go_away(&self) {
        self.with(|inner| {
            inner.write_all();
            if inner.out.is_empty() {
                Frame::GoAway.encode(&mut inner.out);
                inner.write();
            }
            inner.failed.get_or_insert(Error::HandedOver);
            inner.lose_link();
            inner.wake_all();
        });
    }

    /// Ends it for both sides; what was not acknowledged is given up.
    pub(crate) fn reset(&self, code: ResetCode, reason: &str) {
        self.with(|inner| {
            if inner.session.closed().is_some() {
                // Whatever the other side said before, this side has closed it now.
                inner.failed.get_or_insert(Error::Closed);
            } else if !inner.handing_over {
                inner.session.reset(code, reason);
                inner.write();
                inner.wake_all();
            }
        });
        self.changed.notify_one();
    }
}

/// The application's calls.
impl Connection {
    pub(crate) fn try_send(&self, payload: Bytes) -> Result<MessageId, SendError> {
        self.with(|inner| match inner.send(payload) {
            Ok(seq) => Ok(MessageId { socket: self.id, seq }),
            Err(refused) => Err(inner.send_error(refused)),
        })
    }

    /// Accepts a message even when the outbox is full, for callers that have waited for some room.
    pub(crate) fn send_over(&self, payload: Bytes) -> Result<MessageId, Error> {
        self.with(|inner| match inner.send_over(payload) {
            Ok(seq) => Ok(MessageId { socket: self.id, seq }),
            Err(refused) => Err(inner.send_error(refused).error),
        })
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        payload: &mut Bytes,
    ) -> Poll<Result<MessageId, SendError>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| match inner.send(std::mem::take(payload)) {
            Ok(seq) => Some(Ok(MessageId { socket: self.id, seq })),
            Err(Refused::Full(back)) if inner.over().is_none() => {
                *payload = back;
                None
            }
            Err(refused) => Some(Err(inner.send_error(refused))),
        })
    }

    /// Room for a message of `len` bytes.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        len: usize,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| match inner.over() {
            Some(error) => Some(Err(error)),
            None if inner.session.has_room(len) => Some(Ok(())),
            None => {
                inner.session.request_ack();
                None
            }
        })
    }

    pub(crate) fn try_recv(self: &Arc<Self>) -> Option<Result<Option<Message>, Error>> {
        self.with(|inner| {
            if !inner.session.is_readable() {
                inner.read_all();
            }
            inner.recv(self)
        })
    }

    pub(crate) fn poll_recv(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.poll(cx, seat, eyes, Interest::Recv, |inner| inner.recv(self))
    }

    /// Everything before sequence number `end` is acknowledged.
    pub(crate) fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        end: u64,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| {
            if inner.session.first_unacknowledged() >= end || inner.session.holds_no_message() {
                return Some(Ok(()));
            }
            inner.over().map(Err)
        })
    }

    /// Everything sent so far is on the link, so that the other side gets it before a reset.
    pub(crate) fn poll_transmitted(&self, cx: &mut Context<'_>, seat: &mut Seat) -> Poll<Result<(), Error>> {
        self.poll(cx, seat, Eyes::Task, Interest::Acks, |inner| {
            inner.write();
            let first = inner.session.first_unacknowledged();
            if first + inner.session.messages_in_flight() as u64 == inner.session.next_seq()
                && inner.out.is_empty()
            {
                return Some(Ok(()));
            }
            inner.over().map(Err)
        })
    }

    /// Asks for prompt acknowledgement of all that was sent, and tells where that ends.
    pub(crate) fn request_ack(&self) -> u64 {
        self.with(|inner| {
            inner.session.request_ack();
            inner.session.next_seq()
        })
    }

    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.with(|inner| {
            if let Some(error) = inner.over() {
                return Err(error);
            }
            if inner.handing_over {
                return Err(Error::HandedOver);
            }
            inner.session.finish();
            inner.write();
            Ok(())
        })
    }

    /// The application has handled message `seq`.
    pub(crate) fn handled(&self, seq: u64) {
        self.with(|inner| {
            inner.held -= 1;
            inner.session.handled(seq);
            // Somebody waits for the next message: this acknowledgement has nothing to travel with.
            if inner.waiters.are_watching() && !inner.replied {
                inner.write_all();
            } else if inner.session.ack_urgent() {
                inner.write();
            }
        });
    }

    /// A message was dropped while its handler panicked: it stays unhandled.
    pub(crate) fn not_handled(&self) {
        self.with(|inner| inner.held -= 1);
    }

    /// The waiting call is over.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        if !seat.is_empty() {
            self.with(|inner| inner.waiters.leave(seat));
        }
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        interest: Interest,
        mut ready: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Poll<T> {
        self.with(|inner| {
            inner.calls += 1;
            loop {
                if let Some(value) = ready(inner) {
                    inner.waiters.leave(seat);
                    return Poll::Ready(value);
                }
                let had_link = inner.link.is_some();
                inner.write_before_waiting(interest);
                if had_link && inner.link.is_none() {
                    // The write found it dead, and what had arrived on it was taken in.
                    continue;
                }
                let watching = inner.open_eyes(eyes);
                // Registered before looking, so that nothing that happens in between is missed.
                inner.waiters.enter(seat, interest, watching, cx.waker());
                if !inner.look(eyes) {
                    return Poll::Pending;
                }
            }
        })
    }
}

/// Questions.
impl Connection {
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.lock().link.is_some()
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.lock().link.clone()
    }

    pub(crate) fn links(&self) -> u64 {
        self.lock().links
    }

    pub(crate) fn link_kind(&self) -> Option<LinkKind> {
        self.lock().link.as_ref().map(|link| link.kind())
    }

    pub(crate) fn peer(&self) -> Option<PeerInfo> {
        self.lock().link.as_ref().map(|link| link.peer())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().session.generation()
    }

    pub(crate) fn max_message(&self) -> usize {
        self.lock().session.max_message()
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.lock().write_blocked
    }

    /// Nothing more will happen on it.
    pub(crate) fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.failed.is_some() || inner.session.closed().is_some() && inner.link.is_none()
    }

    /// Its peer goes on with the next host.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.lock().handing_over
    }

    /// Nothing that could be lost needs a new link: no message waits, and the application has ended its direction.
    pub(crate) fn needs_no_link(&self) -> bool {
        let inner = self.lock();
        inner.session.is_finished() && inner.session.holds_no_message()
    }

    /// Every message that the application took is handled and all its replies are acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.failed.is_some()
            || inner.session.closed().is_some()
            || inner.held == 0 && inner.session.is_flushed()
    }
}

/// The session behind the lock.
impl Inner {
    fn send(&mut self, payload: Bytes) -> Result<u64, Refused> {
        if self.failed.is_some() {
            return Err(Refused::Closed(payload));
        }
        let seq = self.session.send(payload)?;
        self.sent();
        Ok(seq)
    }

    fn send_over(&mut self, payload: Bytes) -> Result<u64, Refused> {
        if self.failed.is_some() {
            return Err(Refused::Closed(payload));
        }
        let seq = self.session.send_over(payload)?;
        self.sent();
        Ok(seq)
    }

    /// Writes now or leaves it to be written together with what follows.
    fn sent(&mut self) {
        let unwritten = self.session.outbox_bytes().saturating_sub(self.session.bytes_in_flight());
        if self.session.messages_in_flight() < WRITE_AT_ONCE || unwritten >= WORTH_WRITING {
            self.write();
            self.replied = true;
        }
    }

    fn send_error(&self, refused: Refused) -> SendError {
        match refused {
            Refused::Full(message) => SendError { error: self.over().unwrap_or(Error::Full), message },
            Refused::TooLarge(message) => {
                let error = Error::TooLarge { len: message.len(), max: self.session.max_message() };
                SendError { error, message }
            }
            Refused::Closed(message) => SendError { error: self.over().unwrap_or(Error::Finished), message },
        }
    }

    /// Why nothing can be sent or acknowledged any more.
    fn over(&self) -> Option<Error> {
        if let Some(error) = &self.failed {
            return Some(error.clone());
        }
        match self.session.closed()? {
            Closed::Finished | Closed::Locally => Some(Error::Closed),
            Closed::Remotely { code, reason } => Some(Error::Reset { code: *code, reason: reason.clone() }),
        }
    }

    fn recv(&mut self, connection: &Arc<Connection>) -> Option<Result<Option<Message>, Error>> {
        if self.handing_over && !self.ended {
            return Some(Err(Error::HandedOver));
        }
        if self.fence.as_ref().is_some_and(|fence| !fence.holds()) {
            self.failed.get_or_insert(Error::Fenced);
            self.lose_link();
        } else {
            match self.session.recv() {
                Some(Incoming::Message { seq, payload, redelivered }) => {
                    self.held += 1;
                    return Some(Ok(Some(Message::new(Arc::clone(connection), seq, payload, redelivered))));
                }
                Some(Incoming::End { seq }) => {
                    self.ended = true;
                    self.session.handled(seq);
                    self.write();
                }
                None => {}
            }
        }
        if self.ended { Some(Ok(None)) } else { self.over().map(Err) }
    }

    fn wake_all(&mut self) {
        self.waiters.collect_all(&mut self.woken);
    }
}

/// The link behind the lock.
impl Inner {
    fn take_link(&mut self, link: Link) {
        self.link = Some(Arc::new(link));
        self.links += 1;
        self.drained = false;
        self.attendance = Attendance::Armed;
        self.write_blocked = false;
        self.write();
        self.wake_all();
    }

    pub(crate) fn is_on(&self, link: &Arc<Link>) -> bool {
        self.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link))
    }

    /// A session that is over needs its link only for its last words.
    fn drop_finished_link(&mut self) {
        if self.session.closed().is_some() && self.out.is_empty() && self.link.is_some() {
            self.lose_link();
        }
    }

    pub(crate) fn lose_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.shutdown();
            self.session.detach();
            self.reactor = None;
            self.partial = Vec::new();
            self.out.clear();
            self.write_blocked = false;
            self.wake_all();
        }
    }

    /// What the other side managed to send before it went is not lost.
    fn drain_and_lose(&mut self) {
        self.read_all();
        self.lose_link();
    }

    pub(crate) fn read_all(&mut self) {
        while self.read() == Read::More {}
    }

    /// Reads once and feeds the session.
    pub(crate) fn read(&mut self) -> Read {
        let Some(link) = self.link.clone() else { return Read::Nothing };
        let before = self.session.first_unacknowledged();
        let result = BUFFER.with_borrow_mut(|buffer| self.read_into(&link, buffer));
        if self.session.first_unacknowledged() > before {
            self.waiters.collect(Interest::Acks, &mut self.woken);
        }
        if self.session.is_readable() {
            self.waiters.collect(Interest::Recv, &mut self.woken);
        }
        match result {
            Ok(_) if self.session.closed().is_some() => {
                self.wake_all();
                Read::Last
            }
            Ok(_) if self.session.is_going_away() => {
                self.lose_link();
                Read::Last
            }
            Ok(read) => read,
            Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(Trouble::Io(_)) => {
                self.lose_link();
                Read::Last
            }
            Err(Trouble::Protocol(problem)) => {
                tracing::warn!(socket = %self.session.id(), %problem, "the other side broke the protocol");
                self.session.reset(ResetCode::Protocol, &*problem);
                self.failed.get_or_insert(Error::Protocol(problem));
                self.write();
                self.lose_link();
                Read::Last
            }
        }
    }

    fn read_into(&mut self, link: &Link, buffer: &mut [u8]) -> Result<Read, Trouble> {
        let held = self.partial.len();
        buffer[..held].copy_from_slice(&self.partial);
        let read = link.read(&mut buffer[held..]).map_err(Trouble::Io)?;
        if read == 0 {
            return Err(Trouble::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let filled = held + read == buffer.len();
        let mut rest = &buffer[..held + read];
        while let Some((frame, len)) =
            decode(rest, MAX_BODY).map_err(|error| Trouble::Protocol(error.to_string()))?
        {
            self.session.handle(frame).map_err(|error| Trouble::Protocol(error.to_string()))?;
            rest = &rest[len..];
        }
        self.partial.clear();
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        Ok(if filled { Read::More } else { Read::Last })
    }

    /// Writes all that the session has, as far as the link takes it. Once it has taken no more, somebody
    /// watches for room and calls [`writable`](Self::writable).
    pub(crate) fn write(&mut self) {
        if self.write_blocked {
            return;
        }
        let Some(link) = &self.link else { return };
        let written = loop {
            self.session.transmit(&mut self.out);
            if self.out.is_empty() {
                return;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.out.slices(&mut slices);
            match link.write(&slices[..used]) {
                Ok(written) => self.out.advance(written),
                Err(error) => break error,
            }
        };
        if written.kind() == io::ErrorKind::WouldBlock {
            self.write_blocked = true;
        } else {
            self.drain_and_lose();
        }
    }

    /// There may be room again.
    pub(crate) fn writable(&mut self) {
        self.write_blocked = false;
        self.write();
    }

    /// Writes everything, pending acknowledgements included.
    pub(crate) fn write_all(&mut self) {
        if !self.write_blocked {
            self.session.transmit_ack(&mut self.out);
            self.write();
        }
    }

    fn write_before_waiting(&mut self, interest: Interest) {
        let replied = std::mem::take(&mut self.replied);
        if interest == Interest::Recv && !replied {
            self.write_all();
        } else {
            self.write();
        }
    }

    /// Makes sure that a waiting call sees the link by itself, if it can.
    fn open_eyes(&mut self, eyes: Eyes) -> bool {
        let Some(link) = &self.link else { return false };
        match eyes {
            Eyes::Own => return true,
            Eyes::None => return false,
            Eyes::Task => {}
        }
        let Ok(runtime) = Handle::try_current() else { return false };
        if self.reactor.as_ref().is_some_and(|reactor| reactor.runtime == runtime.id()) {
            return true;
        }
        // Those who wait on the other runtime are the attendant's from here on.
        self.reactor = None;
        self.waiters.stop_watching();
        if let Ok(fd) = link::watch(Arc::clone(link)) {
            self.reactor = Some(Reactor { fd, runtime: runtime.id() });
        }
        self.reactor.is_some()
    }

    /// Looks at the link; `true` when something happened.
    fn look(&mut self, eyes: Eyes) -> bool {
        if eyes == Eyes::Own {
            if self.write_blocked {
                self.writable();
            }
            // After a short read there is no more; new bytes show in the caller's next wait.
            if std::mem::take(&mut self.drained) {
                return false;
            }
            let read = self.read();
            self.drained = read == Read::Last;
            return read != Read::Nothing;
        }
        self.waiters.answer();
        let Some(reactor) = self.reactor.take() else { return false };
        let waker = Waker::from(Arc::clone(&self.waiters));
        let mut cx = Context::from_waker(&waker);
        let mut progress = false;
        if self.write_blocked
            && let Poll::Ready(Ok(mut guard)) = reactor.fd.poll_write_ready(&mut cx)
        {
            self.writable();
            if self.write_blocked {
                guard.clear_ready();
            }
            progress = true;
        }
        match reactor.fd.poll_read_ready(&mut cx) {
            Poll::Ready(Ok(mut guard)) => {
                if self.read() != Read::More {
                    guard.clear_ready();
                }
                progress = true;
            }
            // The runtime that it was registered with is gone: the next round takes the present one.
            Poll::Ready(Err(_)) => return true,
            Poll::Pending => {}
        }
        if self.is_on(reactor.fd.get_ref()) {
            self.reactor = Some(reactor);
        }
        progress
    }

    fn needs_attendant(&mut self) -> bool {
        if self.link.is_none() || self.attendance == Attendance::Armed {
            return false;
        }
        let waiting = self.session.ack_pending() || self.session.is_sendable() || !self.out.is_empty();
        let needed = match self.attendance {
            Attendance::Watching => waiting && !(self.write_blocked && self.writes_watched),
            _ => waiting || !self.waiters.are_watching(),
        };
        if needed {
            self.attendance = Attendance::Armed;
        }
        needed
    }

    /// The attendant's look: everything goes out; what to do next.
    pub(crate) fn attended(&mut self) -> Attendance {
        self.write_all();
        let at_ease = self.waiters.are_answering() && !self.write_blocked;
        // Callers that come and go look at the link themselves when they have to wait.
        let busy = std::mem::take(&mut self.calls) > 0 && !self.write_blocked;
        self.attendance = match (at_ease, busy) {
            (true, _) => Attendance::Dormant,
            (false, true) => Attendance::Armed,
            (false, false) => Attendance::Watching,
        };
        self.attendance
    }

    /// The attendant is about to watch; whether for room to write, too.
    pub(crate) fn watch_writes(&mut self) -> bool {
        self.writes_watched = self.write_blocked;
        self.writes_watched
    }

    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }
}

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// There may be more.
    More,
    /// That was all for now.
    Last,
    /// There was nothing.
    Nothing,
}

enum Trouble {
    Io(io::Error),
    Protocol(String),
}
