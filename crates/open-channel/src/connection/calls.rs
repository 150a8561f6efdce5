//! The application's calls: sending, receiving, waiting for acknowledgements.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use open_channel_proto::{PackRef, Packer, ReceivedPack, Refused};

use crate::connection::Connection;
use crate::connection::received::{Delivered, InPlace, Room};
use crate::connection::state::{Place, State};
use crate::connection::waiters::{Interest, WaiterKey, WakeMode};
use crate::error::{Error, SendError};

/// Sending. An accepted message has a number, which counts the messages of its direction.
impl Connection {
    pub(crate) fn try_send(&self, mut payload: Bytes) -> Result<u64, SendError> {
        self.with(|state| state.send(&mut payload).map_err(|refused| state.send_error(refused)))
    }

    /// Accepts a message even when the outbox is full, for callers that have waited for some room.
    pub(crate) fn send_over(&self, payload: Bytes) -> Result<u64, Error> {
        self.with(|state| {
            state.send_over(payload).map_err(|refused| state.send_error(refused).error)
        })
    }

    /// Accepts `payload`. Its bytes may still be there afterwards, and are no longer needed.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        payload: &mut Bytes,
    ) -> Poll<Result<u64, Box<SendError>>> {
        self.poll(cx, key, mode, Interest::Acks, |state| match state.send(payload) {
            Ok(seq) => Some(Ok(seq)),
            Err(Refused::Full(back)) if state.over().is_none() => {
                *payload = back;
                state.await_room();
                None
            }
            Err(refused) => Some(Err(Box::new(state.send_error(refused)))),
        })
    }

    /// Sends a copy of `message`, if it can go into the ring at once and the task has budget left.
    #[inline]
    pub(crate) fn send_at_once(&self, message: &[u8]) -> Option<u64> {
        let mut state = self.lock();
        if state.traffic.budget.is_due() {
            return None;
        }
        state.traffic.budget.add_call();
        let stored = state.store_at_once(message);
        stored.or_else(|| self.tend(state, |state| state.store_after_check(message)))
    }

    /// Copies `message` into the ring; `None` if it has to go through the outbox instead.
    pub(crate) fn poll_send_copy(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        message: &[u8],
    ) -> Poll<Result<Option<u64>, Error>> {
        let place = |state: &mut State| state.place(PackRef::of(message));
        self.poll(cx, key, mode, Interest::Acks, place).map_ok(|place| match place {
            Place::Ring(seq) => Some(seq),
            Place::Outbox => None,
        })
    }

    /// Accepts all messages of `batch`. Accepted messages leave it at once, even if a later one
    /// fails.
    pub(crate) fn poll_send_many(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        batch: &mut Packer,
    ) -> Poll<Result<(), Error>> {
        while !batch.is_empty() {
            ready!(self.poll(cx, key, mode, Interest::Acks, |state| state.send_many(batch)))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the outbox has room for a message of `len` bytes.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        len: usize,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, key, mode, Interest::Acks, |state| state.room(len))
    }

    /// Ready with room for a message of at most `len` bytes, once the outbox has room for it.
    pub(crate) fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        len: usize,
    ) -> Poll<Result<Room, Error>> {
        self.poll(cx, key, mode, Interest::Acks, |state| {
            let max = state.session.max_message();
            if len > max {
                return Some(Err(state.over().unwrap_or(Error::TooLarge { len, max })));
            }
            match state.room(len)? {
                Ok(()) => Some(Ok(state.reserve(len))),
                Err(error) => Some(Err(error)),
            }
        })
    }

    pub(crate) fn commit(&self, room: Room) -> Result<u64, SendError> {
        self.with(|state| state.commit(room).map_err(|refused| state.send_error(refused)))
    }

    /// Drops a reservation in the ring of the transport with that number.
    pub(crate) fn abandon_reservation(&self, transport: u64) {
        self.with(|state| state.abandon_reservation(transport));
    }

    /// Writes as much as the link takes.
    pub(crate) fn write(&self) {
        self.with(State::write);
    }

    /// Ends this side's direction.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.with(|state| {
            if let Some(error) = state.over() {
                return Err(error);
            }
            if state.delivery.handing_over {
                return Err(Error::HandedOver);
            }
            state.session.finish();
            state.write();
            Ok(())
        })
    }
}

