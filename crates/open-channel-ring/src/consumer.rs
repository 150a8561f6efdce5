//! The reading end of a ring: claims records, copies them out, and releases them when they are
//! handled.
use crate::error::{Misbehaviour, RingError};
use crate::layout::RingPlace;
use crate::position::Position;
use crate::shim::{AcqRel, Relaxed, Release};
use crate::spsc::{Claim, ClaimedRecord, FENCED, Record, Region, RingWatch, Wake, Words};
use crate::wake;

/// Reads records. Reading one takes two steps, and a third when it was handled:
/// claim (a compare-and-swap that a fence makes fail), copy out, release.
pub struct Consumer<R, W> {
    words: Words<R>,
    /// Wakes the producer.
    producer: W,
    /// Up to where records are claimed and handed out.
    read: u64,
    /// What was released; everything from here on the producer still keeps.
    released: u64,
    /// Something was released since the producer was woken last.
    untold: bool,
    /// Once something went wrong it stays wrong.
    failed: Option<RingError>,
}

impl<R: Region, W: Wake> Consumer<R, W> {
    pub(crate) fn new(region: R, place: RingPlace, producer: W) -> Self {
        let words = Words::new(region, place);
        Consumer { words, producer, read: 0, released: 0, untold: false, failed: None }
    }

    /// Claims the next record; `None` while there is none. The record can be copied out as long as
    /// it is borrowed; the producer keeps it until [`release`](Self::release) passes its end.
    ///
    /// # Errors
    /// [`RingError::Fenced`], [`RingError::Misbehaved`]; each then stays.
    #[inline]
    pub fn claim(&mut self) -> Result<Option<Record<'_>>, RingError> {
        let claim = self.claim_if(|_, _, _| true)?;
        Ok(claim.map(|claim| self.record(claim)))
    }

    /// A record that this end has claimed and not released. (A claim of another ring gives some bytes of this one, or panics.)
    #[inline]
    pub fn record(&self, claim: Claim) -> Record<'_> {
        self.words.record(claim.0)
    }

    /// [`record`](Self::record), for who reads it later, or piece by piece, while others go on with this end of the ring.
    /// Until then it must not be released.
    #[inline]
    pub fn detach(&self, claim: Claim) -> ClaimedRecord<R> {
        ClaimedRecord::new(self.words.clone(), claim.0)
    }

    /// [`claim`](Self::claim), of a record that is `wanted` by its kind, its flags and its length; another stays
    /// unclaimed.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    #[inline]
    pub fn claim_if(
        &mut self,
        wanted: impl FnOnce(u8, u8, usize) -> bool,
    ) -> Result<Option<Claim>, RingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let head = match self.words.next_record(self.read) {
            Ok(Some(head)) if head.end - self.released <= self.words.place.usable() => head,
            Ok(None) if !self.is_fenced() => {
                self.tell();
                return Ok(None);
            }
            Ok(None) => return Err(self.fail(RingError::Fenced)),
            Ok(Some(_)) => return Err(self.fail(Misbehaviour::Overrun.into())),
            Err(misbehaviour) => return Err(self.fail(misbehaviour.into())),
        };
        if !wanted(head.header.kind(), head.header.flags(), head.len()) {
            return Ok(None);
        }
        match self.words.claimed().compare_exchange(self.read, head.end, AcqRel, Relaxed) {
            Ok(_) => {}
            Err(found) if found == self.read | FENCED => return Err(self.fail(RingError::Fenced)),
            Err(_) => return Err(self.fail(Misbehaviour::Claimed.into())),
        }
        self.read = head.end;
        if self.words.at(self.read).load(Relaxed) == 0 {
            self.tell();
        }
        Ok(Some(Claim(head)))
    }

    /// Says that everything before `upto` is handled: the producer forgets it. Going back is ignored.
    /// Still possible after a fence, for what was claimed before.
    ///
    /// # Errors
    /// [`RingError::ReleasedAhead`] when `upto` lies beyond the last record handed out.
    #[inline]
    pub fn release(&mut self, upto: Position) -> Result<(), RingError> {
        let Position(upto) = upto;
        if upto > self.read {
            return Err(RingError::ReleasedAhead);
        }
        if upto > self.released {
            self.released = upto;
            // Release: what we read from there is read before the producer writes over it.
            self.words.released().store(upto, Release);
            // A producer may wait for more than it needs. While there is more to read, more will be released.
            let enough = |wanted| upto >= wanted || self.words.at(self.read).load(Relaxed) == 0;
            self.untold = !wake::must_wake(self.words.space_wait(), enough);
            if !self.untold {
                self.producer.wake();
            }
        }
        Ok(())
    }

    /// Whether the producer has fenced this ring. Costs one read of our own cache line.
    #[inline]
    fn is_fenced(&self) -> bool {
        self.words.claimed().load(Relaxed) & FENCED != 0
    }

    /// Whether [`claim`](Self::claim) has something to say: a record, a fence or an error.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.words.at(self.read).load(Relaxed) != 0 || self.failed.is_some() || self.is_fenced()
    }

    /// Looks for [`is_ready`](Self::is_ready) without the consumer; for spinning.
    pub fn watch(&self) -> RingWatch<R> {
        RingWatch::data(self.words.clone(), self.read)
    }

    /// [`watch`](Self::watch) with one that either end of this link has given before, which costs less than a new one.
    pub fn watch_again(&self, watch: RingWatch<R>) -> RingWatch<R> {
        watch.moved_to(self.words.place, self.read)
    }

    /// Announces that this side is about to sleep until there is a record. To be followed by
    /// [`is_ready`](Self::is_ready), and only when that says no by sleeping.
    pub fn prepare_park(&self) {
        wake::announce(self.words.data_wait(), 1);
    }

    /// There is nothing more to read: a producer that sleeps until more is released makes do with what there is.
    #[inline]
    fn tell(&mut self) {
        if std::mem::take(&mut self.untold) && wake::must_wake(self.words.space_wait(), |_| true) {
            self.producer.wake();
        }
    }

    #[cold]
    fn fail(&mut self, error: RingError) -> RingError {
        self.failed = Some(error);
        error
    }
}
