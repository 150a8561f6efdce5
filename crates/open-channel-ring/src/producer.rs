//! The writing end of a ring, which is also the store of what was sent and not yet handled.
use crate::error::{Misbehaviour, RingError};
use crate::layout::{Head, Header, RECORD_HEADER, RingPlace, record_end};
use crate::position::Position;
use crate::shim::{AcqRel, Acquire, AtomicU64, BLOCK, Relaxed, Release, copy_in, store_blocks};
use crate::spsc::{FENCED, Record, Region, RingWatch, Wake, Words};
use crate::wake;

/// Writes records and keeps them until the consumer releases them.
pub struct Producer<R, W> {
    words: Words<R>,
    /// Wakes the consumer.
    consumer: W,
    /// Where the next record goes. Only here: the consumer finds records by their headers.
    tail: u64,
    /// The last `released` that was read and found in range.
    released: u64,
    /// Set by `fence`: what may have been claimed, or that this cannot be known.
    fenced: Option<Result<u64, Misbehaviour>>,
    /// A [`RingReservation`] is being filled where the next record would go.
    reserved: bool,
    /// The consumer had announced its sleep when the last record was published, or none was.
    rang: bool,
}

impl<R: Region, W: Wake> Producer<R, W> {
    pub(crate) fn new(region: R, place: RingPlace, consumer: W) -> Self {
        let words = Words::new(region, place);
        Producer { words, consumer, tail: 0, released: 0, fenced: None, reserved: false, rang: true }
    }

    /// The longest payload of one record, in bytes: a little less than half the ring.
    pub(crate) fn max_payload(&self) -> usize {
        self.words.place.max_payload()
    }

    /// Behind the last record that was committed: released when all of them are.
    pub fn tail(&self) -> Position {
        Position(self.tail)
    }

