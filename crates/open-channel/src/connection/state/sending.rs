//! Messages on their way from the application to the session, or directly into a ring.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{MESSAGE_OVERHEAD, Pack, PackRef, Packer, Refused};

use super::State;
use crate::connection::received::Room;
use crate::connection::transport::ring::Stored;
use crate::error::{Error, SendError};

/// With fewer unacknowledged messages than this, each is written at once. With more, the other side
/// is busy, and small messages are written together.
const WRITE_AT_ONCE: usize = 32;

/// Unwritten bytes that justify a system call of their own.
const WORTH_WRITING: usize = 32 * 1024;

/// The [place](State::place) of a pack.
pub(in crate::connection) enum Place {
    /// It is in the ring, and its first message has this number.
    Ring(u64),
    /// Not stored yet: it has to go through the outbox.
    Outbox,
}

impl State {
    /// Accepts `payload`, or gives it back. A message that went into the ring leaves its bytes in
    /// `payload`, where they are no longer needed.
    pub(in crate::connection) fn send(&mut self, payload: &mut Bytes) -> Result<u64, Refused> {
        if let Some(seq) = self.store_at_once(payload).or_else(|| self.store_after_check(payload)) {
            return Ok(seq);
        }
        if self.failed.is_some() {
            return Err(Refused::Closed(std::mem::take(payload)));
        }
        let (len, copy) = (payload.len(), self.tapped().map(|_| payload.clone()));
        let seq = self.session.send(std::mem::take(payload))?;
        self.count_sent(len, copy);
        self.sent();
        Ok(seq)
    }

    /// Puts `message` into the ring, if that is all there is to do: no write, no notification and
    /// no lost link can follow. Returns its number.
    #[inline]
    pub(in crate::connection) fn store_at_once(&mut self, message: &[u8]) -> Option<u64> {
        let Self { transport: Some(transport), session, traffic, failed, .. } = self else {
            return None;
        };
        let ring = transport.ring()?;
        if failed.is_some() || !session.has_room(message.len()) {
            return None;
        }
        let next = PackRef::of(message);
        let cost = next.cost;
        let seq = ring.store_at_once(session, next)?;
        traffic.add_sent(1, cost);
        if let Some(tap) = self.tapped() {
            tap.sent(message);
        }
        Some(seq)
    }

    /// A message was accepted that is not in the ring; with a copy if it is tapped.
    fn count_sent(&mut self, len: usize, copy: Option<Bytes>) {
        self.traffic.add_sent(1, len + MESSAGE_OVERHEAD);
        if let (Some(tap), Some(message)) = (&self.tap, copy) {
            tap.sent(&message);
        }
    }

    /// [`store_at_once`](Self::store_at_once), after a check for releases. For a message that did
    /// not fit in the outbox, or that came when the check was due.
    pub(in crate::connection) fn store_after_check(&mut self, message: &[u8]) -> Option<u64> {
        let ring = self.transport.as_mut()?.ring()?;
        if !ring.is_check_due() && self.session.has_room(message.len()) {
            return None;
        }
        self.take_releases();
        self.store_at_once(message)
    }

    pub(in crate::connection) fn send_over(&mut self, payload: Bytes) -> Result<u64, Refused> {
        if self.failed.is_some() {
            return Err(Refused::Closed(payload));
        }
        let (len, copy) = (payload.len(), self.tapped().map(|_| payload.clone()));
        let seq = self.session.send_over(payload)?;
        self.count_sent(len, copy);
        self.sent();
        Ok(seq)
    }

    /// Whether the outbox has room for a message of `len` bytes; `None` if not yet.
    pub(in crate::connection) fn room(&mut self, len: usize) -> Option<Result<(), Error>> {
        match self.over() {
            Some(error) => Some(Err(error)),
            None => self.has_room_for(len.saturating_add(MESSAGE_OVERHEAD)).then_some(Ok(())),
        }
    }

    /// Whether the outbox has room for this cost. If not, its waiters are notified once it has.
    fn has_room_for(&mut self, cost: usize) -> bool {
        if self.session.has_room_for(cost)
            || self.take_releases() && self.session.has_room_for(cost)
        {
            return true;
        }
        self.session.request_ack();
        self.await_room();
        false
    }

    /// Writes now, or leaves the message to be written together with the next ones.
    fn sent(&mut self) {
        let Self { transport: Some(transport), session, wakes, .. } = self else { return };
        if let Some(ring) = transport.ring() {
            let sent = ring.sent(session, wakes);
            self.or_lose_link(sent);
            return;
        }
        let unwritten = session.outbox_bytes().saturating_sub(session.bytes_in_flight());
        if session.messages_in_flight() < WRITE_AT_ONCE || unwritten >= WORTH_WRITING {
            self.write();
            self.replied = true;
        }
    }

