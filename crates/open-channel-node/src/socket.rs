//! A socket as JavaScript polls it. Every method returns at once.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel::{
    Channel, Error, Message, SendError, Socket, TryRecvError, Undeliverable,
    ffi::{self, Watcher, raw},
};

use crate::{
    error::Failure,
    flushes::Flushes,
    hub::{Signal, reason},
    lent::Lent,
    stats::NativeSocketStats,
    taking_back::TakingBack,
    uv,
    waiting::Waiting,
};

/// The answers of `write`: the same numbers as in `js/native.ts`.
const WRITTEN: u32 = 0;
const FULL: u32 = 1;
const FAILED: u32 = 2;

/// From this length on, a message is copied once, into the ring, if it has room.
const COPY_ONCE: usize = 8 * 1024;

/// Added to a message's length for each attempt before this one; the same number as in
/// `js/native.ts`.
const ATTEMPT: f64 = 4_294_967_296.0;

/// The values of the first cell of `meta` after a `read`.
const MORE: f64 = 0.0;
const DRAINED: f64 = 1.0;
const ENDED: f64 = 2.0;
const BROKEN: f64 = 3.0;

// `#[napi]` takes a `&mut` that it sees for one of its own classes; it does not look behind a name.
type Slab<'a> = &'a mut [u8];
type Meta<'a> = &'a mut [f64];

/// One socket of a `ChannelSocket`.
#[napi]
pub struct NativeSocket {
    socket: Socket,
    signal: Arc<Signal>,
    connecting: Waiting,
    receiving: Waiting,
    sending: Waiting,
    /// Wakes those who wait for what comes back.
    returning: Waker,
    /// The link as Node's event loop watches it, and which one of the socket's links that is.
    link: Option<(u64, uv::Watch)>,
    /// Has no room in the outbox yet.
    kept: Option<Bytes>,
    flushes: Flushes,
    taking_back: TakingBack,
    /// Taken from the library, but did not fit into the slab that JavaScript had.
    next: Option<Message>,
    lent: Lent,
    failure: Option<Failure>,
    /// The last `read` took all there was.
    emptied: bool,
    /// Until JavaScript has destroyed the socket.
    channel: Option<Channel>,
}

/// The connection of one socket, as of now.
#[napi(object)]
pub struct Connection {
    /// There is a link at the moment.
    pub connected: bool,
    /// Connections it has had, this one included.
    pub links: f64,
    /// There will be no other; `failure` says why.
    pub over: bool,
    /// This process hosts it, and hands over: nothing more is delivered.
    pub handing_over: bool,
}

/// A message that is not delivered any more.
#[napi(object)]
pub struct Returned {
    /// The bytes that were written.
    pub data: Buffer,
    /// Its number.
    pub seq: f64,
    /// How many attempts there were.
    pub attempts: u32,
    /// Why there is no other.
    pub reason: String,
}

impl From<Undeliverable> for Returned {
    fn from(message: Undeliverable) -> Self {
        let Undeliverable { id, attempts, reason, message: data, .. } = message;
        Self {
            data: data.to_vec().into(),
            seq: id.seq as f64,
            attempts,
            reason: reason.to_string(),
        }
    }
}

impl NativeSocket {
    pub(crate) fn new(socket: Socket, channel: Channel, signal: Arc<Signal>) -> Self {
        Self {
            socket,
            connecting: Waiting::new(&signal, reason::CONNECTION),
            receiving: Waiting::new(&signal, reason::READABLE),
            sending: Waiting::new(&signal, reason::WRITABLE),
            flushes: Flushes::new(&signal),
            taking_back: TakingBack::new(&signal),
            returning: signal.waker(reason::RETURNED),
            signal,
            link: None,
            kept: None,
            next: None,
            lent: Lent::default(),
            failure: None,
            emptied: false,
            channel: Some(channel),
        }
    }

