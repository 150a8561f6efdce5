//! Where Node's event loop cannot wait for a link: libuv watches sockets on Windows, and no pipes
//! that somebody else opened. The background thread waits, and calls JavaScript.

use napi::sys;
use open_channel::ffi::ReadinessProbe;

/// There is none.
#[derive(Clone, Copy)]
pub(crate) enum Loop {}

impl Loop {
    pub(crate) fn of(_: sys::napi_env, _: sys::napi_value) -> Option<Self> {
        None
    }

    pub(crate) fn watch<Descriptor>(self, _: Descriptor, _: u32) -> Option<Watch> {
        match self {}
    }
}

/// There is none.
pub(crate) enum Watch {}

impl Watch {
    pub(crate) fn arm(&self, _: Option<ReadinessProbe>) {
        match *self {}
    }
}
