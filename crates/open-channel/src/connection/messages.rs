//! Messages on their way between the application and the session, behind the connection's lock.

use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::{Closed, Incoming, MESSAGE_OVERHEAD, Pack, PackRef, Packer, Refused};

use super::Connection;
use super::inner::Inner;
use super::ring::Stored;
use crate::batch::Messages;
use crate::error::{Error, SendError};
use crate::message::Message;
use crate::reader::MessageReader;

/// With fewer unacknowledged messages than this, each is written at once; with more, the other side is busy
/// anyway and small messages are written together.
const WRITE_AT_ONCE: usize = 32;

/// Unwritten bytes that are worth a system call of their own.
const WORTH_WRITING: usize = 32 * 1024;

/// Where a pack [goes](Inner::place).
pub(super) enum Place {
    /// It is in the ring, and its first message has this number.
    Ring(u64),
    /// Nowhere yet.
    Outbox,
}

/// Sending.
impl Inner {
    /// Takes `payload` if it keeps it, or gives it back; a message that went into the ring is of no more use where it is.
    pub(super) fn send(&mut self, payload: &mut Bytes) -> Result<u64, Refused> {
        if let Some(seq) = self.store_at_once(payload).or_else(|| self.store_after_look(payload)) {
            return Ok(seq);
        }
        if self.failed.is_some() {
            return Err(Refused::Closed(std::mem::take(payload)));
        }
        let len = payload.len();
        let seq = self.session.send(std::mem::take(payload))?;
        self.owed.add_messages(1, len + MESSAGE_OVERHEAD);
        self.sent();
        Ok(seq)
    }

    /// [`store_at_once`](Self::store_at_once) for a message that could not go because it was time to look, or the outbox was full.
    pub(super) fn store_after_look(&mut self, message: &[u8]) -> Option<u64> {
        if !self.ring.as_ref()?.is_look_due() && self.session.has_room(message.len()) {
            return None;
        }
        self.take_releases();
        self.store_at_once(message)
    }

    pub(super) fn send_over(&mut self, payload: Bytes) -> Result<u64, Refused> {
        if self.failed.is_some() {
            return Err(Refused::Closed(payload));
        }
        let len = payload.len();
        let seq = self.session.send_over(payload)?;
        self.owed.add_messages(1, len + MESSAGE_OVERHEAD);
        self.sent();
        Ok(seq)
    }

    /// Whether the outbox has room for a message of `len` bytes; `None`: not yet.
    pub(super) fn room(&mut self, len: usize) -> Option<Result<(), Error>> {
        match self.over() {
            Some(error) => Some(Err(error)),
            None => self.has_room_for(len.saturating_add(MESSAGE_OVERHEAD)).then_some(Ok(())),
        }
    }

    /// Whether the outbox has room for what costs so much. If not, it will be told of.
    fn has_room_for(&mut self, cost: usize) -> bool {
        if self.session.has_room_for(cost) || self.take_releases() && self.session.has_room_for(cost) {
            return true;
        }
        self.session.request_ack();
        self.await_room();
        false
    }

    /// Writes now or leaves it to be written together with what follows.
    pub(super) fn sent(&mut self) {
        if self.ring.is_some() {
            return self.sent_to_ring();
        }
        let unwritten = self.session.outbox_bytes().saturating_sub(self.session.bytes_in_flight());
        if self.session.messages_in_flight() < WRITE_AT_ONCE || unwritten >= WORTH_WRITING {
            self.write();
            self.replied = true;
        }
    }

