//! The shape of an offer.

/// An offer has this many descriptors: the memory, the doorbell of the side that offers, the
/// doorbell of the side that accepts.
pub(super) const OFFERED: usize = 3;