    /// The next message; pending makes the socket raise `READABLE`.
    fn poll_recv(&mut self) -> Poll<Result<Option<Message>, Error>> {
        loop {
            let links = raw(&self.socket).links();
            self.watch_link(links);
            let Self { socket, receiving, signal, link, .. } = self;
            let watch = if link.is_some() { Watcher::Caller } else { Watcher::Background };
            let polled =
                signal.quietly(|| receiving.poll(|cx, key| raw(socket).poll_recv(cx, key, watch)));
            if polled.is_pending() {
                if raw(socket).links() != links {
                    continue; // another link than the one that is watched
                }
                match link {
                    Some((_, watch)) if socket.connected() => {
                        watch.arm(raw(socket).readiness_probe())
                    }
                    // A dead link is always readable: until there is another one, the waker
                    // notifies.
                    _ => *link = None,
                }
            }
            return polled;
        }
    }

    /// The next message; begins to wait only if it `may_wait`.
    fn poll_next(&mut self, may_wait: bool) -> Poll<Result<Option<Message>, Error>> {
        if !mem::take(&mut self.emptied) {
            let (socket, signal) = (&self.socket, &self.signal);
            match signal.quietly(|| socket.try_recv()) {
                Ok(message) => return Poll::Ready(Ok(message)),
                Err(TryRecvError::Failed(error)) => return Poll::Ready(Err(error)),
                Err(TryRecvError::Empty) if !may_wait => {
                    self.emptied = true;
                    return Poll::Pending;
                }
                Err(_) => {}
            }
        }
        self.poll_recv()
    }

    /// Has Node's event loop watch the link that the socket is on now.
    fn watch_link(&mut self, links: u64) {
        if self.link.as_ref().is_some_and(|(watched, _)| *watched == links) {
            return;
        }
        self.link = self
            .signal
            .event_loop()
            .and_then(|event_loop| {
                event_loop.watch(raw(&self.socket).watch_fd()?, self.signal.token())
            })
            .map(|watch| (links, watch));
    }
}

#[napi]
impl NativeSocket {
    /// The socket's stable id, as 32 hexadecimal digits.
    #[napi(getter)]
    pub fn id(&self) -> String {
        self.socket.id().to_string()
    }

    /// The other process, if the link knows it.
    #[napi(getter)]
    pub fn peer_pid(&self) -> Option<u32> {
        self.socket.peer().and_then(|peer| peer.process_id())
    }

    /// The link that carries the bytes at the moment.
    #[napi(getter)]
    pub fn link_kind(&self) -> Option<String> {
        self.socket.link().map(|kind| kind.name().to_owned())
    }

    /// The generation of the host that this socket is or was last connected to.
    #[napi(getter)]
    pub fn generation(&self) -> f64 {
        self.socket.generation() as f64
    }

    /// The longest message, in bytes, that this side takes, and the other one as far as it is
    /// known.
    #[napi(getter)]
    pub fn max_message(&self) -> f64 {
        self.socket.max_message() as f64
    }

    /// Takes the first `length` of `bytes` as one message: 0 accepted, 1 kept until there is room
    /// (see `written`), 2 failed.
    #[napi]
    pub fn write(&mut self, bytes: &[u8], length: u32) -> u32 {
        let message = bytes.get(..length as usize).unwrap_or(bytes);
        let sent = if message.len() >= COPY_ONCE {
            raw(&self.socket).try_send_copy(message)
        } else {
            self.socket.try_send(Bytes::copy_from_slice(message))
        };
        match sent {
            Ok(_) => WRITTEN,
            Err(SendError { error: Error::Full, message }) => {
                self.kept = Some(message);
                self.written()
            }
            Err(refused) => self.fail(&refused.error, FAILED),
        }
    }

    /// The fate of the message that was kept; raises `WRITABLE` when there is room for it.
    #[napi]
    pub fn written(&mut self) -> u32 {
        let Some(message) = self.kept.take() else { return WRITTEN };
        let Self { socket, sending, .. } = self;
        let polled = sending.poll(|cx, key| raw(socket).poll_room(cx, key, message.len()));
        let sent = match polled {
            Poll::Pending => {
                self.kept = Some(message);
                return FULL;
            }
            Poll::Ready(Ok(())) => raw(&self.socket).send_over(message),
            Poll::Ready(Err(error)) => Err(error),
        };
        sent.map_or_else(|error| self.fail(&error, FAILED), |_| WRITTEN)
    }

