//! One session on one link at a time, driven by whoever calls.
//!
//! `send`, `recv` and `flush` run the session and the link right in the caller, behind one short lock; no task is
//! crossed. While a caller waits it watches the link itself, on its own runtime or thread. Only when nobody
//! watches does the connection's [attendant](crate::attendant) on the background thread step in, after a moment
//! of grace, so that acknowledgements and heartbeats never depend on what the application does.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, Features, Frame, Hello, PackRef, Packer, Refused, ResetCode, Session, SocketId,
    Welcome,
};
use open_channel_ring::{Mapped, ProcessLocal, Watch};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::attendant;
use crate::batch::Messages;
use crate::error::{Error, SendError};
use crate::fence::Fence;
use crate::link::{Link, LinkKind, PeerInfo};
use crate::message::{Message, MessageId};
use crate::reader::MessageReader;
use crate::settings::Settings;
use crate::undeliverable::Undeliverable;
use crate::waiters::{Interest, Seat, Waiters};

mod age;
mod giving_back;
mod inner;
mod messages;
mod polling;
mod ring;
mod silence;
mod taking_back;
mod turn;

pub(crate) use giving_back::{Back, pause_after};
pub(crate) use inner::{Inner, Read};
use messages::Place;
pub(crate) use ring::{Ring, Room};
pub(crate) use silence::Change;
use silence::Silence;
pub(crate) use taking_back::Begun;

#[derive(Debug)]
pub(crate) struct Connection {
    inner: ProcessLocal<Mutex<Inner>>,
    /// Takes its place in a forked child: a connection that is over.
    inherited: OnceLock<Box<Mutex<Inner>>>,
    /// Shared with `inner`, for those who come without the lock.
    waiters: Arc<Waiters>,
    /// Apart from `inner`, for those who look in now and then.
    silence: Mutex<Silence>,
    /// The link was lost or the session is over: calls the owner on the background thread.
    pub(crate) changed: Notify,
    /// Something came back that will not be delivered, or nothing will any more.
    returned: Notify,
    background: Handle,
    id: SocketId,
    /// Ends with the host that it met first.
    pinned: AtomicBool,
}

/// How a waiting call learns that the link is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eyes {
    /// Through the tokio runtime that polls it, if it is one.
    Task,
    /// By itself, level-triggered: a thread in poll(2), which may also look at a ring for a while before.
    Thread,
    /// By itself, level-triggered: an event loop, which has other things to do.
    Loop,
    /// Not at all: it is only woken.
    None,
}

impl Eyes {
    fn may_spin(self) -> bool {
        matches!(self, Self::Task | Self::Thread)
    }
}

