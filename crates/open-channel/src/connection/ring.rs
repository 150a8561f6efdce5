//! The session on a ring: messages go through shared memory in parts, and the release of a part is its
//! acknowledgement. The stream beside the ring carries the other frames.
//!
//! ```text
//!        ┌───────────────────┐                 ┌─────────┐
//!   send ┴▶ outbox ─ store ──┴▶ ring ═══▶ claim ┴▶ inbox ─┴▶ recv
//!                               ▲                           │
//!           take_releases ◀── released ◀── release ◀── Message dropped
//! ```
//! A whole message that need not wait takes the upper way, on either side.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    Arrival, Kept, MAX_PACK_COST, Next, Part, PartKind, ProtocolError, Refused, Session,
};
use open_channel_ring::{
    Bell, Claim, Claimed, Consumer, Mapped, Position, Producer, Record, Reservation, RingError, RingLink,
    Spin, Watch,
};

use super::inner::{Inner, Read, Trouble};
use crate::connection::Eyes;
use crate::error::Error;
use crate::waiters::Interest;

/// A record's flag: the message may have been handled by an earlier host.
const REDELIVERED: u8 = 1;
/// A record's flag: there are several messages in it.
const PACKED: u8 = 2;

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

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
    producer: Producer<Mapped, Bell>,
    consumer: Consumer<Mapped, Bell>,
    /// Longest payload of a part.
    part: usize,
    /// Longest message that waits for its place.
    worth_waiting: usize,
    /// What the other side has released, as far as the session knows.
    released: u64,
    /// The nearest release that somebody waits for; 0 when nobody does.
    awaited: u64,
    /// What the other side was asked to ring for last; 0 if all of it has come.
    announced: u64,
    /// There was no room for what the session has next.
    full: bool,
    sent: u32,
    /// Those who wait for a message know of the one that comes next.
    told: bool,
    spin: Spin,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("released", &self.released).field("awaited", &self.awaited).finish()
    }
}

impl Ring {
    pub(crate) fn new(link: RingLink) -> Self {
        let RingLink { producer, consumer, bell: _ } = link;
        let capacity = producer.capacity();
        Self {
            producer,
            consumer,
            part: capacity / PARTS - TOTAL,
            worth_waiting: capacity / QUARTER,
            released: 0,
            awaited: 0,
            announced: 0,
            full: false,
            sent: 0,
            told: false,
            spin: Spin::new(),
        }
    }

    pub(super) fn arrival(&self) -> Watch<Mapped> {
        self.consumer.watch()
    }

    /// Another message was sent: whether to look at what the reader has released.
    fn is_time_to_look(&mut self) -> bool {
        self.sent = self.sent.wrapping_add(1);
        self.sent.is_multiple_of(SENT_PER_LOOK)
    }

    fn push(&mut self, part: Part<'_>) -> Result<Position, RingError> {
        let flags = flag(part.redelivered, REDELIVERED) | flag(part.packed, PACKED);
        let kind = part.kind.to_bits();
        if part.kind != PartKind::First {
            return self.producer.push(kind, flags, part.payload);
        }
        let mut slot = self.producer.reserve(TOTAL + part.payload.len())?;
        slot.append(&(part.total as u64).to_le_bytes());
        slot.append(part.payload);
        Ok(slot.commit(kind, flags))
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
    Ring { slot: Reservation<Mapped>, link: u64 },
    /// Nowhere in particular, for at most `len` bytes.
    Buffer { bytes: BytesMut, len: usize },
}

/// Whether a pack went into the ring as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Its first message has this number.
    At(u64),
    /// There is no room for it yet.
    Full,
    /// It has to go through the outbox.
    Elsewhere,
}

/// A message that goes from the ring to the application at once, past the session's inbox.
pub(super) struct Direct<P> {
    pub(super) payload: P,
    pub(super) seq: u64,
    pub(super) redelivered: bool,
}

/// What a caller looks at while it spins, without the connection's lock.
pub(super) struct Spinning {
    watch: Watch<Mapped>,
    spin: Spin,
}

impl Spinning {
    pub(super) fn run(mut self) -> Self {
        self.spin.until(|| self.watch.is_due());
        self
    }
}

/// Reads a record's kind, and for a first part the length before its payload.
fn arrival(record: &Record<'_>) -> Result<Arrival, ProtocolError> {
    let kind =
        PartKind::from_bits(record.kind()).ok_or(ProtocolError::Unexpected("a record of no known kind"))?;
    let (mut total, mut len) = (0, record.len());
    if kind == PartKind::First {
        len = len.checked_sub(TOTAL).ok_or(ProtocolError::Unexpected("a first part without a length"))?;
        total = record.word(0);
    }
    if record.flags() & !(REDELIVERED | PACKED) != 0 {
        return Err(ProtocolError::Unexpected("a record with flags that mean nothing"));
    }
    let redelivered = record.flags() & REDELIVERED != 0;
    let packed = record.flags() & PACKED != 0;
    Ok(Arrival { kind, redelivered, packed, total, len, end: record.end().bytes() })
}