    /// Acknowledges the `handled` oldest messages, then copies what has arrived into `slab` from
    /// `begin` on, one message after the other. `meta` begins with why it stopped, whether there is
    /// a connection, and how many there were; then come pairs of (length, sequence number), the
    /// length being 2^32 more for each attempt before this one. Returns how many, or minus the
    /// size of the slab that the next message needs. Raises `READABLE` after `DRAINED`, which
    /// only comes with no message.
    #[napi]
    pub fn read(&mut self, handled: u32, slab: Slab<'_>, begin: u32, meta: Meta<'_>) -> f64 {
        self.handled(handled);
        let [status, connected, links, cells @ ..] = meta else { return 0.0 };
        *status = MORE;
        let (mut at, mut count) = (begin as usize, 0);
        for cell in cells.chunks_exact_mut(2) {
            let message = match self.next.take() {
                Some(message) => message,
                None => match self.poll_next(count == 0) {
                    Poll::Ready(Ok(Some(message))) => message,
                    Poll::Ready(Ok(None)) => {
                        *status = ENDED;
                        break;
                    }
                    Poll::Ready(Err(error)) => {
                        *status = self.fail(&error, BROKEN);
                        break;
                    }
                    Poll::Pending => {
                        // Not before what was read is handled: its acknowledgement then travels
                        // with the answer.
                        if count == 0 {
                            *status = DRAINED;
                        }
                        break;
                    }
                },
            };
            let length = message.len();
            let Some(room) = slab.get_mut(at..at + length) else {
                self.next = Some(message);
                if count == 0 {
                    return -(length as f64);
                }
                break;
            };
            room.copy_from_slice(&message);
            at += length;
            count += 1;
            let seq = message.id().seq;
            cell[0] = f64::from(message.attempt() - 1) * ATTEMPT + length as f64;
            cell[1] = seq as f64;
            self.lent.push(seq, message);
        }
        if count > 0 {
            self.signal.busy();
        }
        *connected = f64::from(u8::from(self.socket.connected()));
        *links = raw(&self.socket).links() as f64;
        f64::from(count)
    }

    /// Acknowledges the `count` oldest messages.
    #[napi]
    pub fn handled(&mut self, count: u32) {
        self.lent.acknowledge_oldest(count);
    }

    /// Acknowledges one message, in any order.
    #[napi]
    pub fn acknowledge(&mut self, seq: f64) {
        self.lent.take(seq as u64).into_iter().for_each(Message::ack);
    }

    /// One message is not handled, in any order: it is delivered again after `pause` milliseconds,
    /// or after the usual pause if that is negative. Whether JavaScript had it.
    #[napi]
    pub fn give_back(&mut self, seq: f64, pause: f64) -> bool {
        let Some(message) = self.lent.take(seq as u64) else { return false };
        if pause < 0.0 {
            drop(message);
        } else {
            message.nack_after(Duration::from_millis(pause as u64));
        }
        true
    }

    /// Nobody is to try this message again. Whether JavaScript had it.
    #[napi]
    pub fn reject(&mut self, seq: f64, reason: String) -> bool {
        self.lent.take(seq as u64).map(|message| message.reject(&reason)).is_some()
    }

    /// The last `count` messages that were read are not handled here, nor what comes after them.
    #[napi]
    pub fn give_back_last(&mut self, count: u32) {
        self.next = None;
        self.lent.drop_last(count);
    }

    /// JavaScript reads and writes no more, and may still acknowledge. True if that is of no use
    /// any more; if not, raises `CONNECTION` when it is.
    #[napi]
    pub fn linger(&mut self) -> bool {
        self.link = None;
        self.next = None;
        for waiting in [&mut self.receiving, &mut self.sending] {
            waiting.leave(&self.socket);
        }
        let Self { socket, connecting, .. } = self;
        connecting.poll(|cx, key| raw(socket).poll_over(cx, key)).is_ready()
    }

