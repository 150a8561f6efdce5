//! Something of the library's that JavaScript opens, uses and closes.

use std::{future::Future, sync::Arc};

use open_channel_group::Error;

use super::{failure::GroupFailure, futures::Awaited};
use crate::hub::{Signal, reason};

/// A subscription, a service or a worker.
pub(crate) struct Opened<T> {
    opening: Awaited<Result<T, Error>>,
    value: Option<T>,
    failure: Option<Error>,
}

impl<T> Opened<T> {
    /// Begins to open it. Raises `READABLE` when it is open, or has failed.
    pub(crate) fn new(
        signal: &Arc<Signal>,
        opening: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Self {
        let opening = Awaited::new(signal, reason::READABLE, opening);
        let mut opened = Self { opening, value: None, failure: None };
        // What cannot be is known at once.
        let _ = opened.get();
        opened
    }

    /// It, while it is open.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        match self.opening.poll() {
            Some(Ok(value)) => self.value = Some(value),
            Some(Err(error)) => self.failure = Some(error),
            None => {}
        }
        self.value.as_mut()
    }

    /// Why it cannot be opened.
    pub(crate) fn failure(&self) -> Option<GroupFailure> {
        self.failure.clone().map(Into::into)
    }

    pub(crate) fn close(&mut self) {
        self.opening.cancel();
        self.value = None;
    }
}
