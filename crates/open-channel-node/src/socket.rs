//! A socket as JavaScript polls it. Every method returns at once.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use napi_derive::napi;
use open_channel::{Error, Message, Socket};

use crate::{
    channel::runtime,
    error::Failure,
    hub::{Signal, reason},
};

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
    signal: Arc<Signal>,
    readable: Waker,
    writable: Waker,
    changed: Waker,
    /// Taken from the library, but did not fit into the slab that JavaScript had.
    next: Option<Message>,
    /// Given to JavaScript and not yet acknowledged, in order; `None` was acknowledged out of turn.
    lent: VecDeque<(u64, Option<Message>)>,
    failure: Option<Failure>,
    destroyed: bool,
}

/// The connection of one socket, as of now.
#[napi(object)]
pub struct Connection {
    /// Connections made so far; it grows at each (re)connection.
    pub epoch: f64,
    /// There is a link at the moment.
    pub connected: bool,
    /// Over for good, because of this.
    pub failure: Option<Failure>,
}

impl NativeSocket {
    pub(crate) fn new(socket: Socket, signal: Arc<Signal>) -> Self {
        Self {
            socket: Arc::new(socket),
            readable: signal.waker(reason::READABLE),
            writable: signal.waker(reason::WRITABLE),
            changed: signal.waker(reason::CHANGED),
            signal,
            next: None,
            lent: VecDeque::new(),
            failure: None,
            destroyed: false,
        }
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
        self.socket.peer().map(|peer| peer.pid)
    }

    /// What carries the bytes at the moment.
    #[napi(getter)]
    pub fn link(&self) -> Option<String> {
        self.socket.link().map(|link| link.to_string())
    }

    /// The generation of the host that this socket is connected to.
    #[napi(getter)]
    pub fn generation(&self) -> f64 {
        self.socket.generation() as f64
    }

    /// Puts one message into the outbox: 0 done, 1 no room (raises `WRITABLE` when there is), 2 failed.
    #[napi]
    pub fn write(&mut self, message: &[u8]) -> u32 {
        let mut message = Bytes::copy_from_slice(message);
        loop {
            match self.socket.try_send(message) {
                Ok(_) => return WRITTEN,
                Err(refused) if matches!(refused.error, Error::Full) => message = refused.message,
                Err(refused) => return self.fail(&refused.error, FAILED),
            }
            match self.socket.poll_send_ready(&mut Context::from_waker(&self.writable)) {
                Poll::Pending => return FULL,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return self.fail(&error, FAILED),
            }
        }
    }

    /// Acknowledges the `handled` oldest messages, then copies what has arrived into `slab`, one message
    /// after the other. `meta[0]` says why it stopped; then come pairs of (length, sequence number), the
    /// length being negative (−1 − length) for a redelivery. Returns how many, or minus the size of the
    /// slab that the next message needs. Raises `READABLE` after `DRAINED`.
    #[napi]
    pub fn read(&mut self, handled: u32, slab: Slab<'_>, meta: Meta<'_>) -> f64 {
        self.handled(handled);
        let Some((status, cells)) = meta.split_first_mut() else { return 0.0 };
        *status = MORE;
        let (mut at, mut count) = (0, 0);
        for cell in cells.chunks_exact_mut(2) {
            let message = match self.next.take() {
                Some(message) => message,
                None => match self.socket.poll_recv(&mut Context::from_waker(&self.readable)) {
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

    /// The connection as of now; raises `CHANGED` when it differs from what was `seen`.
    #[napi]
    pub fn connection(&mut self, seen_epoch: f64, seen_connected: bool) -> Connection {
        let seen = (seen_epoch as u64, seen_connected);
        let changed = self.socket.poll_changed(&mut Context::from_waker(&self.changed), seen);
        let failure = match changed {
            Poll::Ready(Err(error)) => Some(Failure::from(&error)),
            _ => None,
        };
        Connection {
            epoch: self.socket.epoch() as f64,
            connected: self.socket.connected(),
            failure,
        }
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
        std::mem::forget(self.next.take());
        std::mem::forget(std::mem::take(&mut self.lent));
        std::mem::forget(Arc::clone(&self.socket));
    }
}
