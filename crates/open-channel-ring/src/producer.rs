//! The writing end of a ring, which also stores what was sent and is not handled yet.
use crate::atomics::{AcqRel, Acquire, Relaxed, Release};
use crate::error::{Misbehaviour, RingError};
use crate::header::{Head, Header, LINE, record_end};
use crate::layout::{RECORD_HEADER, RingPlace};
use crate::position::Position;
use crate::record::Record;
use crate::region::Region;
use crate::reservation::{Fill, RingReservation};
use crate::wake::{self, Wake};
use crate::watch::RingWatch;
use crate::words::{FENCED, Words};

/// Writes records, and stores them until the consumer releases them.
pub struct Producer<R, W> {
    words: Words<R>,
    /// Wakes the consumer.
    consumer: W,
    /// Where the next record goes. It is not shared: the consumer finds records by their headers.
    tail: u64,
    /// Bytes of the ring, from its first on, that records lie in.
    lap: u64,
    /// Bytes of the ring that are committed: more than a lap that was shortened.
    committed: u64,
    /// The last padding: where it begins, and its length.
    padding: (u64, u64),
    /// The last `released` that was read and found in range.
    released: u64,
    /// After `fence`: up to where records may have been claimed, or that this cannot be known.
    fenced: Option<Result<u64, Misbehaviour>>,
    /// A [`RingReservation`] is being filled where the next record would go.
    reserved: bool,
    /// The consumer had announced its sleep when the last record was published, or none was.
    rang: bool,
}

impl<R: Region, W: Wake> Producer<R, W> {
    pub(crate) fn new(region: R, place: RingPlace, consumer: W) -> Self {
        let words = Words::new(region, place);
        Producer {
            words,
            consumer,
            tail: 0,
            lap: place.capacity,
            committed: place.capacity,
            padding: (0, 0),
            released: 0,
            fenced: None,
            reserved: false,
            rang: true,
        }
    }

    /// The same with a first lap of `bytes`, at most.
    pub(crate) fn with_lap(self, bytes: usize) -> Self {
        let lap = lap_within(&self.words.place, bytes);
        Producer { lap, committed: lap, ..self }
    }

