//! Many messages at once, for both faces of open-channel.

use crate::payload::Payload;
use anyhow::Result;
use open_channel::{Batch, Messages};

/// Says whether the batch is full.
#[inline(always)]
pub(super) fn push(batch: &mut Batch, payload: Payload) -> bool {
    let mut draft = batch.draft();
    payload.append_to_draft(&mut draft);
    draft.commit();
    batch.is_full()
}

/// Reads them all to the last byte.
pub(super) fn read_each(
    messages: &Messages,
    mut each: impl FnMut(Payload) -> Result<()>,
) -> Result<()> {
    messages.iter().try_for_each(|message| each(Payload::check(&message)?))
}
