//! Sending on a ring: the session's messages go into it, and the other side's releases acknowledge
//! them.

use bytes::Bytes;
use open_channel_proto::{PackRef, Part, PartFlags, PartKind, Session};
use open_channel_ring::{Doorbell, Mapped, Position, Producer, RingError, RingReservation};

use super::growth::Growth;
use super::sizes::{Sizes, TOTAL};
use super::{Ring, Sending};
use crate::connection::transport::error::LinkError;
use crate::connection::waiters::{Interest, Wakes};

/// Messages sent between two checks of the reader's releases. Each check takes a cache line from
/// the reader; without any, the outbox grows out of the core's caches.
const SENT_PER_CHECK: u32 = 16;

/// Whether a pack went into the ring as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Its first message has this number.
    At(u64),
    /// It has to go through the outbox.
    Elsewhere,
}

impl Ring {
    /// Whether a check of the other side's releases is due.
    #[inline]
    pub(crate) fn is_check_due(&self) -> bool {
        self.sending.unchecked >= SENT_PER_CHECK
    }

    /// The outbox has accepted a message: moves it into the ring, if there may be room.
    pub(crate) fn sent(
        &mut self,
        session: &mut Session,
        wakes: &mut Wakes,
    ) -> Result<(), LinkError> {
        self.sending.unchecked += 1;
        if self.is_check_due() {
            self.take_releases(session, wakes)?;
        }
        if self.sending.full { Ok(()) } else { self.store(session) }
    }

    /// Moves the session's messages into the ring, as far as there is room.
    pub(crate) fn store(&mut self, session: &mut Session) -> Result<(), LinkError> {
        self.sending.full = false;
        while let Some(part) = session.next_part(self.sizes.part) {
            let (len, kind) = (part.payload.len(), part.kind);
            match self.push(part) {
                Ok(end) => session.part_stored(len, end.bytes()),
                Err(RingError::Full { .. }) => {
                    // A message in parts can wait: the outbox has its bytes.
                    if kind != PartKind::Whole
                        || !self.grow(|growth, producer| growth.full(producer, len))
                    {
                        self.sending.full = true;
                        break;
                    }
                }
                // The commit or drop of the reservation stores them.
                Err(RingError::Reserved) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn push(&mut self, part: Part<'_>) -> Result<Position, RingError> {
        let flags = part.flags.0;
        let kind = part.kind.to_bits();
        if part.kind != PartKind::First {
            return self.producer.push(kind, flags, part.payload);
        }
        let mut slot = self.producer.reserve(TOTAL + part.payload.len())?;
        slot.append(&(part.total as u64).to_le_bytes());
        slot.append(part.payload);
        Ok(slot.commit(kind, flags))
    }

    /// Puts a pack into the ring at once, if nothing is in the way.
    #[inline]
    pub(crate) fn store_pack(&mut self, session: &mut Session, pack: PackRef<'_>) -> Stored {
        let (len, count) = (pack.bytes.len(), pack.count);
        if len > self.sizes.large {
            self.grow(|growth, producer| growth.large(producer, len));
        }
        if len > self.sizes.whole || !session.may_store_pack(pack.longest, pack.cost) {
            return Stored::Elsewhere;
        }
        self.growth.note(len);
        // The flags of a first attempt are the same in every version.
        let flags = if count > 1 { PartFlags::PACKED } else { PartFlags::NONE };
        loop {
            match self.producer.push(PartKind::Whole.to_bits(), flags.0, pack.bytes) {
                Ok(end) => return Stored::At(session.pack_stored(len, count, end.bytes())),
                Err(RingError::Full { .. })
                    if self.grow(|growth, producer| growth.full(producer, len)) => {}
                // A broken ring, too: the next check reports it.
                Err(_) => return Stored::Elsewhere,
            }
        }
    }

    #[cold]
    fn grow(
        &mut self,
        grow: impl FnOnce(&mut Growth, &mut Producer<Mapped, Doorbell>) -> bool,
    ) -> bool {
        let grew = grow(&mut self.growth, &mut self.producer);
        if grew {
            self.sizes = Sizes::of(self.producer.lap());
        }
        grew
    }

    /// [`store_pack`](Self::store_pack) for one message, unless a check is due first.
    #[inline]
    pub(crate) fn store_at_once(
        &mut self,
        session: &mut Session,
        pack: PackRef<'_>,
    ) -> Option<u64> {
        if self.is_check_due() {
            return None;
        }
        let Stored::At(seq) = self.store_pack(session, pack) else { return None };
        self.sending.unchecked += 1;
        Some(seq)
    }

    /// Room in the ring for a message of at most `len` bytes; `None` if it has to be written
    /// elsewhere.
    pub(crate) fn reserve(&mut self, len: usize) -> Option<RingReservation<Mapped>> {
        self.growth.note(len);
        if len > self.sizes.large {
            self.grow(|growth, producer| growth.large(producer, len));
        }
        if len > self.sizes.whole {
            self.grow(|growth, producer| growth.in_place(producer, len));
        }
        loop {
            match self.producer.reserve_apart(len) {
                Ok(slot) => return Some(slot),
                Err(RingError::Full { .. })
                    if self.grow(|growth, producer| growth.full(producer, len)) => {}
                // There is no room, or the message is much too long, or another reservation is
                // open, or the ring is broken, which the next check reports.
                Err(_) => return None,
            }
        }
    }

    /// Sends the bytes written to a reservation; returns the message's number.
    pub(crate) fn commit(&mut self, session: &mut Session, slot: RingReservation<Mapped>) -> u64 {
        let len = slot.len();
        let end = self.producer.commit(slot, PartKind::Whole.to_bits(), PartFlags::NONE.0);
        session.message_stored(len, end.bytes())
    }

    /// Drops a reservation.
    pub(crate) fn abandon(&mut self, session: &mut Session) -> Result<(), LinkError> {
        self.producer.abandon();
        self.store(session)
    }

    /// Takes in the other side's releases; whether there was one.
    pub(crate) fn take_releases(
        &mut self,
        session: &mut Session,
        wakes: &mut Wakes,
    ) -> Result<bool, LinkError> {
        self.sending.unchecked = 0;
        if self.growth.tend(&mut self.producer) {
            self.sizes = Sizes::of(self.producer.lap());
        }
        let released = self.producer.released()?.bytes();
        if released == self.sending.released {
            return Ok(false);
        }
        self.sending.released = released;
        self.copies.released(released);
        session.released(released)?;
        if released >= self.sending.awaited {
            self.sending.awaited = 0;
            self.sending.announced = 0;
            wakes.notify(Interest::Acks);
        }
        if session.is_sendable() {
            self.store(session)?;
        }
        Ok(true)
    }

    /// The record that ends at `end`, if it is not released.
    pub(crate) fn stored(&mut self, end: u64) -> Option<Bytes> {
        self.copies.find(&mut self.producer, end)
    }
}

impl Sending {
    /// A call waits until the other side has released up to `position`.
    pub(super) fn wait_for(&mut self, position: u64) {
        if position > self.released && (self.awaited == 0 || position < self.awaited) {
            self.awaited = position;
        }
    }
}