    /// Room for a record of up to `len` bytes, to be filled in place. Dropping the slot instead of
    /// committing it takes no room.
    ///
    /// # Errors
    /// [`RingError::Full`] says which position to wait for. Also `Reserved`, `TooLarge`, `Fenced`
    /// and `Misbehaved`.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<WriteSlot<'_, R, W>, RingError> {
        let fill = self.make_room(len)?;
        Ok(WriteSlot { producer: self, fill })
    }

    /// [`reserve`](Self::reserve) for a writer that comes and goes: the reservation borrows
    /// nothing. The ring takes no other record until it is [committed](Self::commit) or
    /// [abandoned](Self::abandon).
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn reserve_apart(&mut self, len: usize) -> Result<RingReservation<R>, RingError> {
        let fill = self.make_room(len)?;
        self.reserved = true;
        Ok(RingReservation::new(self.words.clone(), fill))
    }

    /// Publishes what was written to a reservation *of this ring*. Returns where the record ends.
    ///
    /// # Panics
    /// If this ring has no reservation.
    pub fn commit(&mut self, mut reservation: RingReservation<R>, kind: u8, flags: u8) -> Position {
        assert!(self.reserved, "the reservation belongs to another ring");
        self.reserved = false;
        let (start, len) = reservation.finish();
        self.publish(start, len, kind, flags)
    }

    /// Takes a reservation of this ring back: nothing was written.
    pub fn abandon(&mut self) {
        self.reserved = false;
    }

    /// Reserves, copies `payload` in, commits. Returns where the record ends.
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
    /// [`RingError::Misbehaved`] when the index went back, or beyond what was written.
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

    /// Ends the ring: from the return of this call on, the consumer can claim nothing more. A
    /// consumer that sleeps is woken. Returns up to where records may have been claimed. A second
    /// call returns the same.
    ///
    /// # Errors
    /// [`RingError::Misbehaved`] when the consumer left nonsense in the index. The ring is fenced
    /// all the same, and [`unreleased`](Self::unreleased) takes every record for claimed.
    pub fn fence(&mut self) -> Result<Position, RingError> {
        let claimed = match self.fenced {
            Some(claimed) => claimed,
            None => {
                let claimed = self.words.claimed().fetch_or(FENCED, AcqRel) & !FENCED;
                let claimed = match self.released() {
                    Ok(Position(released)) if (released..=self.tail).contains(&claimed) => {
                        Ok(claimed)
                    }
                    _ => Err(Misbehaviour::Claimed),
                };
                self.fenced = Some(claimed);
                self.consumer.wake();
                claimed
            }
        };
        Ok(Position(claimed?))
    }

    /// Every record that is not released, oldest first, and whether the consumer may have claimed
    /// it: exactly after [`fence`](Self::fence), as of now before.
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

    /// Announces that this side is about to sleep until everything before `wanted` is released. The
    /// caller then looks at what is [`released`](Self::released), and sleeps only if it is too
    /// little. A consumer that has nothing more to read wakes this side earlier, whatever it
    /// released.
    ///
    /// Returns whether the announcement before this one was used up (or there was none): then this
    /// side was woken for it.
    pub fn prepare_park(&self, wanted: Position) -> bool {
        wake::announce(self.words.space_wait(), wanted.0.max(1)) == 0
    }

    /// A watch that is due when everything before `wanted` is released; for spinning without the
    /// producer.
    pub fn watch(&self, wanted: Position) -> RingWatch<R> {
        RingWatch::released(self.words.clone(), wanted)
    }

    /// The end of the last record that was committed. Released up to here, all of them are handled.
    pub fn tail(&self) -> Position {
        Position(self.tail)
    }

    /// Bytes of the ring.
    pub fn capacity(&self) -> usize {
        self.words.place.capacity as usize
    }

    /// Bytes of the ring that records lie in, from its first on. A ring whose lap is shorter than
    /// itself takes less memory, and its records stay in the caches of a core.
    pub fn lap(&self) -> usize {
        self.lap as usize
    }

    /// Lets records lie in the first `bytes` of the ring, a multiple of a line, and counts what
    /// comes in addition as [committed](crate::committed_bytes). It takes effect with the next
    /// record. The reader need not know.
    pub fn extend_lap(&mut self, bytes: usize) {
        let lap = lap_within(&self.words.place, bytes);
        self.lap = self.lap.max(lap);
        if lap > self.committed {
            self.words.region().commit((lap - self.committed) as usize);
            self.committed = lap;
        }
    }

    /// Lets records lie in the first `bytes` of the ring only, from the next record on.
    /// [`give_back`](Self::give_back) follows.
    pub fn shorten_lap(&mut self, bytes: usize) {
        self.lap = lap_within(&self.words.place, bytes).min(self.lap);
    }

    /// Gives memory behind a shortened lap back, if no record lies there any more.
    pub fn give_back(&mut self) {
        let place = self.words.place;
        let pass = self.tail - place.offset(self.tail);
        let is_clear = self.released >= pass && place.offset(self.tail) <= self.lap;
        if self.committed > self.lap && is_clear && !self.reserved {
            // The word at the end of the records may be the first one behind the lap.
            let (from, to) = (self.lap + LINE, self.committed);
            let first = place.data + (from / 8) as usize;
            let words = first..place.data + (to / 8) as usize;
            if self.words.region().discard(words, (self.committed - self.lap) as usize) {
                self.committed = self.lap;
            }
        }
    }

    /// Bytes of records that are not released, as of the last look, without padding.
    pub fn unreleased_bytes(&self) -> u64 {
        self.tail - self.released - self.padding_ahead().1
    }

    /// The end of the first half of the [unreleased bytes](Self::unreleased_bytes).
    pub fn halfway(&self) -> Position {
        let half = self.released + self.unreleased_bytes().div_ceil(2);
        let (start, len) = self.padding_ahead();
        Position(if len > 0 && half > start { half + len } else { half })
    }

    /// The padding that is not released; a length of 0 if there is none.
    fn padding_ahead(&self) -> (u64, u64) {
        let (start, len) = self.padding;
        if self.released <= start { (start, len) } else { (start, 0) }
    }

    /// Whether the consumer was awake, or being woken, when the last record was published.
    pub fn found_awake(&self) -> bool {
        !self.rang
    }

    /// The longest payload of one record, in bytes: a little less than half of the lap, so that an
    /// empty ring has room for it wherever the last one ended.
    pub(crate) fn max_payload(&self) -> usize {
        (self.lap / 2 - RECORD_HEADER) as usize
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
        let offset = place.offset(self.tail);
        let fits = offset + (record_end(self.tail, len) - self.tail) <= self.lap;
        let start = if fits { self.tail } else { self.tail + (place.capacity - offset) };
        let end = record_end(start, len);
        // The consumer's line is read only when the last look at it does not suffice.
        if end - self.released > place.usable() {
            self.released()?;
            if end - self.released > place.usable() {
                return Err(RingError::Full { wanted: Position(end - place.usable()) });
            }
        }
        Ok(Fill::new(start, len))
    }

    #[inline]
    fn publish(&mut self, start: u64, len: usize, kind: u8, flags: u8) -> Position {
        let place = self.words.place;
        let end = record_end(start, len);
        // "Nothing here yet" behind the record comes first: a reader that sees the record sees
        // this.
        self.words.at(end).store(0, Relaxed);
        let header = Header::record(len, kind, flags, start).word();
        if start == self.tail {
            self.words.at(start).store(header, Release);
        } else {
            // The record lies behind padding, whose header publishes both.
            self.words.at(start).store(header, Relaxed);
            let rest = place.capacity - place.offset(self.tail);
            let padding = Header::padding(rest - RECORD_HEADER, self.tail);
            self.words.at(self.tail).store(padding.word(), Release);
            self.padding = (self.tail, rest);
        }
        self.tail = end;
        self.rang = wake::must_wake(self.words.data_wait(), |_| true);
        if self.rang {
            self.consumer.wake();
        }
        Position(end)
    }
}

/// Room for one record, from [`Producer::reserve`]. It can be written and not read:
/// [`Record`] says why no reference into shared memory is handed out.
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

    /// Publishes what was written, even if less than was reserved, and wakes a consumer that
    /// sleeps. Returns where the record ends: it is handled when everything up to there is
    /// released.
    #[inline]
    pub fn commit(mut self, kind: u8, flags: u8) -> Position {
        let (start, len) = self.fill.finish(&self.producer.words);
        self.producer.publish(start, len, kind, flags)
    }
}

/// The records of a ring that are not released; from [`Producer::unreleased`].
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
            // We wrote a record here, and it ended at or before the tail.
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

fn lap_within(place: &RingPlace, bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(LINE).min(place.capacity)
}
