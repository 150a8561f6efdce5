//! How much of its ring a direction uses: little at first, so that its records stay in a core's
//! caches and take little memory; more for large messages, and while the other side is behind.

use open_channel_ring::{Doorbell, Mapped, Producer};

use super::sizes::{LARGE, QUARTER};
use crate::link::ring::{FIRST_LAP, Memory};

/// A lap is shortened where no message took more than this fraction of it, so that the shorter lap
/// does not count it as large again.
const SMALL: usize = 4 * LARGE;

/// Passes through the ring that needed little, until its lap is shortened.
const CALM: u32 = 3;

/// Laps to be sent until memory that was refused is asked for again.
const PATIENCE: usize = 16;

/// The history that decides about the lap.
#[derive(Debug)]
pub(super) struct Growth {
    memory: Memory,
    /// Bytes of large messages since the lap last grew.
    large: usize,
    /// Bytes that are sent before memory is asked for again.
    patience: usize,
    /// The longest message of this pass through the ring, and the most bytes of it that were not
    /// released.
    longest: usize,
    peak: usize,
    /// The number of this pass, and of the calm ones before it.
    pass: u64,
    calm: u32,
}

impl Growth {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, large: 0, patience: 0, longest: 0, peak: 0, pass: 0, calm: 0 }
    }

    /// A message of `len` bytes goes into the ring.
    #[inline]
    pub(super) fn note(&mut self, len: usize) {
        self.longest = self.longest.max(len);
    }

    /// A large message of `len` bytes is sent. Returns whether the lap grew: one message does not
    /// take memory that only a stream of them needs.
    pub(super) fn large(&mut self, producer: &mut Producer<Mapped, Doorbell>, len: usize) -> bool {
        self.note(len);
        self.large = self.large.saturating_add(len);
        self.large >= producer.lap() && self.extend(producer, 2 * producer.lap(), len)
    }

    /// Doubles the lap, for `len` bytes that find no room.
    pub(super) fn full(&mut self, producer: &mut Producer<Mapped, Doorbell>, len: usize) -> bool {
        self.extend(producer, 2 * producer.lap(), len)
    }

    /// Makes the lap long enough for a record of `len` bytes that is to be written in place.
    pub(super) fn in_place(
        &mut self,
        producer: &mut Producer<Mapped, Doorbell>,
        len: usize,
    ) -> bool {
        let lap = len.saturating_mul(QUARTER).checked_next_power_of_two().unwrap_or(usize::MAX);
        self.extend(producer, lap.min(producer.capacity()), len)
    }

    fn extend(
        &mut self,
        producer: &mut Producer<Mapped, Doorbell>,
        lap: usize,
        len: usize,
    ) -> bool {
        let now = producer.lap();
        self.patience = self.patience.saturating_sub(len);
        if lap <= now || lap > producer.capacity() || self.patience > 0 {
            return false;
        }
        let allowed = self.memory.allows(lap - now);
        if allowed {
            producer.extend_lap(lap);
            self.large = 0;
            self.calm = 0;
        } else {
            self.patience = PATIENCE * now;
        }
        allowed
    }

    /// The other side's releases are about to be taken in. Returns whether the lap was shortened.
    pub(super) fn tend(&mut self, producer: &mut Producer<Mapped, Doorbell>) -> bool {
        self.peak = self.peak.max(producer.unreleased_bytes() as usize);
        let pass = producer.tail().bytes() / producer.capacity() as u64;
        if pass == self.pass {
            return false;
        }
        let lap = producer.lap();
        let is_calm = self.peak <= lap / QUARTER && self.longest <= lap / SMALL;
        self.calm = if is_calm { self.calm + 1 } else { 0 };
        (self.pass, self.peak, self.longest) = (pass, 0, 0);
        producer.give_back();
        let shortens = self.calm >= CALM && lap > FIRST_LAP;
        if shortens {
            producer.shorten_lap((lap / 2).max(FIRST_LAP));
            self.calm = 0;
        }
        shortens
    }
}