    pub(super) fn send_error(&self, refused: Refused) -> SendError {
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
    pub(super) fn over(&self) -> Option<Error> {
        if let Some(error) = &self.failed {
            return Some(error.clone());
        }
        match self.session.closed()? {
            Closed::Finished | Closed::Locally => Some(Error::Closed),
            Closed::Remotely { code, reason } => Some(Error::Reset { code: *code, reason: reason.clone() }),
        }
    }

    /// What a flush up to `end` has to say, once all of that is acknowledged.
    pub(super) fn all_delivered(&mut self, end: u64) -> Result<(), Error> {
        match self.returned.tell(end) {
            0 => Ok(()),
            messages => Err(Error::Undeliverable { messages }),
        }
    }

    /// Takes packs out of `batch` as long as there is room and nothing is to be paid; `None` when there is no more room.
    pub(super) fn send_many(&mut self, batch: &mut Packer) -> Option<Result<(), Error>> {
        while let Some(next) = batch.peek() {
            if self.owed.is_due() {
                break;
            }
            match self.place(next)? {
                Ok(Place::Ring(_)) => batch.skip(),
                Ok(Place::Outbox) => {
                    if let Some(pack) = batch.pop() {
                        self.queue(pack);
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(()))
    }

    /// For a pack in memory of the caller's: puts it into the ring, or says that it has to go through the outbox, where a copy has
    /// room now. `None`: not yet; for a ring that is only full it waits.
    pub(super) fn place(&mut self, next: PackRef<'_>) -> Option<Result<Place, Error>> {
        if let Some(error) = self.objection(next.longest) {
            return Some(Err(error));
        }
        if !self.has_room_for(next.cost) {
            return None;
        }
        match self.store_pack(next) {
            Stored::At(seq) => {
                self.owed.add_messages(next.count, next.cost);
                Some(Ok(Place::Ring(seq)))
            }
            Stored::Full => {
                self.await_room();
                None
            }
            // The look for room may have found the ring broken.
            Stored::Elsewhere => Some(self.objection(next.longest).map_or(Ok(Place::Outbox), Err)),
        }
    }

    /// Accepts a pack whose [place](Self::place) is the outbox.
    fn queue(&mut self, pack: Pack) {
        self.owed.add_messages(pack.count(), pack.cost());
        let accepted = self.session.send_pack(pack);
        debug_assert!(accepted.is_ok(), "it was asked before");
        self.sent();
    }

    /// Why a message of `len` bytes can never be sent.
    fn objection(&self, len: usize) -> Option<Error> {
        let max = self.session.max_message();
        self.over()
            .or_else(|| self.session.is_finished().then_some(Error::Finished))
            .or_else(|| (len > max).then_some(Error::TooLarge { len, max }))
    }
}

/// Receiving.
impl Inner {
    pub(super) fn recv(&mut self, connection: &Arc<Connection>) -> Option<Result<Option<Message>, Error>> {
        self.next_for_application(Self::claim, |inner| inner.take_message(connection))
    }

    pub(super) fn recv_reader(
        &mut self,
        connection: &Arc<Connection>,
    ) -> Option<Result<Option<MessageReader>, Error>> {
        self.next_for_application(Self::claim, |inner| inner.take_message(connection).map(MessageReader::of))
    }

    fn take_message(&mut self, connection: &Arc<Connection>) -> Option<Message> {
        match self.session.recv()? {
            Incoming::Message { seq, payload, attempt } => {
                self.owed.add_messages(1, payload.len() + MESSAGE_OVERHEAD);
                Some(self.give(connection, seq, payload, attempt))
            }
            Incoming::End { seq } => {
                self.take_end(seq);
                None
            }
        }
    }

    pub(super) fn give(
        &mut self,
        connection: &Arc<Connection>,
        seq: u64,
        payload: Bytes,
        attempt: u32,
    ) -> Message {
        self.held += 1;
        if attempt > 1 {
            self.redelivered += 1;
            tell_redelivered(connection, seq, attempt);
        }
        Message::new(Arc::clone(connection), seq, payload, attempt)
    }

    pub(super) fn recv_many(
        &mut self,
        connection: &Arc<Connection>,
    ) -> Option<Result<Option<Messages>, Error>> {
        self.next_for_application(Self::claim_many, |inner| match inner.session.recv_many() {
            Some(received) => {
                inner.held += received.pack.count() as usize;
                inner.owed.add_messages(received.pack.count(), received.pack.cost());
                if received.attempt > 1 {
                    inner.redelivered += u64::from(received.pack.count());
                    tell_redelivered(connection, received.first, received.attempt);
                }
                Some(Messages::new(Arc::clone(connection), received))
            }
            None => {
                if let Some(Incoming::End { seq }) = inner.session.recv() {
                    inner.take_end(seq);
                }
                None
            }
        })
    }

    fn next_for_application<T>(
        &mut self,
        claim: impl FnOnce(&mut Self),
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Result<Option<T>, Error>> {
        if self.handing_over && !self.ended {
            // Or why there is nothing to hand over.
            return Some(Err(self.failed.clone().unwrap_or(Error::HandedOver)));
        }
        if !self.is_still_host() {
            self.failed.get_or_insert(Error::Fenced);
            self.lose_link();
        } else {
            claim(self);
            if let Some(taken) = take(self) {
                return Some(Ok(Some(taken)));
            }
        }
        if self.ended { Some(Ok(None)) } else { self.over().map(Err) }
    }

    /// Whether the application may have what comes next from the ring.
    #[inline]
    pub(super) fn may_deliver(&self) -> bool {
        !self.handing_over && self.is_still_host()
    }

    fn is_still_host(&self) -> bool {
        self.fence.as_ref().is_none_or(|fence| fence.holds())
    }

    fn take_end(&mut self, seq: u64) {
        self.ended = true;
        self.session.handled(seq);
        self.release();
        self.write();
    }
}

#[cold]
fn tell_redelivered(connection: &Connection, seq: u64, attempt: u32) {
    tracing::debug!(socket = %connection.id(), seq, attempt, "redelivered: an earlier host may have handled it");
}