/// Life.
impl Connection {
    pub(crate) fn new(session: Session, fence: Option<Arc<Fence>>, background: Handle) -> Arc<Self> {
        let id = session.id();
        let waiters = Arc::new(Waiters::default());
        let inner = Inner::new(session, Arc::clone(&waiters), fence);
        Arc::new(Self {
            inner: ProcessLocal::new(Mutex::new(inner)),
            inherited: OnceLock::new(),
            waiters,
            silence: Mutex::default(),
            changed: Notify::new(),
            returned: Notify::new(),
            background,
            id,
            pinned: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let inner = self.inner.get().unwrap_or_else(|| self.inherited());
        inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn inherited(&self) -> &Mutex<Inner> {
        self.inherited.get_or_init(|| {
            let session = Session::new(self.id, Settings::default().limits);
            let mut inner = Inner::new(session, Arc::default(), None);
            inner.failed = Some(Error::Forked);
            Box::new(Mutex::new(inner))
        })
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.inner.is_inherited() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Resolves when the attendant is called.
    pub(crate) async fn called(&self) {
        self.waiters.attendant_called().await;
    }

    /// Runs `act` on the locked connection, then sees to those that have to know.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        self.tend(self.lock(), act)
    }

    fn tend<T>(&self, mut inner: MutexGuard<'_, Inner>, act: impl FnOnce(&mut Inner) -> T) -> T {
        let had_link = inner.link.is_some();
        let result = act(&mut inner);
        inner.drop_finished_link();
        let lost = had_link && inner.link.is_none();
        let attend = inner.needs_attendant();
        let returned = std::mem::take(&mut inner.returned.news);
        if returned {
            let Inner { returned, woken, .. } = &mut *inner;
            woken.extend(returned.waker.take());
        }
        let woken = if inner.woken.is_empty() { Vec::new() } else { std::mem::take(&mut inner.woken) };
        drop(inner);
        if attend || lost {
            self.waiters.call_attendant();
        }
        if lost {
            self.changed.notify_one();
        }
        if returned {
            self.returned.notify_waiters();
        }
        woken.into_iter().for_each(Waker::wake);
        result
    }

    pub(crate) fn hello(&self, channel: ChannelKey) -> Hello {
        self.lock().session.hello(channel, Features::default())
    }

    /// The peer's side goes on with a link that the host has welcomed.
    pub(crate) fn attach(
        self: &Arc<Self>,
        link: Link,
        ring: Option<Ring>,
        welcome: &Welcome,
    ) -> Result<Attachment, Error> {
        let attached = self.with(|inner| {
            let attachment =
                inner.session.attach(welcome).map_err(|error| Error::Protocol(error.to_string()))?;
            inner.take_back();
            inner.take_link(link, ring);
            Ok(attachment)
        });
        self.attend();
        attached
    }

    /// The host's side of a new session goes on with its link.
    pub(crate) fn begin(self: &Arc<Self>, link: Link, ring: Option<Ring>) {
        self.with(|inner| inner.take_link(link, ring));
        self.attend();
    }

    /// The host's side goes on with a new link of its peer; returns what to answer before anything is sent.
    pub(crate) fn resume(self: &Arc<Self>, hello: &Hello, version: u16) -> Result<Welcome, Error> {
        self.with(|inner| {
            inner.lose_link();
            let welcome = inner.session.resume(hello, version);
            inner.take_back();
            welcome.map_err(|error| Error::Protocol(error.to_string()))
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

    /// From here on, it ends with its host.
    pub(crate) fn pin(&self) {
        if self.check_process().is_err() {
            return;
        }
        self.pinned.store(true, Ordering::Relaxed);
        self.tell_owner();
    }

    /// The only host that it can go on with, if there is but one.
    pub(crate) fn only_host(&self) -> Option<u64> {
        let generation = self.pinned.load(Ordering::Relaxed).then(|| self.generation());
        generation.filter(|generation| *generation > 0)
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
                // What was handled before is known before.
                inner.write_all();
                inner.session.reset(code, reason);
                inner.write();
                inner.wake_all();
            }
        });
        self.tell_owner();
    }

    /// Calls the owner on the background thread, which a forked child does not have.
    fn tell_owner(&self) {
        if self.check_process().is_ok() {
            self.changed.notify_one();
        }
    }
}

/// The application's calls.
impl Connection {
    pub(crate) fn try_send(&self, mut payload: Bytes) -> Result<MessageId, SendError> {
        self.with(|inner| match inner.send(&mut payload) {
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

    /// Room for a message of at most `len` bytes, once the outbox has it.
    pub(crate) fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        len: usize,
    ) -> Poll<Result<Room, Error>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| {
            let max = inner.session.max_message();
            if len > max {
                return Some(Err(inner.over().unwrap_or(Error::TooLarge { len, max })));
            }
            match inner.room(len)? {
                Ok(()) => inner.reserve(len).map(Ok),
                Err(error) => Some(Err(error)),
            }
        })
    }

    pub(crate) fn commit(&self, room: Room) -> Result<MessageId, SendError> {
        self.with(|inner| match inner.commit(room) {
            Ok(seq) => Ok(MessageId { socket: self.id, seq }),
            Err(refused) => Err(inner.send_error(refused)),
        })
    }

    pub(crate) fn abandon_reservation(&self, link: u64) {
        self.with(|inner| inner.abandon_reservation(link));
    }

    /// Accepts `payload`, which then may be there still and is of no more use.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        payload: &mut Bytes,
    ) -> Poll<Result<u64, Box<SendError>>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| match inner.send(payload) {
            Ok(seq) => Some(Ok(seq)),
            Err(Refused::Full(back)) if inner.over().is_none() => {
                *payload = back;
                inner.await_room();
                None
            }
            Err(refused) => Some(Err(Box::new(inner.send_error(refused)))),
        })
    }