    /// Room for a record of up to `len` bytes, to be filled in place. Dropping the slot instead of
    /// committing it takes nothing.
    ///
    /// # Errors
    /// [`RingError::Full`] says what to wait for; also `Reserved`, `TooLarge`, `Fenced` and `Misbehaved`.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<WriteSlot<'_, R, W>, RingError> {
        let fill = self.make_room(len)?;
        Ok(WriteSlot { producer: self, fill })
    }

    /// [`reserve`](Self::reserve) for a writer that comes and goes: the reservation borrows nothing, and until
    /// it is [committed](Self::commit) or [abandoned](Self::abandon) the ring takes no other record.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_apart(&mut self, len: usize) -> Result<RingReservation<R>, RingError> {
        let fill = self.make_room(len)?;
        self.reserved = true;
        Ok(RingReservation { words: self.words.clone(), fill })
    }

    /// Publishes what was written to a reservation *of this ring* and returns where the record ends.
    ///
    /// # Panics
    /// If this ring has no reservation.
    pub fn commit(&mut self, mut reservation: RingReservation<R>, kind: u8, flags: u8) -> Position {
        assert!(self.reserved, "the reservation belongs to another ring");
        self.reserved = false;
        reservation.fill.finish(&self.words);
        self.publish(reservation.fill.start, reservation.fill.written, kind, flags);
        Position(self.tail)
    }

    /// Takes a reservation of this ring back: nothing was written.
    pub fn abandon(&mut self) {
        self.reserved = false;
    }

    #[inline]
    fn make_room(&mut self, len: usize) -> Result<Fill, RingError> {
        if self.fenced.is_some() {
            return Err(RingError::Fenced);
        }
        if self.reserved {
            return Err(RingError::Reserved);
        }
        if len > self.max_payload() {
            return Err(RingError::TooLarge { len, max: self.max_payload() });
        }
        let place = self.words.place;
        let rest = place.capacity - place.offset(self.tail);
        let fits = record_end(self.tail, len) - self.tail <= rest;
        let start = if fits { self.tail } else { self.tail + rest };
        let end = record_end(start, len);
        // The consumer's line is read only when the last look at it does not suffice.
        if end - self.released > place.usable() {
            self.released()?;
            if end - self.released > place.usable() {
                return Err(RingError::Full { wanted: Position(end - place.usable()) });
            }
        }
        Ok(Fill { start, room: len, written: 0, partial: 0 })
    }

    /// Reserves, copies `payload` in, commits.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    #[inline]
    pub fn push(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Result<Position, RingError> {
        let mut slot = self.reserve(payload.len())?;
        slot.append(payload);
        Ok(slot.commit(kind, flags))
    }

    /// How far the consumer has released. Reads the shared index and checks it.
    ///
    /// # Errors
    /// [`RingError::Misbehaved`] when it went back, or beyond what was written.
    #[inline]
    pub fn released(&mut self) -> Result<Position, RingError> {
        // Acquire: the consumer has read what it releases, before we write over it.
        let released = self.words.released().load(Acquire);
        if released < self.released || released > self.tail || !released.is_multiple_of(8) {
            return Err(Misbehaviour::Released.into());
        }
        self.released = released;
        Ok(Position(released))
    }

    /// From when this returns the consumer can claim nothing more, and a consumer that is asleep
    /// finds out. Returns up to where records may have been claimed. Calling it again returns the same.
    ///
    /// # Errors
    /// [`RingError::Misbehaved`] when the consumer left nonsense in the index. The ring is fenced all
    /// the same, and [`unreleased`](Self::unreleased) takes every record for claimed.
    pub fn fence(&mut self) -> Result<Position, RingError> {
        let claimed = match self.fenced {
            Some(claimed) => claimed,
            None => {
                let claimed = self.words.claimed().fetch_or(FENCED, AcqRel) & !FENCED;
                let claimed = match self.released() {
                    Ok(Position(released)) if (released..=self.tail).contains(&claimed) => Ok(claimed),
                    _ => Err(Misbehaviour::Claimed),
                };
                self.fenced = Some(claimed);
                self.consumer.wake();
                claimed
            }
        };
        Ok(Position(claimed?))
    }

    /// Every record that is not released, oldest first; of each it is known whether the consumer may
    /// have claimed it (exactly after [`fence`](Self::fence), as of now before).
    ///
    /// The iterator ends after its first error: the consumer, which could write to this memory, has
    /// broken a header.
    pub fn unreleased(&mut self) -> Unreleased<'_, R> {
        // A bad index releases nothing: better delivered twice than lost.
        let _ = self.released();
        let claimed = match self.fenced {
            Some(claimed) => claimed.unwrap_or(self.tail),
            None => self.words.claimed().load(Relaxed),
        };
        Unreleased { words: &self.words, next: self.released, tail: self.tail, claimed }
    }

    /// Announces that this side is about to sleep until everything before `wanted` is released. To be
    /// followed by a look at what is [`released`](Self::released), and only when that is too little by sleeping. The consumer wakes this side
    /// earlier, whatever it released, if it has nothing more to read.
    ///
    /// Returns whether the announcement before this one was used up (or there was none): this side was woken for it.
    pub fn prepare_park(&self, wanted: Position) -> bool {
        wake::announce(self.words.space_wait(), wanted.0.max(1)) == 0
    }

    /// Looks whether everything before `wanted` is [`released`](Self::released), without the producer; for spinning.
    pub fn watch(&self, wanted: Position) -> RingWatch<R> {
        RingWatch::released(self.words.clone(), wanted)
    }

    /// Bytes of the ring.
    pub fn capacity(&self) -> usize {
        self.words.place.capacity as usize
    }

    #[inline]
    fn publish(&mut self, start: u64, len: usize, kind: u8, flags: u8) {
        let place = self.words.place;
        let end = record_end(start, len);
        // First of all "nothing here yet" behind the record: whoever sees the record sees this.
        self.words.at(end).store(0, Relaxed);
        let header = Header::record(len, kind, flags, start).word();
        if start == self.tail {
            self.words.at(start).store(header, Release);
        } else {
            // The record lies behind padding. The padding's header is what publishes both.
            self.words.at(start).store(header, Relaxed);
            let rest = place.capacity - place.offset(self.tail);
            let padding = Header::padding(rest - RECORD_HEADER, self.tail);
            self.words.at(self.tail).store(padding.word(), Release);
        }
        self.tail = end;
        self.rang = wake::must_wake(self.words.data_wait(), |_| true);
        if self.rang {
            self.consumer.wake();
        }
    }

    /// Whether the consumer had not announced its sleep when the last record was published: it was awake, or being woken.
    pub fn found_awake(&self) -> bool {
        !self.rang
    }
}

/// How far a record under way has been written.
#[derive(Debug)]
struct Fill {
    start: u64,
    room: usize,
    written: usize,
    /// The last bytes written that do not make a whole word yet.
    partial: u64,
}

impl Fill {
    fn remaining(&self) -> usize {
        self.room - self.written
    }

