//! One word of a ring to look at while spinning.
use crate::atomics::Relaxed;
use crate::layout::RingPlace;
use crate::position::Position;
use crate::region::Region;
use crate::words::{FENCED, Words};

/// Looks at one word of a ring, over and over, without the lock that guards an end of the ring; for
/// spinning. It only advises: a stale answer costs a look in vain, or a sleep that ends at once.
pub struct RingWatch<R> {
    words: Words<R>,
    awaited: Awaited,
}

enum Awaited {
    /// A record at this position, or the fence.
    Data(u64),
    /// The release of everything before this position.
    Released(u64),
}

impl<R: Region> RingWatch<R> {
    pub(crate) fn data(words: Words<R>, position: u64) -> Self {
        RingWatch { words, awaited: Awaited::Data(position) }
    }

    pub(crate) fn released(words: Words<R>, wanted: Position) -> Self {
        RingWatch { words, awaited: Awaited::Released(wanted.0) }
    }

    pub(crate) fn moved_to(mut self, place: RingPlace, position: u64) -> Self {
        self.words.place = place;
        RingWatch { awaited: Awaited::Data(position), ..self }
    }

    /// Whether it is time to look at the ring again.
    #[inline]
    pub fn is_due(&self) -> bool {
        match self.awaited {
            Awaited::Data(position) => {
                let fenced = || self.words.claimed().load(Relaxed) & FENCED != 0;
                self.words.at(position).load(Relaxed) != 0 || fenced()
            }
            Awaited::Released(wanted) => self.words.released().load(Relaxed) >= wanted,
        }
    }
}