    /// Copies `message` into the ring; `None` if its copy has to be sent.
    pub(crate) fn poll_send_copy(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        message: &[u8],
    ) -> Poll<Result<Option<MessageId>, Error>> {
        let placed = self.poll(cx, seat, eyes, Interest::Acks, |inner| inner.place(PackRef::of(message)));
        placed.map_ok(|place| match place {
            Place::Ring(seq) => Some(MessageId { socket: self.id, seq }),
            Place::Outbox => None,
        })
    }

    /// Sends a copy of `message`, if it can go into the ring at once and the task has nothing to pay before.
    #[inline]
    pub(crate) fn send_at_once(&self, message: &[u8]) -> Option<MessageId> {
        let mut inner = self.lock();
        if inner.owed.is_due() {
            return None;
        }
        inner.owed.add_call();
        let stored = inner.store_at_once(message);
        let seq = stored.or_else(|| self.tend(inner, |inner| inner.store_after_look(message)))?;
        Some(MessageId { socket: self.id, seq })
    }

    /// What [`poll_send`](Self::poll_send) answered, as the application gets it. On the way it is small, because it is moved
    /// several times.
    #[inline]
    pub(crate) fn sent<E>(&self, sent: Result<u64, Box<E>>) -> Result<MessageId, E> {
        match sent {
            Ok(seq) => Ok(MessageId { socket: self.id, seq }),
            Err(error) => Err(*error),
        }
    }

    /// Takes all messages out of `batch`; those that are accepted are gone from it whatever comes after.
    pub(crate) fn poll_send_many(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        batch: &mut Packer,
    ) -> Poll<Result<(), Error>> {
        while !batch.is_empty() {
            ready!(self.poll(cx, seat, eyes, Interest::Acks, |inner| inner.send_many(batch)))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Room for a message of `len` bytes.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        len: usize,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, seat, eyes, Interest::Acks, |inner| inner.room(len))
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
        let short = |inner: &mut Inner| Some(Ok(Some(inner.recv_at_once(self)?)));
        self.poll_both_ways(cx, seat, eyes, Interest::Recv, short, |inner| inner.recv(self))
    }

    pub(crate) fn poll_recv_reader(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
    ) -> Poll<Result<Option<MessageReader>, Error>> {
        let short = |inner: &mut Inner| Some(Ok(Some(inner.recv_reader_at_once(self)?)));
        // A message is read in place whenever it is found.
        let long = |inner: &mut Inner| short(inner).or_else(|| inner.recv_reader(self));
        self.poll_both_ways(cx, seat, eyes, Interest::Recv, short, long)
    }

    pub(crate) fn poll_recv_many(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
    ) -> Poll<Result<Option<Messages>, Error>> {
        self.poll(cx, seat, eyes, Interest::Recv, |inner| inner.recv_many(self))
    }