    fn word<'a, R: Region>(&self, words: &'a Words<R>, payload_offset: usize) -> &'a AtomicU64 {
        words.at(self.start + RECORD_HEADER + payload_offset as u64)
    }

    #[inline]
    fn append<R: Region>(&mut self, words: &Words<R>, mut bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "more bytes than were reserved");
        let held = self.written % 8;
        if held != 0 {
            let taken = bytes.len().min(8 - held);
            self.partial |= load_partial(&bytes[..taken]) << (held * 8);
            self.written += taken;
            bytes = &bytes[taken..];
            if !self.written.is_multiple_of(8) {
                return;
            }
            self.word(words, self.written - 8).store(self.partial.to_le(), Relaxed);
            self.partial = 0;
        }
        let whole = bytes.len() & !7;
        if whole != 0 {
            copy_in(&bytes[..whole], words.from(self.start + RECORD_HEADER + self.written as u64));
        }
        self.partial = load_partial(&bytes[whole..]);
        self.written += bytes.len();
    }

    /// Copies blocks behind what was written so far; from registers, if that is a multiple of eight bytes.
    #[inline]
    fn append_blocks<R: Region>(&mut self, words: &Words<R>, mut blocks: impl Iterator<Item = [u8; BLOCK]>) {
        let room = self.remaining() / BLOCK;
        if room > 0 && self.written.is_multiple_of(8) {
            let free = words.from(self.start + RECORD_HEADER + self.written as u64);
            let (stored, rest) = store_blocks(blocks, &free.as_chunks().0[..room]);
            self.written += stored * BLOCK;
            if stored < room {
                return;
            }
            blocks = rest;
        }
        blocks.for_each(|block| self.append(words, &block));
    }

    /// Writes the bytes that do not make a whole word.
    #[inline]
    fn finish<R: Region>(&mut self, words: &Words<R>) {
        let held = self.written % 8;
        if held != 0 {
            self.word(words, self.written - held).store(self.partial.to_le(), Relaxed);
        }
    }
}

/// Room for one record, reserved by [`Producer::reserve`]. It can be written and not read: see
/// [`Record`] for why no reference into shared memory is handed out.
pub struct WriteSlot<'a, R, W> {
    producer: &'a mut Producer<R, W>,
    fill: Fill,
}

impl<R: Region, W: Wake> WriteSlot<'_, R, W> {
    /// Copies `bytes` behind what was written so far.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.fill.append(&self.producer.words, bytes);
    }

    /// Publishes what was written, even if less than was reserved, and wakes the consumer if it
    /// sleeps. Returns where the record ends: released up to there means this one is handled.
    #[inline]
    pub fn commit(mut self, kind: u8, flags: u8) -> Position {
        self.fill.finish(&self.producer.words);
        self.producer.publish(self.fill.start, self.fill.written, kind, flags);
        Position(self.producer.tail)
    }
}

/// A [`WriteSlot`] that stands apart from its producer; from [`Producer::reserve_apart`].
pub struct RingReservation<R> {
    words: Words<R>,
    fill: Fill,
}

impl<R: Region> RingReservation<R> {
    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.fill.remaining()
    }

    /// Copies `bytes` behind what was written so far.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn append(&mut self, bytes: &[u8]) {
        self.fill.append(&self.words, bytes);
    }

    /// [`append`](Self::append) for bytes that are made as they are written: they never lie in other memory. If `blocks` panics,
    /// it is not specified how many of them were written.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub fn append_blocks(&mut self, blocks: impl Iterator<Item = [u8; BLOCK]>) {
        self.fill.append_blocks(&self.words, blocks);
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.fill.written
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.fill.written == 0
    }

    /// Reads back what was written, for the case that its ring is of no use any more.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.fill.finish(&self.words);
        let (start, len) = (self.fill.start, self.fill.written);
        let header = Header::record(len, 0, 0, start);
        self.words.record(Head { start, end: record_end(start, len), header }).to_vec()
    }
}

impl<R> std::fmt::Debug for RingReservation<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fill.fmt(f)
    }
}

/// Up to seven bytes as the low bytes of a word.
#[inline]
fn load_partial(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// What [`Producer::unreleased`] returns.
pub struct Unreleased<'a, R> {
    words: &'a Words<R>,
    next: u64,
    tail: u64,
    claimed: u64,
}

/// A record that still lies in its producer's ring.
#[derive(Debug, Clone, Copy)]
pub struct StoredRecord<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Whether the consumer may have seen it.
    pub maybe_claimed: bool,
}

impl<'a, R: Region> Iterator for Unreleased<'a, R> {
    type Item = Result<StoredRecord<'a>, RingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.tail {
            return None;
        }
        let found = match self.words.next_record(self.next) {
            Ok(Some(head @ Head { end, .. })) if end <= self.tail => Ok(head),
            // We wrote a record here and it ended at or before the tail.
            Ok(_) => Err(Misbehaviour::Stamp),
            Err(misbehaviour) => Err(misbehaviour),
        };
        Some(match found {
            Ok(head) => {
                self.next = head.end;
                let maybe_claimed = head.end <= self.claimed;
                Ok(StoredRecord { record: self.words.record(head), maybe_claimed })
            }
            Err(misbehaviour) => {
                self.next = self.tail;
                Err(misbehaviour.into())
            }
        })
    }
}
