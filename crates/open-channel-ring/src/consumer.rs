//! The reading end of a ring.
use std::fmt;

use crate::atomics::{AcqRel, Relaxed, Release};
use crate::error::{Misbehaviour, RingError};
use crate::header::Head;
use crate::layout::RingPlace;
use crate::position::Position;
use crate::record::Record;
use crate::region::Region;
use crate::wake::{self, Wake};
use crate::watch::RingWatch;
use crate::words::{FENCED, Words};

/// Reads records. A record is claimed (a compare-and-swap that a fence makes fail), copied out, and
/// released once it is handled.
pub struct Consumer<R, W> {
    words: Words<R>,
    /// Wakes the producer.
    producer: W,
    /// Up to where records are claimed.
    read: u64,
    /// Up to where records are released; the producer stores everything from here on.
    released: u64,
    /// Something was released since the producer was last woken.
    unnotified: bool,
    /// The first error stays.
    failed: Option<RingError>,
}

impl<R: Region, W: Wake> Consumer<R, W> {
    pub(crate) fn new(region: R, place: RingPlace, producer: W) -> Self {
        let words = Words::new(region, place);
        Consumer { words, producer, read: 0, released: 0, unnotified: false, failed: None }
    }

    /// Claims the next record; `None` while there is none. The record can be copied out as long as
    /// it is borrowed. The producer stores it until [`release`](Self::release) passes its end.
    ///
    /// # Errors
    /// [`RingError::Fenced`], [`RingError::Misbehaved`]; each then stays.
    #[inline]
    pub fn claim(&mut self) -> Result<Option<Record<'_>>, RingError> {
        let claim = self.claim_if(|_, _, _| true)?;
        Ok(claim.map(|claim| self.record(claim)))
    }

    /// Claims the next record if it is `wanted` by its kind, its flags and its length in bytes;
    /// otherwise the record stays unclaimed, and the answer is `None`.
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
                self.notify_producer();
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
            self.notify_producer();
        }
        Ok(Some(Claim(head)))
    }

    /// A record that this end has claimed and not released. A claim of another ring gives some
    /// bytes of this one, or panics.
    #[inline]
    pub fn record(&self, claim: Claim) -> Record<'_> {
        self.words.record(claim.0)
    }

    /// The [`record`](Self::record), to be read later or piece by piece while others use this end
    /// of the ring. Until then it must not be released.
    #[inline]
    pub fn detach(&self, claim: Claim) -> ClaimedRecord<R> {
        ClaimedRecord { words: self.words.clone(), head: claim.0 }
    }

    /// Says that everything before `upto` is handled: the producer forgets it. Going back is
    /// ignored. After a fence this still works, for records that were claimed before.
    ///
    /// # Errors
    /// [`RingError::ReleasedAhead`] when `upto` lies beyond the last record claimed.
    #[inline]
    pub fn release(&mut self, upto: Position) -> Result<(), RingError> {
        let Position(upto) = upto;
        if upto > self.read {
            return Err(RingError::ReleasedAhead);
        }
        if upto > self.released {
            self.released = upto;
            // Release: we have read what lies there before the producer writes over it.
            self.words.released().store(upto, Release);
            // A producer may wait for more than it needs. While there is more to read, more will be
            // released.
            let enough = |wanted| upto >= wanted || self.words.at(self.read).load(Relaxed) == 0;
            self.unnotified = !wake::must_wake(self.words.space_wait(), enough);
            if !self.unnotified {
                self.producer.wake();
            }
        }
        Ok(())
    }

    /// Whether [`claim`](Self::claim) has an answer: a record, a fence or an error.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.words.at(self.read).load(Relaxed) != 0 || self.failed.is_some() || self.is_fenced()
    }

    /// A watch that is due when [`is_ready`](Self::is_ready) is; for spinning without the consumer.
    pub fn watch(&self) -> RingWatch<R> {
        RingWatch::data(self.words.clone(), self.read)
    }

    /// As [`watch`](Self::watch), made of one that either end of this link gave before. That costs
    /// less than a new one.
    pub fn watch_again(&self, watch: RingWatch<R>) -> RingWatch<R> {
        watch.moved_to(self.words.place, self.read)
    }

    /// Announces that this side is about to sleep until there is a record. The caller then asks
    /// [`is_ready`](Self::is_ready), and sleeps only if the answer is no.
    pub fn prepare_park(&self) {
        wake::announce(self.words.data_wait(), 1);
    }

    /// Reads this side's own cache line, unless the producer has just fenced the ring.
    #[inline]
    fn is_fenced(&self) -> bool {
        self.words.claimed().load(Relaxed) & FENCED != 0
    }

    /// There is nothing more to read, so a producer that waits for more room gets what there is.
    #[inline]
    fn notify_producer(&mut self) {
        if std::mem::take(&mut self.unnotified)
            && wake::must_wake(self.words.space_wait(), |_| true)
        {
            self.producer.wake();
        }
    }

    #[cold]
    fn fail(&mut self, error: RingError) -> RingError {
        self.failed = Some(error);
        error
    }
}

/// A record that was claimed, by its place in its ring.
#[derive(Debug, Clone, Copy)]
pub struct Claim(Head);

/// A claimed record apart from its end of the ring; the memory stays mapped as long as it lives.
/// Its bytes are those that the producer wrote as long as it is not released. Reading them is sound
/// in any case.
pub struct ClaimedRecord<R> {
    words: Words<R>,
    head: Head,
}

impl<R: Region> ClaimedRecord<R> {
    /// The record.
    #[inline]
    pub fn record(&self) -> Record<'_> {
        self.words.record(self.head)
    }
}

impl<R> fmt::Debug for ClaimedRecord<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)
    }
}
