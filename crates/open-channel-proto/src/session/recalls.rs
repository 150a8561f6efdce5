//! What the sending application wants back and the other side has to be asked for.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

/// Those that the other side has to be asked for.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    pub(super) asked: BTreeSet<u64>,
    /// Those of them that were not said on this link.
    pub(super) unsaid: BTreeSet<u64>,
    /// What came back and was not fetched.
    pub(super) taken: VecDeque<(u64, Bytes)>,
    pub(super) news: bool,
}
