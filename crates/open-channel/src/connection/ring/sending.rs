//! Sending on a ring: what the session has goes into it, and what the other side releases is acknowledged.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{MESSAGE_OVERHEAD, PackRef, PartFlags, PartKind, Refused};
use open_channel_ring::RingError;

use super::Room;
use crate::connection::inner::{Inner, Trouble};
use crate::waiters::Interest;

/// Whether a pack went into the ring as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connection) enum Stored {
    /// Its first message has this number.
    At(u64),
    /// There is no room for it yet.
    Full,
    /// It has to go through the outbox.
    Elsewhere,
}

impl Inner {
    /// A message was sent: moves it into the ring, if there may be room.
    pub(in crate::connection) fn sent_to_ring(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        ring.unlooked += 1;
        if ring.is_look_due() {
            self.take_releases();
        }
        if self.ring.as_ref().is_some_and(|ring| !ring.full) {
            self.store();
        }
    }

    /// Moves what the session has into the ring, as far as there is room.
    pub(in crate::connection) fn store(&mut self) {
        let stored = self.store_parts();
        self.survive(stored);
    }

    fn store_parts(&mut self) -> Result<(), Trouble> {
        let Self { ring: Some(ring), session, .. } = self else { return Ok(()) };
        ring.full = false;
        while let Some(part) = session.next_part(ring.part) {
            let len = part.payload.len();
            match ring.push(part) {
                Ok(end) => session.part_stored(len, end.bytes()),
                Err(RingError::Full { .. }) => {
                    ring.full = true;
                    break;
                }
                // Whoever fills the reservation comes by again.
                Err(RingError::Reserved) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Puts a pack into the ring right away, if nothing is in the way.
    #[inline]
    pub(in crate::connection) fn store_pack(&mut self, pack: PackRef<'_>) -> Stored {
        let Self { ring: Some(ring), session, .. } = self else { return Stored::Elsewhere };
        let (len, count) = (pack.bytes.len(), pack.count);
        if len > ring.part || !session.may_store_pack(pack.longest, pack.cost) {
            return Stored::Elsewhere;
        }
        // A first attempt, which is the same in every version.
        let flags = if count > 1 { PartFlags::PACKED } else { PartFlags::NONE };
        match ring.producer.push(PartKind::Whole.to_bits(), flags.0, pack.bytes) {
            Ok(end) => Stored::At(session.pack_stored(len, count, end.bytes())),
            Err(RingError::Full { .. }) => Stored::Full,
            // Also when it is broken: the next look at it says so.
            Err(_) => Stored::Elsewhere,
        }
    }

    /// Room for a message of at most `len` bytes, in the ring if nothing is in the way; `None` if that is worth waiting for.
    pub(in crate::connection) fn reserve(&mut self, len: usize) -> Option<Room> {
        let link = self.links;
        if self.ring.is_some() && !self.session.may_store(len) {
            self.take_releases();
        }
        if let Some(ring) = &mut self.ring
            && self.session.may_store(len)
        {
            match ring.producer.reserve_apart(len) {
                Ok(slot) => return Some(Room::Ring { slot, link }),
                // Not for a longer one: it would need more room in one place than there is while the receiver keeps half of the
                // ring, perhaps until it has this message. In parts it may fit.
                Err(RingError::Full { .. }) if len <= ring.worth_waiting => {
                    self.await_room();
                    return None;
                }
                // Or it is much too long or not the only one; or the ring is broken, which the next look at it says.
                Err(_) => {}
            }
        }
        Some(Room::Buffer { bytes: BytesMut::with_capacity(len), len })
    }

    /// Sends what was written to a reservation.
    pub(in crate::connection) fn commit(&mut self, room: Room) -> Result<u64, Refused> {
        match (room, &mut self.ring) {
            (Room::Ring { slot, link }, Some(ring)) if link == self.links => {
                let len = slot.len();
                if self.session.may_store(len) {
                    let end = ring.producer.commit(slot, PartKind::Whole.to_bits(), PartFlags::NONE.0);
                    self.owed.add_messages(1, len + MESSAGE_OVERHEAD);
                    return Ok(self.session.message_stored(len, end.bytes()));
                }
                // Others were sent meanwhile: they come first.
                let message = Bytes::from(Room::Ring { slot, link });
                self.abandon_reservation(link);
                self.send_over(message)
            }
            (room, _) => self.send_over(room.into()),
        }
    }

    pub(in crate::connection) fn abandon_reservation(&mut self, link: u64) {
        if let Some(ring) = &mut self.ring
            && link == self.links
        {
            ring.producer.abandon();
            self.store();
        }
    }

    /// Takes in what the other side has released.
    pub(in crate::connection) fn take_releases(&mut self) -> bool {
        let taken = self.try_take_releases();
        self.survive(taken).unwrap_or(true)
    }

    pub(super) fn try_take_releases(&mut self) -> Result<bool, Trouble> {
        let Self { ring: Some(ring), session, waiters, woken, polling, .. } = self else { return Ok(false) };
        ring.unlooked = 0;
        let released = ring.producer.released()?.bytes();
        if released == ring.released {
            return Ok(false);
        }
        ring.released = released;
        session.released(released)?;
        if released >= ring.awaited {
            ring.awaited = 0;
            ring.announced = 0;
            waiters.collect(Interest::Acks, *polling, woken);
        }
        if session.is_sendable() {
            self.store_parts()?;
        }
        Ok(true)
    }
}
