//! The registration of a link with the runtime of a waiting task.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::{self, Handle};

use crate::link::Link;
use crate::sys::{ReadyGuard, Registration};

/// The registration of a link with one runtime.
#[derive(Debug)]
pub(crate) struct Reactor {
    registration: Registration,
    link: Arc<Link>,
    runtime: runtime::Id,
}

impl Reactor {
    /// Registers the link with the runtime, if that can watch anything.
    pub(crate) fn register(link: &Arc<Link>, runtime: &Handle) -> Option<Self> {
        let registration = Registration::new(link.source()).ok()?;
        Some(Self { registration, link: Arc::clone(link), runtime: runtime.id() })
    }

    pub(crate) fn is_of(&self, runtime: &Handle) -> bool {
        self.runtime == runtime.id()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.registration.poll_readable(cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_>>> {
        self.registration.poll_writable(cx)
    }
}
