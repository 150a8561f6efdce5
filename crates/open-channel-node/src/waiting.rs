//! One of the things that JavaScript waits for on a socket.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use open_channel::{
    Socket,
    ffi::{WaiterKey, raw},
};

use crate::hub::Signal;

/// Where the library remembers that JavaScript waits, and what makes JavaScript look again.
pub(crate) struct Waiting {
    key: WaiterKey,
    waker: Waker,
}

impl Waiting {
    /// Raises `reason`.
    pub(crate) fn new(signal: &Arc<Signal>, reason: u32) -> Self {
        Self { key: WaiterKey::default(), waker: signal.waker(reason) }
    }

    /// Runs one of the socket's polls for it.
    pub(crate) fn poll<T>(
        &mut self,
        poll: impl FnOnce(&mut Context<'_>, &mut WaiterKey) -> T,
    ) -> T {
        poll(&mut Context::from_waker(&self.waker), &mut self.key)
    }

    /// JavaScript waits no longer.
    pub(crate) fn leave(&mut self, socket: &Socket) {
        raw(socket).leave(&mut self.key);
    }
}
