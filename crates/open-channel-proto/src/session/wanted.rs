//! Messages that come back from the other side, on their way to the application.

use std::collections::{BTreeSet, VecDeque};

/// The work left over messages that the other side has given up, on the link that is
/// attached.
#[derive(Debug, Default)]
pub(super) struct GivenUps {
    /// They are out, and the other side does not know yet.
    pub(super) answers: BTreeSet<u64>,
    /// They lie only in the link's store.
    pub(super) wanted: VecDeque<Wanted>,
}

#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) seq: u64,
    pub(super) back: Back,
    pub(super) end: u64,
}

/// Why a message comes back.
#[derive(Debug)]
pub(super) enum Back {
    /// The other side has given it up, after this attempt.
    GivenUp { attempt: u8, reason: String },
    /// It was asked for.
    Recalled,
}
