//! The shared words of one ring, as both ends use them.
use crate::atomics::{Acquire, AtomicU64};
use crate::error::Misbehaviour;
use crate::header::{Head, next_record};
use crate::layout::{self, RECORD_HEADER, RingPlace};
use crate::record::Record;
use crate::region::Region;

/// The fence: the producer sets it in the `claimed` word and never clears it. Positions are
/// multiples of eight, so the bit is free.
pub(crate) const FENCED: u64 = 1;

/// The words of one ring.
#[derive(Clone)]
pub(crate) struct Words<R> {
    region: R,
    pub(crate) place: RingPlace,
}

impl<R: Region> Words<R> {
    pub(crate) fn new(region: R, place: RingPlace) -> Self {
        // Every later index is below this one, so a wrong layout shows here and not in the middle.
        let end = place.data + (place.capacity / 8) as usize;
        assert!(end <= region.words().len(), "the layout is larger than the region");
        Words { region, place }
    }

    pub(crate) fn region(&self) -> &R {
        &self.region
    }

    #[inline]
    fn control(&self, line: usize) -> &AtomicU64 {
        &self.region.words()[self.place.control + line]
    }

    #[inline]
    pub(crate) fn claimed(&self) -> &AtomicU64 {
        self.control(layout::CLAIMED)
    }

    #[inline]
    pub(crate) fn released(&self) -> &AtomicU64 {
        self.control(layout::RELEASED)
    }

    #[inline]
    pub(crate) fn data_wait(&self) -> &AtomicU64 {
        self.control(layout::DATA_WAIT)
    }

    #[inline]
    pub(crate) fn space_wait(&self) -> &AtomicU64 {
        self.control(layout::SPACE_WAIT)
    }

    /// The word at `position`.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> &AtomicU64 {
        &self.region.words()[self.place.word(position)]
    }

    /// The words from `position` on, up to the end of the ring.
    #[inline]
    pub(crate) fn from(&self, position: u64) -> &[AtomicU64] {
        let end = self.place.data + (self.place.capacity / 8) as usize;
        &self.region.words()[self.place.word(position)..end]
    }

    /// The record at `position`, checked; `None` while there is none.
    #[inline]
    pub(crate) fn next_record(&self, position: u64) -> Result<Option<Head>, Misbehaviour> {
        let words = self.region.words();
        // Acquire: the payload was written before its header was published.
        next_record(&self.place, position, |word| words[word].load(Acquire))
    }

    #[inline]
    pub(crate) fn record(&self, head: Head) -> Record<'_> {
        Record::new(if head.len() == 0 { &[] } else { self.from(head.start + RECORD_HEADER) }, head)
    }
}
