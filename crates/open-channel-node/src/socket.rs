//! A socket as JavaScript polls it. Every method returns at once.

use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use napi_derive::napi;
use open_channel::{Error, Message, SendError, Socket, TryRecvError};

use crate::{
    EXITING,
    channel::runtime,
    error::Failure,
    hub::{Signal, reason},
};

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What `write` answers: the same numbers as in `js/native.ts`.
const WRITTEN: u32 = 0;
const FULL: u32 = 1;
const FAILED: u32 = 2;

/// What the first cell of `meta` says after a `read`.
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
    socket: Arc<Socket>,
    side: Side,
    signal: Arc<Signal>,
    readable: Waker,
    writable: Waker,
    /// Parked while there is nothing to read; also woken by every change of the connection.
    receiving: Option<Waiting<Result<Option<Message>, Error>>>,
    /// Holds the message for which there is no room.
    sending: Option<Waiting<Result<(), SendError>>>,
    /// Taken from the library, but did not fit into the slab that JavaScript had.
    next: Option<Message>,
    /// Given to JavaScript and not yet acknowledged, in order; `None` was acknowledged out of turn.
    lent: VecDeque<(u64, Option<Message>)>,
    failure: Option<Failure>,
    destroyed: bool,
}

/// Whose end of a connection it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// From `connect()`.
    Peer,
    /// Given to the listener.
    Host,
}

/// The connection of one socket, as of now.
#[napi(object)]
pub struct Connection {
    /// There is a link at the moment.
    pub connected: bool,
    /// Of the host it is or was last connected to.
    pub generation: f64,
}

impl NativeSocket {
    pub(crate) fn new(socket: Socket, side: Side, signal: Arc<Signal>) -> Self {
        Self {
            socket: Arc::new(socket),
            side,
            readable: signal.waker(reason::READABLE),
            writable: signal.waker(reason::WRITABLE),
            signal,
            receiving: None,
            sending: None,
            next: None,
            lent: VecDeque::new(),
            failure: None,
            destroyed: false,
        }
    }

    /// The next message; pending leaves a waker that raises `READABLE`.
    fn poll_recv(&mut self) -> Poll<Result<Option<Message>, Error>> {
        match self.socket.try_recv() {
            Ok(message) => return Poll::Ready(Ok(message)),
            Err(TryRecvError::Failed(error)) => return Poll::Ready(Err(error)),
            Err(TryRecvError::Empty) => {}
        }
        let socket = &self.socket;
        let receiving = self.receiving.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.recv().await })
        });
        let polled = receiving.as_mut().poll(&mut Context::from_waker(&self.readable));
        if polled.is_ready() {
            self.receiving = None;
        }
        polled
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
        self.socket.peer().and_then(|peer| peer.pid)
    }

    /// What carries the bytes at the moment.
    #[napi(getter)]
    pub fn link(&self) -> Option<String> {
        self.socket.link().map(|link| link.to_string())
    }

    /// Takes one message: 0 accepted, 1 kept until there is room (see `written`), 2 failed.
    #[napi]
    pub fn write(&mut self, message: &[u8]) -> u32 {
        match self.socket.try_send(Bytes::copy_from_slice(message)) {
            Ok(_) => WRITTEN,
            Err(SendError { error: Error::Full, message }) => {
                let socket = Arc::clone(&self.socket);
                self.sending = Some(Box::pin(async move { socket.send(message).await.map(drop) }));
                self.written()
            }
            Err(refused) => self.fail(&refused.error, FAILED),
        }
    }

    /// What became of the message that was kept; raises `WRITABLE` when it is accepted.
    #[napi]
    pub fn written(&mut self) -> u32 {
        let Some(sending) = &mut self.sending else { return WRITTEN };
        match sending.as_mut().poll(&mut Context::from_waker(&self.writable)) {
            Poll::Pending => FULL,
            Poll::Ready(sent) => {
                self.sending = None;
                sent.map_or_else(|refused| self.fail(&refused.error, FAILED), |()| WRITTEN)
            }
        }
    }

    /// Acknowledges the `handled` oldest messages, then copies what has arrived into `slab`, one message
    /// after the other. `meta` begins with why it stopped, whether there is a connection, and the host's
    /// generation; then come pairs of (length, sequence number), the length being negative (−1 − length) for a
    /// redelivery. Returns how many, or minus the size of the
    /// slab that the next message needs. Raises `READABLE` after `DRAINED`.
    #[napi]
    pub fn read(&mut self, handled: u32, slab: Slab<'_>, meta: Meta<'_>) -> f64 {
        self.handled(handled);
        let [status, connected, generation, cells @ ..] = meta else { return 0.0 };
        *status = MORE;
        *connected = f64::from(u8::from(self.socket.connected()));
        *generation = self.socket.generation() as f64;
        let (mut at, mut count) = (0, 0);
        for cell in cells.chunks_exact_mut(2) {
            let message = match self.next.take() {
                Some(message) => message,
                None => match self.poll_recv() {
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
                        *status = DRAINED;
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
            cell[0] = if message.redelivered() { -1.0 - length as f64 } else { length as f64 };
            cell[1] = seq as f64;
            self.lent.push_back((seq, Some(message)));
        }
        f64::from(count)
    }

    /// Acknowledges the `count` oldest messages.
    #[napi]
    pub fn handled(&mut self, count: u32) {
        self.lent.drain(..self.lent.len().min(count as usize));
    }

    /// Acknowledges one message, in any order.
    #[napi]
    pub fn acknowledge(&mut self, seq: f64) {
        if let Ok(index) = self.lent.binary_search_by_key(&(seq as u64), |(seq, _)| *seq) {
            self.lent[index].1 = None;
        }
        while let Some((_, None)) = self.lent.front() {
            self.lent.pop_front();
        }
    }

    /// The connection as of now.
    #[napi]
    pub fn connection(&self) -> Connection {
        Connection { connected: self.socket.connected(), generation: self.socket.generation() as f64 }
    }

    /// Why the last call failed.
    #[napi]
    pub fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Completes when everything written so far is acknowledged.
    #[napi]
    pub fn flush(&self, request: u32) {
        let (socket, hub) = (Arc::clone(&self.socket), self.signal.hub());
        runtime().spawn(async move { hub.complete(request, socket.flush().await) });
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
        self.destroyed = true;
        self.receiving = None;
        self.sending = None;
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
        if self.destroyed {
            return;
        }
        // JavaScript went away in mid-life (an uncaught exception, a terminated worker): dropping a
        // message would acknowledge what nobody has handled.
        mem::forget(self.next.take());
        mem::forget(mem::take(&mut self.lent));
        // Ending the host's end would end the peer's too, which is to go on with the next host.
        if self.side == Side::Host || EXITING.load(Ordering::Acquire) {
            mem::forget(Arc::clone(&self.socket));
        } else {
            self.socket.destroy();
        }
    }
}
