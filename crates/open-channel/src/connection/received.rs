//! What passes between a connection and its application, as plain values.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use open_channel_ring::{ClaimedRecord, Mapped, RingReservation};

/// Before a message that was merely dropped is delivered again: doubled with each attempt, so that a
/// handler that always fails does not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after this attempt at a message that was dropped.
pub(crate) fn pause_after(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// A message that the application now has to acknowledge or to give back.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
    pub(crate) payload: Bytes,
}

/// A message to be read where it lies, if it does: its payload is empty then.
pub(crate) struct InPlace {
    pub(crate) message: Delivered,
    pub(crate) claimed: Option<ClaimedRecord<Mapped>>,
}

/// Where a reserved message is written.
#[derive(Debug)]
pub(crate) enum Room {
    /// In the ring of the transport of that number.
    Ring { slot: RingReservation<Mapped>, transport: u64 },
    /// Nowhere in particular, for at most `len` bytes.
    Buffer { bytes: BytesMut, len: usize },
}

impl From<Room> for Bytes {
    fn from(room: Room) -> Self {
        match room {
            Room::Ring { slot, .. } => slot.into_vec().into(),
            Room::Buffer { bytes, .. } => bytes.freeze(),
        }
    }
}