    /// JavaScript does not read for a while: the background thread sees to the link.
    #[napi]
    pub fn idle(&mut self) {
        self.receiving.leave(&self.socket);
    }

    /// The connection as of now. If there is none, raises `CONNECTION` when there is, or never will
    /// be.
    #[napi]
    pub fn connection(&mut self) -> Connection {
        let Self { socket, connecting, .. } = self;
        let polled = connecting.poll(|cx, key| raw(socket).poll_connected(cx, key));
        let links = raw(&self.socket).links() as f64;
        let handing_over = raw(&self.socket).is_handing_over();
        let (connected, over) = match polled {
            Poll::Ready(Ok(())) => (true, false),
            Poll::Ready(Err(error)) => (false, self.fail(&error, true)),
            Poll::Pending => (false, false),
        };
        Connection { connected, links, over, handing_over }
    }

    /// Why the last call failed.
    #[napi]
    pub fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Completes when everything written so far is acknowledged; raises `FLUSHED` for `flushed` to
    /// be called.
    #[napi]
    pub fn flush(&mut self, request: u32) {
        self.flushes.begin(&self.socket, request);
        self.flushed();
    }

    /// Nobody waits for that `flush` any more. Whether it is withdrawn; if not, it has completed.
    #[napi]
    pub fn withdraw(&mut self, request: u32) -> bool {
        self.flushes.withdraw(&self.socket, request)
    }

    /// The state and the counters of the socket.
    #[napi]
    pub fn stats(&self) -> NativeSocketStats {
        self.socket.stats().into()
    }

    /// Completes what can be completed.
    #[napi]
    pub fn flushed(&mut self) {
        self.flushes.complete(&self.socket, &self.signal);
        self.taking_back.complete(&self.socket, &self.signal);
    }

    /// Takes back everything written so far that nobody has taken. Completes when that is known,
    /// for `taken_back`; raises `FLUSHED` for `flushed` to be called.
    #[napi]
    pub fn take_back(&mut self, request: u32) {
        self.taking_back.begin(&self.socket, request);
        self.taking_back.complete(&self.socket, &self.signal);
    }

    /// The messages that came back to a `take_back` that has completed, oldest first; once.
    #[napi]
    pub fn taken_back(&mut self, request: u32) -> Vec<Buffer> {
        let back = self.taking_back.answer(request);
        back.into_iter().map(|message| message.to_vec().into()).collect()
    }

    /// The next message that is not delivered any more; without one, raises `RETURNED` when there
    /// may be.
    #[napi]
    pub fn undeliverable(&mut self) -> Option<Returned> {
        match raw(&self.socket).poll_undeliverable(&mut Context::from_waker(&self.returning)) {
            Poll::Ready(Ok(message)) => Some(Returned::from(message)),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// No more writes: the other side sees the end after the last message.
    #[napi]
    pub fn finish(&mut self) -> bool {
        match self.socket.finish() {
            Ok(()) => true,
            Err(error) => self.fail(&error, false),
        }
    }

    /// At once, whatever is still unacknowledged.
    #[napi]
    pub fn destroy(&mut self) {
        self.socket.destroy();
        self.channel = None;
        self.link = None;
        self.flushed();
        for waiting in [&mut self.connecting, &mut self.receiving, &mut self.sending] {
            waiting.leave(&self.socket);
        }
        self.flushes.leave(&self.socket);
        self.taking_back.leave(&self.socket);
        self.kept = None;
        self.next = None;
        self.lent.clear();
    }

    fn fail<T>(&mut self, error: &Error, answer: T) -> T {
        self.failure = Some(Failure::from(error));
        answer
    }
}

impl Drop for NativeSocket {
    fn drop(&mut self) {
        // JavaScript went away in mid-life (an uncaught exception, a terminated worker). Messages
        // that it has not handled must look unhandled to the others.
        if let Some(channel) = &self.channel {
            ffi::abandon(channel);
        }
    }
}
