//! Plain values that pass between a connection and its application.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use open_channel_ring::{ClaimedRecord, Mapped, RingReservation};

/// Pause before a dropped message is delivered again. It doubles with each attempt, so that a
/// handler that always fails does not occupy a processor.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause after this attempt at a message that was dropped.
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

/// A message to be read in the ring, if it is there: its payload is empty then.
pub(crate) struct InPlace {
    pub(crate) message: Delivered,
    pub(crate) claimed: Option<ClaimedRecord<Mapped>>,
}

/// The memory that a reserved message is written to.
#[derive(Debug)]
pub(crate) enum Room {
    /// In the ring of the transport with that number.
    Ring { slot: RingReservation<Mapped>, transport: u64 },
    /// A buffer, for at most `len` bytes.
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
