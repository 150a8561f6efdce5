//! Many messages at once, for both faces of open-channel.

use crate::payload::Payload;
use anyhow::Result;
use open_channel::{Batch, Messages};

/// What waits to be sent, and what was received and is not counted yet.
#[derive(Default)]
pub(super) struct Batches {
    pub(super) outgoing: Batch,
    incoming: Option<Messages>,
}

impl Batches {
    /// Says whether the batch is full.
    #[inline(always)]
    pub(super) fn push(&mut self, payload: Payload) -> bool {
        let mut draft = self.outgoing.draft();
        payload.append_to_draft(&mut draft);
        draft.commit();
        self.outgoing.is_full()
    }

    /// Reads the next message to its last byte; after the last they are acknowledged, and none is left.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Result<Payload>> {
        let payload = self.incoming.as_mut()?.next_message().map(|message| Payload::check(&message));
        if payload.is_none() {
            self.incoming = None;
        }
        payload
    }

    pub(super) fn take(&mut self, messages: Messages) {
        self.incoming = Some(messages);
    }
}