    /// There is a link.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>, seat: &mut Seat) -> Poll<Result<(), Error>> {
        self.poll(cx, seat, Eyes::None, Interest::Acks, |inner| {
            if inner.link.is_some() { Some(Ok(())) } else { inner.over().map(Err) }
        })
    }

    /// Nothing more can be sent or acknowledged.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>, seat: &mut Seat) -> Poll<()> {
        self.poll(cx, seat, Eyes::None, Interest::Acks, |inner| inner.over().map(drop))
    }

    /// Everything before sequence number `end` is acknowledged.
    pub(crate) fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        eyes: Eyes,
        end: u64,
    ) -> Poll<Result<(), Error>> {
        self.check_process()?;
        self.poll(cx, seat, eyes, Interest::Acks, |inner| {
            inner.take_releases();
            if inner.session.first_awaited() >= end || inner.session.holds_no_message() {
                return Some(inner.all_delivered(end));
            }
            inner.await_acknowledgement(end);
            inner.over().map(Err)
        })
    }

    /// The next message that is not delivered any more, oldest first.
    pub(crate) async fn undeliverable(&self) -> Result<Undeliverable, Error> {
        loop {
            // Before the look, so that nothing that comes in between is missed.
            let returned = self.returned.notified();
            if let Some(found) = self.try_undeliverable() {
                return found;
            }
            returned.await;
        }
    }

    /// [`undeliverable`](Self::undeliverable), or why there will be none.
    pub(crate) fn try_undeliverable(&self) -> Option<Result<Undeliverable, Error>> {
        let mut inner = self.lock();
        inner.returned.pop().map(Ok).or_else(|| inner.over().map(Err))
    }

    /// [`undeliverable`](Self::undeliverable) for one caller at a time, who is woken when it may be ready.
    pub(crate) fn poll_undeliverable(&self, cx: &mut Context<'_>) -> Poll<Result<Undeliverable, Error>> {
        let mut inner = self.lock();
        match inner.returned.pop().map(Ok).or_else(|| inner.over().map(Err)) {
            Some(found) => Poll::Ready(found),
            None => {
                inner.returned.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
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
            inner.await_room();
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

    /// The application has handled these messages.
    pub(crate) fn handled(&self, seqs: Range<u64>) {
        if self.check_process().is_err() {
            return;
        }
        let mut inner = self.lock();
        inner.held -= (seqs.end - seqs.start) as usize;
        inner.session.handled_all(seqs);
        if inner.release_at_once() {
            return;
        }
        self.tend(inner, |inner| {
            inner.release();
            // Somebody waits for the next message: this acknowledgement has nothing to travel with.
            if inner.waiters.are_watching() && !inner.replied {
                inner.write_all();
            } else if inner.session.ack_urgent() {
                inner.write();
            }
        });
    }

    /// The waiting call is over.
    #[inline]
    pub(crate) fn leave(&self, seat: &mut Seat) {
        if !seat.is_empty() {
            self.with(|inner| inner.waiters.leave(seat));
        }
    }
}

/// Questions.
impl Connection {
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it is the host's end.
    pub(crate) fn is_accepted(&self) -> bool {
        self.lock().fence.is_some()
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

    /// Where the next message shows first, on a ring.
    pub(crate) fn arrival(&self) -> Option<Watch<Mapped>> {
        self.lock().ring.as_ref().map(|ring| ring.arrival())
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

    /// Whether the descriptor of the link is to be watched for room to write, too.
    pub(crate) fn waits_to_write(&self) -> bool {
        let inner = self.lock();
        inner.write_blocked && inner.ring.is_none()
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

    /// Nothing that could be lost needs a new link: both directions have ended, and no message waits.
    pub(crate) fn needs_no_link(&self) -> bool {
        let inner = self.lock();
        inner.session.is_finished() && inner.session.is_remote_finished() && inner.session.holds_no_message()
    }

    /// How many messages are accepted and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.lock().session.messages_unacknowledged()
    }

    /// Whether the other side's direction has ended, and the application has heard it.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Every message that the application took is handled and all its replies are acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.with(|inner| inner.take_releases());
        let inner = self.lock();
        inner.failed.is_some()
            || inner.session.closed().is_some()
            || inner.held == 0 && inner.session.is_flushed()
    }
}
