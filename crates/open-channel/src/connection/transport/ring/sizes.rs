//! The lengths of records, as they follow from the lap of a ring.

/// Bytes before the payload of a first part: the length of the whole message.
pub(super) const TOTAL: usize = 8;

/// Long messages go in parts of this fraction of the lap, so that one side copies out while the
/// other copies in. Little of the ring is left unused where a part does not fit before its end.
const PARTS: usize = 8;

/// A message of up to this fraction of the lap finds room while the receiver holds less than half.
/// That is so even with a gap of the same size before the lap's end.
pub(super) const QUARTER: usize = 4;

/// Messages of more than this fraction of the lap pass faster through a longer one: the other core
/// reads some of them while this one writes others.
pub(super) const LARGE: usize = 32;

/// The lengths that follow from a lap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Longest payload of a part of a message.
    pub(super) part: usize,
    /// Longest message that is one record.
    pub(super) whole: usize,
    /// Messages that are longer ask for a longer lap.
    pub(super) large: usize,
}

impl Sizes {
    pub(super) fn of(lap: usize) -> Self {
        Self { part: lap / PARTS - TOTAL, whole: lap / QUARTER, large: lap / LARGE }
    }
}
