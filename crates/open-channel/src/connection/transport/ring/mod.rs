//! The session on a ring: messages go through shared memory in parts, and the release of a part is
//! its acknowledgement. The stream beside the ring carries the other frames.
//!
//! ```text
//!        ┌───────────────────┐                 ┌─────────┐
//!   send ┴▶ outbox ─ store ──┴▶ ring ═══▶ claim ┴▶ inbox ─┴▶ recv
//!                               ▲                           │
//!           take_releases ◀── released ◀── release ◀── Message::ack
//! ```
//! A whole message that need not wait takes the upper way, on either side: it never lies in the
//! session.

use std::fmt;

use open_channel_ring::{Consumer, Doorbell, Mapped, Producer, RingLink, RingWatch, Spin};

use crate::connection::transport::ring::copies::Copies;

mod copies;
mod receiving;
mod sending;
mod waiting;

pub(crate) use receiving::Direct;
pub(crate) use sending::Stored;
pub(crate) use waiting::{Spinning, is_ending};

/// Bytes before the payload of a first part: the length of the whole message.
const TOTAL: usize = 8;

/// Parts of a ring's size, so that one side copies out while the other copies in, and little is left
/// unused where a part does not fit before the end of the ring.
const PARTS: usize = 8;

/// Of the ring: a message up to this size finds its place behind what the receiver keeps, although a
/// gap of the same size may lie before the end of the ring.
const QUARTER: usize = 4;

/// One side's ends of the rings, as its connection uses them.
pub(crate) struct Ring {
    producer: Producer<Mapped, Doorbell>,
    consumer: Consumer<Mapped, Doorbell>,
    sending: Sending,
    /// Those who wait for a message know of the one that comes next.
    notified: bool,
    /// Of those who wait for a message, for an acknowledgement, and for room.
    recv_spin: Spin,
    ack_spin: Spin,
    room_spin: Spin,
    /// What a spin looked at, for the next one.
    watch: Option<RingWatch<Mapped>>,
    copies: Copies,
}

/// How far the direction is in which this side sends.
struct Sending {
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
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sending { released, awaited, .. } = &self.sending;
        f.debug_struct("Ring").field("released", released).field("awaited", awaited).finish()
    }
}

impl Ring {
    pub(crate) fn new(link: RingLink) -> Self {
        let RingLink { producer, consumer, doorbell: _ } = link;
        let capacity = producer.capacity();
        let sending = Sending {
            part: capacity / PARTS - TOTAL,
            worth_waiting: capacity / QUARTER,
            released: 0,
            awaited: 0,
            room_awaited: false,
            announced: 0,
            full: false,
            unlooked: 0,
        };
        Self {
            producer,
            consumer,
            sending,
            notified: false,
            recv_spin: Spin::new(),
            ack_spin: Spin::new(),
            room_spin: Spin::new(),
            watch: None,
            copies: Copies::default(),
        }
    }
}