/// Receiving. The application has to [handle](Connection::handled) each message or give it back.
impl Connection {
    pub(crate) fn try_recv(&self) -> Option<Result<Option<Delivered>, Error>> {
        self.with(|state| {
            if !state.session.is_readable() {
                state.read_all();
            }
            state.recv()
        })
    }

    #[inline]
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
    ) -> Poll<Result<Option<Delivered>, Error>> {
        let short = |state: &mut State| Some(Ok(Some(state.recv_at_once()?)));
        self.poll_both_ways(cx, key, mode, Interest::Recv, short, State::recv)
    }

    #[inline]
    pub(crate) fn poll_recv_in_place(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
    ) -> Poll<Result<Option<InPlace>, Error>> {
        let short = |state: &mut State| Some(Ok(Some(state.recv_in_place_at_once()?)));
        let copied = |message| InPlace { message, claimed: None };
        // A spin or a wait may have ended with a message that can be read in place.
        let long = |state: &mut State| {
            short(state).or_else(|| Some(state.recv()?.map(|message| message.map(copied))))
        };
        self.poll_both_ways(cx, key, mode, Interest::Recv, short, long)
    }

    pub(crate) fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
    ) -> Poll<Result<Option<ReceivedPack>, Error>> {
        self.poll(cx, key, mode, Interest::Recv, State::recv_many)
    }

    /// The application has handled these messages.
    pub(crate) fn handled(&self, seqs: Range<u64>) {
        if self.check_process().is_err() {
            return;
        }
        let mut state = self.lock();
        state.delivery.held -= (seqs.end - seqs.start) as usize;
        state.session.handled_all(seqs);
        if state.release_at_once() {
            return;
        }
        self.tend(state, |state| {
            state.release();
            // A caller waits for the next message: no frame follows that could carry this
            // acknowledgement.
            if self.waiters.are_watching() && !state.replied {
                state.write_all();
            } else if state.session.ack_urgent() {
                state.write();
            }
        });
    }
}

/// Waiting for the other side.
impl Connection {
    /// Asks for prompt acknowledgement of all messages sent. Returns the number behind the last.
    pub(crate) fn request_ack(&self) -> u64 {
        self.with(|state| {
            state.session.request_ack();
            state.session.next_seq()
        })
    }

    /// Ready when everything before sequence number `end` is acknowledged.
    pub(crate) fn poll_acknowledged(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        end: u64,
    ) -> Poll<Result<(), Error>> {
        self.check_process()?;
        self.poll(cx, key, mode, Interest::Acks, |state| {
            state.take_releases();
            if state.session.first_awaited() >= end || state.session.holds_no_message() {
                return Some(state.all_delivered(end));
            }
            state.await_acknowledgement(end);
            state.over().map(Err)
        })
    }

    /// Ready when everything sent so far is on the link, so that the other side gets it before a
    /// reset.
    pub(crate) fn poll_transmitted(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, key, WakeMode::Task, Interest::Acks, |state| {
            state.write();
            let session = &state.session;
            let transmitted = session.first_unacknowledged() + session.messages_in_flight() as u64;
            let flushed = state.transport.as_ref().is_none_or(|it| it.frames.is_flushed());
            if transmitted == session.next_seq() && flushed {
                return Some(Ok(()));
            }
            state.await_room();
            state.over().map(Err)
        })
    }

    /// Ready when there is a link.
    pub(crate) fn poll_connected(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, key, WakeMode::Woken, Interest::Acks, |state| {
            if state.transport.is_some() { Some(Ok(())) } else { state.over().map(Err) }
        })
    }

    /// Ready when nothing more can be sent or acknowledged.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>, key: &mut WaiterKey) -> Poll<()> {
        self.poll(cx, key, WakeMode::Woken, Interest::Acks, |state| state.over().map(drop))
    }

    /// Ends the wait under this key.
    #[inline]
    pub(crate) fn leave(&self, key: &mut WaiterKey) {
        if !key.is_empty() {
            self.with(|state| state.wakes.waiters.leave(key));
        }
    }
}
