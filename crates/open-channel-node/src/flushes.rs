//! Calls that wait until everything before them is acknowledged.

use std::{collections::VecDeque, sync::Arc, task::Poll};

use open_channel::{Socket, ffi::raw};

use crate::{
    hub::{Signal, reason},
    waiting::Waiting,
};

pub(crate) struct Flushes {
    waiting: Waiting,
    /// Each waits for what is before a sequence number; oldest first, with JavaScript's number of
    /// it.
    calls: VecDeque<(u64, u32)>,
}

impl Flushes {
    pub(crate) fn new(signal: &Arc<Signal>) -> Self {
        Self { waiting: Waiting::new(signal, reason::FLUSHED), calls: VecDeque::new() }
    }

    /// Waits for everything that was written so far.
    pub(crate) fn begin(&mut self, socket: &Socket, request: u32) {
        self.calls.push_back((raw(socket).request_ack(), request));
    }

    /// Completes what can be completed; raises `FLUSHED` for the rest.
    pub(crate) fn complete(&mut self, socket: &Socket, signal: &Signal) {
        while let Some(&(end, request)) = self.calls.front() {
            match self.waiting.poll(|cx, key| raw(socket).poll_acknowledged(cx, key, end)) {
                Poll::Pending => return,
                Poll::Ready(result) => signal.hub().complete(request, result),
            }
            self.calls.pop_front();
        }
    }

    /// Whether the call `request` was still waiting. It waits no longer.
    pub(crate) fn withdraw(&mut self, socket: &Socket, request: u32) -> bool {
        let before = self.calls.len();
        self.calls.retain(|(_, waiting)| *waiting != request);
        if self.calls.is_empty() {
            self.leave(socket);
        }
        self.calls.len() < before
    }

    pub(crate) fn leave(&mut self, socket: &Socket) {
        self.waiting.leave(socket);
    }
}
