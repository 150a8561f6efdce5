//! The registration of a link with the runtime of a waiting task.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{self, Handle};

use crate::link::{self, Link};

/// The registration of a link with one runtime.
#[derive(Debug)]
pub(crate) struct Reactor {
    fd: AsyncFd<Arc<Link>>,
    runtime: runtime::Id,
}

impl Reactor {
    /// Registers the link with the runtime, if that can watch anything.
    pub(crate) fn register(link: &Arc<Link>, runtime: &Handle) -> Option<Self> {
        let fd = link::watch(Arc::clone(link)).ok()?;
        Some(Self { fd, runtime: runtime.id() })
    }

    pub(crate) fn is_of(&self, runtime: &Handle) -> bool {
        self.runtime == runtime.id()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        self.fd.get_ref()
    }

    pub(crate) fn poll_readable(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, Arc<Link>>>> {
        self.fd.poll_read_ready(cx)
    }

    pub(crate) fn poll_writable(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, Arc<Link>>>> {
        self.fd.poll_write_ready(cx)
    }
}
