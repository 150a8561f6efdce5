//! Messages that the sending application wants back.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

/// Messages that the other side has to be asked for.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    pub(super) asked: BTreeSet<u64>,
    /// Those of them that this link has not carried.
    pub(super) unsent: BTreeSet<u64>,
    /// Messages that came back and were not fetched.
    pub(super) taken: VecDeque<(u64, Bytes)>,
    pub(super) answered: bool,
}
