//! The session on a ring: messages go through shared memory in parts, and the release of a part is its
//! acknowledgement. The stream beside the ring carries the other frames.
//!
//! ```text
//!        ┌───────────────────┐                 ┌─────────┐
//!   send ┴▶ outbox ─ store ──┴▶ ring ═══▶ claim ┴▶ inbox ─┴▶ recv
//!                               ▲                           │
//!           take_releases ◀── released ◀── release ◀── Message::ack
//! ```
//! A whole message that need not wait takes the upper way, on either side: [at once](at_once), if that is all there is to do.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{Part, PartKind, ProtocolError};
use open_channel_ring::{
    Consumer, Doorbell, Mapped, Position, Producer, RingError, RingLink, RingReservation, RingWatch, Spin,
};

use super::inner::Trouble;

mod at_once;
mod receiving;
mod sending;
mod waiting;

pub(super) use sending::Stored;
pub(super) use waiting::Spinning;

/// Bytes before the payload of a first part: the length of the whole message.
const TOTAL: usize = 8;

/// Parts of a ring's size, so that one side copies out while the other copies in, and little is left unused
/// where a part does not fit before the end of the ring.
const PARTS: usize = 8;

/// Of the ring: behind what is kept there may be a gap of this size up to its end, and then comes the message.
const QUARTER: usize = 4;

/// Messages sent between two looks at what the reader has released: each look takes a cache line from it, and the outbox
/// leaves the near caches if it is never cleared.
const SENT_PER_LOOK: u32 = 16;

/// One side's ends of the rings, as its connection uses them.
pub(crate) struct Ring {
    producer: Producer<Mapped, Doorbell>,
    consumer: Consumer<Mapped, Doorbell>,
    /// Longest payload of a part.
    part: usize,
    /// Longest message that waits for its place.
    worth_waiting: usize,
    /// What the other side has released, as far as the session knows.
    released: u64,
    /// The nearest release that somebody waits for; 0 when nobody does.
    awaited: u64,
    /// Who waited last for a release waited for room, not for an acknowledgement.
    room_awaited: bool,
    /// What the other side was asked to ring for last; 0 if all of it has come.
    announced: u64,
    /// There was no room for what the session has next.
    full: bool,
    /// Messages sent since the last look at what the other side has released.
    unlooked: u32,
    /// Those who wait for a message know of the one that comes next.
    told: bool,
    /// Of those who wait for a message, for an acknowledgement, and for room.
    recv_spin: Spin,
    ack_spin: Spin,
    room_spin: Spin,
    /// What a spin looked at, for the next one.
    watch: Option<RingWatch<Mapped>>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("released", &self.released).field("awaited", &self.awaited).finish()
    }
}

impl Ring {
    pub(crate) fn new(link: RingLink) -> Self {
        let RingLink { producer, consumer, doorbell: _ } = link;
        let capacity = producer.capacity();
        Self {
            producer,
            consumer,
            part: capacity / PARTS - TOTAL,
            worth_waiting: capacity / QUARTER,
            released: 0,
            awaited: 0,
            room_awaited: false,
            announced: 0,
            full: false,
            unlooked: 0,
            told: false,
            recv_spin: Spin::new(),
            ack_spin: Spin::new(),
            room_spin: Spin::new(),
            watch: None,
        }
    }

    /// Whether there is something that nobody has taken.
    pub(in crate::connection) fn has_arrived(&self) -> bool {
        self.consumer.is_ready()
    }

    pub(in crate::connection) fn arrival(&self) -> RingWatch<Mapped> {
        self.consumer.watch()
    }

    /// Whether it is time to look at what the other side has released.
    pub(super) fn is_look_due(&self) -> bool {
        self.unlooked >= SENT_PER_LOOK
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

    /// What was put there, ends at `end` and is not released.
    pub(in crate::connection) fn stored(&mut self, end: u64) -> Option<Bytes> {
        let mut stored = self.producer.unreleased().map_while(Result::ok);
        let found = stored.find(|stored| stored.record.end().bytes() == end)?;
        Some(found.record.to_vec().into())
    }

    /// Somebody waits until the other side has released up to `position`.
    fn wait_for(&mut self, position: u64) {
        if position > self.released && (self.awaited == 0 || position < self.awaited) {
            self.awaited = position;
        }
    }

    /// Somebody waits for room: halfway through what is not released is early enough to go on, and seldom enough. Of an
    /// empty ring, the first release of what will be in it.
    fn wait_for_room(&mut self) {
        let tail = self.producer.tail().bytes();
        self.wait_for(self.released + (tail - self.released).div_ceil(2).max(1));
    }
}

/// Where a reserved message is written.
#[derive(Debug)]
pub(crate) enum Room {
    /// In the ring of the connection's link of that number.
    Ring { slot: RingReservation<Mapped>, link: u64 },
    /// Nowhere in particular, for at most `len` bytes.
    Buffer { bytes: BytesMut, len: usize },
}

impl From<RingError> for Trouble {
    fn from(error: RingError) -> Self {
        match error {
            // The other side has moved on.
            RingError::Fenced => Self::Io(std::io::ErrorKind::ConnectionAborted.into()),
            error => Self::Protocol(error.to_string()),
        }
    }
}

impl From<ProtocolError> for Trouble {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error.to_string())
    }
}
