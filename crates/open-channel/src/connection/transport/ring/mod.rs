//! The session on a ring: messages go through shared memory in parts, and the release of a part
//! acknowledges it. The stream beside the ring carries the other frames.
//!
//! ```text
//!        ┌───────────────────┐                 ┌─────────┐
//!   send ┴▶ outbox ─ store ──┴▶ ring ═══▶ claim ┴▶ inbox ─┴▶ recv
//!                               ▲                           │
//!           take_releases ◀── released ◀── release ◀── Message::ack
//! ```
//! A whole message that need not wait takes the upper path, on either side: the session never holds
//! its bytes.

use std::fmt;

use open_channel_ring::{Consumer, Doorbell, Mapped, Producer, RingLink, RingWatch, Spin};

use crate::connection::transport::ring::copies::Copies;
use crate::connection::transport::ring::growth::Growth;
use crate::connection::transport::ring::sizes::Sizes;
use crate::link::ring::Rings;

mod copies;
mod growth;
mod receiving;
mod sending;
mod sizes;
mod waiting;

pub(crate) use receiving::Direct;
pub(crate) use sending::Stored;
pub(crate) use waiting::{Spinning, is_ending};

/// One side's ends of the rings, as its connection uses them.
pub(crate) struct Ring {
    producer: Producer<Mapped, Doorbell>,
    consumer: Consumer<Mapped, Doorbell>,
    sending: Sending,
    sizes: Sizes,
    growth: Growth,
    /// Whether the waiters for a message were notified of the next one.
    notified: bool,
    /// Spins for a message, for an acknowledgement, and for room.
    recv_spin: Spin,
    ack_spin: Spin,
    room_spin: Spin,
    /// The watch of the last spin, to be used again.
    watch: Option<RingWatch<Mapped>>,
    copies: Copies,
}

/// The progress of the direction in which this side sends.
struct Sending {
    /// The other side's releases, as far as the session knows them.
    released: u64,
    /// The nearest release that a call waits for; 0 when none does.
    awaited: u64,
    /// The last call to wait for a release waited for room, not for an acknowledgement.
    room_awaited: bool,
    /// The release at which the other side was last asked for a wake-up; 0 if it has come.
    announced: u64,
    /// There was no room for the session's next part.
    full: bool,
    /// Messages sent since the last check of the other side's releases.
    unchecked: u32,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sending { released, awaited, .. } = &self.sending;
        f.debug_struct("Ring").field("released", released).field("awaited", awaited).finish()
    }
}

impl Ring {
    pub(crate) fn new(rings: Rings) -> Self {
        let Rings { link: RingLink { producer, consumer, doorbell: _ }, memory } = rings;
        let sizes = Sizes::of(producer.lap());
        let sending = Sending {
            released: 0,
            awaited: 0,
            room_awaited: false,
            announced: 0,
            full: false,
            unchecked: 0,
        };
        Self {
            producer,
            consumer,
            sending,
            sizes,
            growth: Growth::new(memory),
            notified: false,
            recv_spin: Spin::new(),
            ack_spin: Spin::new(),
            room_spin: Spin::new(),
            watch: None,
            copies: Copies::default(),
        }
    }
}