    pub(in crate::connection) fn send_error(&self, refused: Refused) -> SendError {
        match refused {
            Refused::Full(message) => {
                SendError { error: self.over().unwrap_or(Error::Full), message }
            }
            Refused::TooLarge(message) => {
                let (len, max) = (message.len(), self.session.max_message());
                SendError { error: Error::TooLarge { len, max }, message }
            }
            Refused::Closed(message) => {
                SendError { error: self.over().unwrap_or(Error::Finished), message }
            }
        }
    }

    /// Accepts packs of `batch` while there is room and budget; `None` when there is no more room.
    pub(in crate::connection) fn send_many(
        &mut self,
        batch: &mut Packer,
    ) -> Option<Result<(), Error>> {
        while let Some(next) = batch.peek() {
            if self.traffic.budget.is_due() {
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

    /// Puts a borrowed pack into the ring, or returns that it has to go through the outbox. `None`
    /// if that has no room yet.
    pub(in crate::connection) fn place(
        &mut self,
        next: PackRef<'_>,
    ) -> Option<Result<Place, Error>> {
        if let Some(error) = self.objection(next.longest) {
            return Some(Err(error));
        }
        if !self.has_room_for(next.cost) {
            return None;
        }
        let (longest, count, cost, messages) = (next.longest, next.count, next.cost, next.iter());
        let ring = self.transport.as_mut().and_then(|transport| transport.ring());
        let stored =
            ring.map_or(Stored::Elsewhere, |ring| ring.store_pack(&mut self.session, next));
        match stored {
            Stored::At(seq) => {
                self.traffic.add_sent(count, cost);
                if let Some(tap) = self.tapped() {
                    messages.for_each(|message| tap.sent(message));
                }
                Some(Ok(Place::Ring(seq)))
            }
            // The check for room may have found the ring broken.
            Stored::Elsewhere => Some(self.objection(longest).map_or(Ok(Place::Outbox), Err)),
        }
    }

    /// Accepts a pack whose [place](Self::place) is the outbox.
    fn queue(&mut self, pack: Pack) {
        self.traffic.add_sent(pack.count(), pack.cost());
        if let Some(tap) = self.tapped() {
            pack.iter().for_each(|message| tap.sent(message));
        }
        let accepted = self.session.send_pack(pack);
        debug_assert!(accepted.is_ok(), "it was asked before");
        self.sent();
    }

    /// The reason why a message of `len` bytes can never be sent.
    fn objection(&self, len: usize) -> Option<Error> {
        let max = self.session.max_message();
        self.over()
            .or_else(|| self.session.is_finished().then_some(Error::Finished))
            .or_else(|| (len > max).then_some(Error::TooLarge { len, max }))
    }

    /// Room for a message of at most `len` bytes, in the ring if possible.
    pub(in crate::connection) fn reserve(&mut self, len: usize) -> Room {
        if self.has_ring() && !self.session.may_store(len) {
            self.take_releases();
        }
        // A tap copies from a buffer; it may miss what was reserved before it began.
        if self.tapped().is_none()
            && self.session.may_store(len)
            && let Some(ring) = self.transport.as_mut().and_then(|transport| transport.ring())
            && let Some(slot) = ring.reserve(len)
        {
            return Room::Ring { slot, transport: self.transports };
        }
        Room::Buffer { bytes: BytesMut::with_capacity(len), len }
    }

    /// Sends the bytes written to a reservation.
    pub(in crate::connection) fn commit(&mut self, room: Room) -> Result<u64, Refused> {
        let Room::Ring { slot, transport: number } = room else {
            return self.send_over(room.into());
        };
        let (len, may_store) = (slot.len(), self.session.may_store(slot.len()));
        let ring = self.transport.as_mut().and_then(|transport| transport.ring());
        match ring.filter(|_| number == self.transports) {
            Some(ring) if may_store => {
                self.traffic.add_sent(1, len + MESSAGE_OVERHEAD);
                Ok(ring.commit(&mut self.session, slot))
            }
            ring => {
                let is_open = ring.is_some();
                let message = Bytes::from(Room::Ring { slot, transport: number });
                if is_open {
                    // Other messages were sent meanwhile: they come first.
                    self.abandon_reservation(number);
                }
                self.send_over(message)
            }
        }
    }

    pub(in crate::connection) fn abandon_reservation(&mut self, number: u64) {
        if number != self.transports {
            return;
        }
        let Self { transport: Some(transport), session, .. } = self else { return };
        if let Some(ring) = transport.ring() {
            let stored = ring.abandon(session);
            self.or_lose_link(stored);
        }
    }
}
