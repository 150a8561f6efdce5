//! Many messages at once, for both faces of open-channel.

use crate::payload::Payload;
use anyhow::Result;
use open_channel::{Batch, Messages};

/// What waits to be sent, and what was received and is not counted yet.
#[derive(Default)]
pub(super) struct Batches {
    pub(super) outgoing: Batch,
    incoming: Vec<Payload>,
    counted: usize,
}

impl Batches {
    /// Says whether the batch is full.
    #[inline(always)]
    pub(super) fn push(&mut self, payload: Payload) -> bool {
        self.outgoing.push_with(payload.len, |message| payload.write(message));
        self.outgoing.is_full()
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Payload> {
        let next = self.incoming.get(self.counted).copied();
        self.counted += 1;
        next
    }

    /// Reads them all to the last byte, and acknowledges them.
    pub(super) fn take(&mut self, messages: Messages) -> Result<()> {
        self.counted = 0;
        self.incoming.clear();
        self.incoming.reserve(messages.len());
        for message in &messages {
            self.incoming.push(Payload::check(&message)?);
        }
        Ok(())
    }
}
