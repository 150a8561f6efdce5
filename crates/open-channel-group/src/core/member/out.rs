//! Frames that lie ready for the host. All of them are held elsewhere too, so that they can be
//! sent again to the next one.

use std::collections::VecDeque;

use crate::core::frame::ToHost;

/// Frames for the host, in order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    queue: VecDeque<ToHost>,
    attached: bool,
    active: bool,
}

impl Out {
    /// A new host: nothing that was meant for the last one is of use.
    pub(crate) fn attach(&mut self) {
        self.queue.clear();
        self.attached = true;
        self.active = false;
    }

    pub(crate) fn detach(&mut self) {
        self.queue.clear();
        self.attached = false;
        self.active = false;
    }

    /// The host serves.
    pub(crate) fn activate(&mut self) {
        self.active = true;
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// A frame that a host may have before it serves.
    pub(crate) fn present(&mut self, frame: ToHost) {
        if self.attached {
            self.queue.push_back(frame);
        }
    }

    /// A frame that only a host that serves may have.
    pub(crate) fn send(&mut self, frame: ToHost) {
        if self.active {
            self.queue.push_back(frame);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<ToHost> {
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