fn receive(session: &mut Session, record: &Record<'_>, arrival: Arrival) -> Result<(), ProtocolError> {
    session.receive_part(arrival, |bytes| record.append_to(bytes, record.len() - arrival.len))
}

/// A record that lay in our own memory when its reader was given up.
fn kept(stored: open_channel_ring::Stored<'_>) -> Option<Kept> {
    let open_channel_ring::Stored { record, maybe_claimed } = stored;
    let completes = PartKind::from_bits(record.kind()).is_some_and(PartKind::completes);
    completes.then(|| Kept {
        end: record.end().bytes(),
        claimed: maybe_claimed,
        // Of a longer message the outbox has the bytes itself.
        payload: record.to_vec().into(),
    })
}

impl Inner {
    /// A message was sent: moves it into the ring, if there may be room.
    pub(super) fn sent_to_ring(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        if ring.is_time_to_look() {
            self.take_releases();
        }
        if self.ring.as_ref().is_some_and(|ring| !ring.full) {
            self.store();
        }
    }

    /// Moves what the session has into the ring, as far as there is room.
    pub(super) fn store(&mut self) {
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

    /// Puts a message that is being sent into the ring, if it has room and nothing is in the way; returns its number.
    #[inline]
    pub(super) fn store_message(&mut self, payload: &[u8]) -> Option<u64> {
        if self.ring.is_some() && !self.session.has_room(payload.len()) {
            self.take_releases();
        }
        if self.failed.is_some() || !self.session.has_room(payload.len()) {
            return None;
        }
        let Stored::At(seq) = self.store_pack(Next::of(payload)) else { return None };
        if self.ring.as_mut().is_some_and(|ring| ring.is_time_to_look()) {
            self.take_releases();
        }
        Some(seq)
    }

    /// Puts a pack into the ring right away, if nothing is in the way.
    #[inline]
    pub(super) fn store_pack(&mut self, pack: Next<'_>) -> Stored {
        let Self { ring: Some(ring), session, .. } = self else { return Stored::Elsewhere };
        let (len, count) = (pack.bytes.len(), pack.count);
        if len > ring.part || !session.may_store_pack(pack.longest, pack.cost) {
            return Stored::Elsewhere;
        }
        match ring.producer.push(PartKind::Whole.to_bits(), flag(count > 1, PACKED), pack.bytes) {
            Ok(end) => Stored::At(session.pack_stored(len, count, end.bytes())),
            Err(RingError::Full { .. }) => Stored::Full,
            // Also when it is broken: the next look at it says so.
            Err(_) => Stored::Elsewhere,
        }
    }

    /// Room for a message of at most `len` bytes, in the ring if nothing is in the way; `None` if that is worth waiting for.
    pub(super) fn reserve(&mut self, len: usize) -> Option<Room> {
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
                    ring.wait_for_room();
                    return None;
                }
                // Or it is much too long or not the only one; or the ring is broken, which the next look at it says.
                Err(_) => {}
            }
        }
        Some(Room::Buffer { bytes: BytesMut::with_capacity(len), len })
    }

    /// Sends what was written to a reservation.
    pub(super) fn commit(&mut self, room: Room) -> Result<u64, Refused> {
        match (room, &mut self.ring) {
            (Room::Ring { slot, link }, Some(ring)) if link == self.links => {
                let len = slot.len();
                if self.session.may_store(len) {
                    let end = ring.producer.commit(slot, PartKind::Whole.to_bits(), 0);
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

    pub(super) fn abandon_reservation(&mut self, link: u64) {
        if let Some(ring) = &mut self.ring
            && link == self.links
        {
            ring.producer.abandon();
            self.store();
        }
    }

    /// Takes in what the other side has released.
    pub(super) fn take_releases(&mut self) -> bool {
        let taken = self.try_take_releases();
        self.survive(taken).unwrap_or(true)
    }

    fn try_take_releases(&mut self) -> Result<bool, Trouble> {
        let Self { ring: Some(ring), session, waiters, woken, polling, .. } = self else { return Ok(false) };
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

    /// Takes the next message out of the ring, unless one is there already.
    pub(super) fn claim(&mut self) {
        if !self.session.is_readable() {
            let claimed = self.claim_message();
            self.survive(claimed);
        }
    }

    /// Takes messages out of the ring, as many as may go to the application at once, unless there are some already.
    pub(super) fn claim_many(&mut self) {
        self.claim();
        while self.session.is_readable() && self.session.unhandled_bytes() < MAX_PACK_COST {
            let before = self.session.unhandled_bytes();
            let claimed = self.claim_message();
            if self.survive(claimed) != Some(true) || self.session.unhandled_bytes() == before {
                return;
            }
        }
    }

    /// Copies the next message out of the ring, for the application and past the inbox, if it is whole and no other comes
    /// before it. If not, takes it in as [`claim`](Self::claim) does.
    #[inline]
    pub(super) fn claim_copy(&mut self) -> Option<Direct<Bytes>> {
        self.claim_directly(|consumer, claim| consumer.record(claim).to_vec().into())
    }

    /// [`claim_copy`](Self::claim_copy) without the copy: the message's bytes stay in the ring.
    pub(super) fn claim_in_place(&mut self) -> Option<Direct<Claimed<Mapped>>> {
        self.claim_directly(Consumer::keep)
    }

    #[inline]
    fn claim_directly<P>(
        &mut self,
        take: impl FnOnce(&Consumer<Mapped, Bell>, Claim) -> P,
    ) -> Option<Direct<P>> {
        if self.session.is_readable() {
            return None;
        }
        let claimed = self.try_claim_directly(take);
        self.survive(claimed).flatten()
    }

    #[inline]
    fn try_claim_directly<P>(
        &mut self,
        take: impl FnOnce(&Consumer<Mapped, Bell>, Claim) -> P,
    ) -> Result<Option<Direct<P>>, Trouble> {
        let Self { ring: Some(ring), session, .. } = self else { return Ok(None) };
        ring.told = false;
        let Some(claim) = ring.consumer.claim_next()? else { return Ok(None) };
        let record = ring.consumer.record(claim);
        let arrival = arrival(&record)?;
        if arrival.kind == PartKind::Whole && !arrival.packed {
            let (seq, redelivered) = (session.receive_apart(arrival)?, arrival.redelivered);
            return Ok(seq.map(|seq| Direct { payload: take(&ring.consumer, claim), seq, redelivered }));
        }
        receive(session, &record, arrival)?;
        if !arrival.kind.completes() {
            ring.consumer.release(Position::new(session.releasable()))?;
            self.claim_message()?;
        }
        Ok(None)
    }

    fn claim_message(&mut self) -> Result<bool, Trouble> {
        let Self { ring: Some(ring), session, .. } = self else { return Ok(false) };
        ring.told = false;
        while let Some(record) = ring.consumer.claim()? {
            let arrival = arrival(&record)?;
            receive(session, &record, arrival)?;
            if arrival.kind.completes() {
                return Ok(true);
            }
            ring.consumer.release(Position::new(session.releasable()))?;
        }
        Ok(false)
    }

    /// Tells the other side what is handled.
    pub(super) fn release(&mut self) {
        if let Some(ring) = &mut self.ring {
            let released = ring.consumer.release(Position::new(self.session.releasable()));
            self.survive(released.map_err(Trouble::from));
        }
    }

    /// Looks at the ring in both directions; whoever waits for what is found is woken. `true` when it is what somebody
    /// with this interest waits for.
    fn look_both_ways(&mut self, interest: Interest) -> bool {
        let released = self.take_releases();
        let Some(ring) = &mut self.ring else { return true };
        // What was claimed together with what a caller took lies in the session.
        let ready = self.session.is_readable() || ring.consumer.is_ready();
        if ready && !ring.told {
            ring.told = true;
            self.waiters.collect(Interest::Recv, self.polling, &mut self.woken);
        }
        match interest {
            // What was announced may be used up, while more is to be announced: another round does that.
            Interest::Recv => ready || released && (self.session.has_untransmitted() || self.is_ending()),
            Interest::Acks => released,
        }
    }

    pub(super) fn read_ring(&mut self) -> Read {
        if self.look_both_ways(Interest::Recv) { Read::Last } else { Read::Nothing }
    }

    /// Takes everything that the other side has put into the ring.
    pub(super) fn drain_ring(&mut self) {
        // The session is told of a broken ring by who gives it up.
        let _ = self.try_take_releases();
        while self.claim_message().unwrap_or(false) {}
        if self.session.is_readable() {
            self.waiters.collect(Interest::Recv, self.polling, &mut self.woken);
        }
    }

    /// The link is lost: nobody gets anything more out of the ring, and what was not handled goes back into the
    /// outbox. Unless the session is over: then what is in the ring has been sent, like bytes in a socket.
    pub(super) fn give_ring_up(&mut self) {
        let Some(mut ring) = self.ring.take() else { return };
        if self.failed.is_some() || self.session.closed().is_some() {
            return;
        }
        // Nonsense in the shared indices releases and claims nothing: better delivered twice than lost.
        let _ = ring.producer.fence();
        let stored: Vec<Kept> = ring.producer.unreleased().map_while(Result::ok).filter_map(kept).collect();
        // After the records were gathered: the reader may release until it notices the fence.
        if let Ok(released) = ring.producer.released() {
            let _ = self.session.released(released.bytes());
        }
        if let Err(problem) = self.session.reclaim(stored) {
            tracing::error!(socket = %self.session.id(), %problem, "messages are lost");
            self.failed.get_or_insert(Error::Protocol(problem.to_string()));
        }
    }

    /// Notes that somebody waits for the acknowledgement of everything before `next`.
    pub(super) fn await_acknowledgement(&mut self, next: u64) {
        if let Some(ring) = &mut self.ring {
            match self.session.stored_end(next) {
                0 => ring.wait_for_room(),
                end => ring.wait_for(end),
            }
        }
    }

    /// Notes that somebody waits for room.
    pub(super) fn await_room(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.wait_for_room();
        }
    }

    /// Asks the other side to ring for what is waited for; to be followed by a look.
    fn announce(&mut self) {
        let ending = self.is_ending();
        let Some(ring) = &mut self.ring else { return };
        if ending {
            ring.wait_for(ring.producer.tail().bytes());
        }
        if self.session.has_untransmitted() {
            ring.wait_for_room();
        }
        ring.consumer.prepare_park();
        if ring.awaited != 0 {
            let rung = ring.producer.prepare_park(Position::new(ring.awaited));
            let asked_before = std::mem::replace(&mut ring.announced, ring.awaited) != 0;
            if asked_before && rung {
                // Perhaps before all that is waited for was released, and whoever was woken may not be who waits for it.
                self.waiters.collect(Interest::Acks, self.polling, &mut self.woken);
            }
        }
    }

    /// Whether something waits for the other side to release what it has, and that side does not know.
    pub(super) fn must_announce(&self) -> bool {
        let Some(ring) = &self.ring else { return false };
        let unreleased = ring.producer.tail().bytes() > ring.released;
        unreleased
            && (ring.awaited == 0 || ring.announced != ring.awaited)
            && (self.session.has_untransmitted() || self.is_ending())
    }

    /// Once this direction has ended, nobody may be left who waits for it to be acknowledged.
    fn is_ending(&self) -> bool {
        self.session.is_finished() && !self.session.is_flushed()
    }

    /// Before a call goes to sleep: what to look at for a while, if that tends to pay.
    pub(super) fn spinning(&self, eyes: Eyes, interest: Interest) -> Option<Spinning> {
        let ring = self.ring.as_ref().filter(|_| eyes.may_spin())?;
        let watch = match interest {
            Interest::Recv => ring.arrival(),
            Interest::Acks if ring.awaited != 0 => ring.producer.watch(Position::new(ring.awaited)),
            Interest::Acks => return None,
        };
        Some(Spinning { watch, spin: ring.spin.clone() })
    }

    pub(super) fn spun(&mut self, spinning: &Spinning) {
        if let Some(ring) = &mut self.ring {
            ring.spin = spinning.spin.clone();
        }
    }

    /// Looks at the ring before a call goes to sleep; `true` when something happened.
    pub(super) fn look_at_ring(&mut self, eyes: Eyes, interest: Interest) -> bool {
        let Some(link) = self.link.clone() else { return false };
        if eyes == Eyes::Task && self.hear_bell() {
            return true;
        }
        if matches!(eyes, Eyes::Thread | Eyes::Loop) {
            // Before the announcement, which a late ring for what was found long ago uses up: that ring has to stay. Others
            // may have been meant by what this silences: the look below finds that too, and wakes them.
            link.silence();
        }
        self.announce();
        self.look_both_ways(interest)
    }

    /// Whether the background thread has to watch the ring, because callers may not.
    pub(super) fn needs_ring_watched(&self) -> bool {
        self.session.has_untransmitted() || self.is_ending() || self.waiters.are_blind()
    }

    /// The background thread watches the bell now; takes in what there was already.
    pub(crate) fn attend_ring(&mut self) {
        loop {
            self.announce();
            if !self.look_both_ways(Interest::Acks) || self.ring.is_none() {
                return;
            }
        }
    }

    /// Looks at the ring and at the stream beside it.
    pub(crate) fn read_both(&mut self) {
        self.read_ring();
        self.read_stream();
    }

    /// Whether a call waits that does not watch the bell itself, so that the background thread should not dally.
    pub(crate) fn is_waited_for_blindly(&self) -> bool {
        self.ring.is_some() && self.waiters.are_blind()
    }
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
