//! One message that has gone by.

use std::time::Duration;

use bytes::Bytes;
use open_channel::inspect::Tapped;
use open_channel_group::inspect::Described;

pub(super) struct Seen {
    /// Since the first tap began.
    pub(super) at: Duration,
    pub(super) tapped: Tapped,
    /// If it is a group's.
    pub(super) described: Option<Described>,
    /// Its bytes, or those of the application in it. They may be fewer than its length.
    pub(super) payload: Bytes,
    pub(super) length: u64,
}

impl Seen {
    pub(super) fn of_channel(at: Duration, tapped: Tapped, payload: Bytes) -> Self {
        Self { at, tapped, described: None, payload, length: tapped.len }
    }

    pub(super) fn of_group(at: Duration, tapped: Tapped, described: Described) -> Self {
        let payload = described.payload.clone().unwrap_or_default();
        let length = payload.len() as u64;
        Self { at, tapped, described: Some(described), payload, length }
    }

    /// Its direction in a word.
    pub(super) fn direction(&self) -> &'static str {
        if self.tapped.from_host { "from-host" } else { "to-host" }
    }
}
