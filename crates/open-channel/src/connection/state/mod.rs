//! The state under a connection's lock: the session, its transport, and the application's progress.
//!
//! Every method leaves it consistent for the next caller. [`Wakes`] collects the wakers to call
//! until the lock is released.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use open_channel_proto::{Closed, Session};
use tokio::task::JoinHandle;

use crate::connection::recalls::Recalls;
use crate::connection::received::Delivered;
use crate::connection::returned::Returned;
use crate::connection::tap::TapEnd;
use crate::connection::traffic::Traffic;
use crate::connection::transport::Transport;
use crate::connection::waiters::{Waiters, Wakes};
use crate::error::Error;
use crate::link::Link;

mod driving;
mod looking;
mod receiving;
mod returning;
mod sending;
mod taking_back;
mod transporting;

pub(super) use sending::Place;

/// Whether this side is still the host whose messages it delivers.
pub(crate) struct HostCheck(Box<dyn Fn() -> bool + Send + Sync>);

impl HostCheck {
    pub(crate) fn new(check: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(check))
    }
}

impl fmt::Debug for HostCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCheck").finish_non_exhaustive()
    }
}

/// The part that drives the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriverState {
    /// The callers do everything.
    Dormant,
    /// The driver was called, and polls the link after the grace period.
    Armed,
    /// The driver does everything.
    Watching,
}

/// The messages that the application has, and whether it gets more.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// On the host's end.
    pub(super) host_check: Option<HostCheck>,
    /// Messages that are to be delivered again after a pause, by their numbers.
    pub(super) coming_back: BTreeMap<u64, Delivered>,
    /// Messages that the application holds.
    pub(super) held: usize,
    /// Messages that it got with the redelivered mark.
    pub(super) redelivered: u64,
    /// The highest attempt among these; 0 without any.
    pub(super) highest_attempt: u32,
    /// It has seen the end of the other side's direction.
    pub(super) ended: bool,
    /// It gets nothing more. The peer goes on with the next host, in spite of any close or reset
    /// here.
    pub(super) handing_over: bool,
}

impl Delivery {
    /// Whether the application may get the next message.
    #[inline]
    pub(super) fn is_allowed(&self) -> bool {
        !self.handing_over && self.is_by_host()
    }

    pub(super) fn is_by_host(&self) -> bool {
        self.host_check.as_ref().is_none_or(|check| (check.0)())
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(super) session: Session,
    pub(super) transport: Option<Transport>,
    /// Transports that the session has had.
    pub(super) transports: u64,
    /// The last link still writes its last frames.
    pub(super) lingering: Option<JoinHandle<()>>,
    pub(super) wakes: Wakes,
    driver: DriverState,
    /// Calls that may wait, since the driver's last round.
    pub(super) calls: u64,
    pub(super) delivery: Delivery,
    /// A message was sent since the last wait: the acknowledgements travel with the next one.
    pub(super) replied: bool,
    pub(super) failed: Option<Error>,
    pub(super) traffic: Traffic,
    /// On the host's end, if its program allows taps.
    pub(super) tap: Option<TapEnd>,
    pub(super) returned: Returned,
    recalls: Recalls,
}

impl State {
    pub(super) fn new(
        session: Session,
        waiters: Arc<Waiters>,
        host_check: Option<HostCheck>,
    ) -> Self {
        Self {
            session,
            transport: None,
            transports: 0,
            lingering: None,
            wakes: Wakes::new(waiters),
            driver: DriverState::Dormant,
            calls: 0,
            delivery: Delivery { host_check, ..Delivery::default() },
            replied: false,
            failed: None,
            traffic: Traffic::default(),
            tap: None,
            returned: Returned::default(),
            recalls: Recalls::default(),
        }
    }

    /// The taps that messages are to be copied to, if there are any.
    #[inline]
    pub(super) fn tapped(&self) -> Option<&TapEnd> {
        self.tap.as_ref().filter(|tap| tap.is_active())
    }

    pub(super) fn wake_all(&mut self) {
        self.returned.news = true;
        self.wakes.notify_all();
    }

    /// The reason why nothing can be sent or acknowledged any more.
    pub(super) fn over(&self) -> Option<Error> {
        if let Some(error) = &self.failed {
            return Some(error.clone());
        }
        match self.session.closed()? {
            Closed::Finished | Closed::Locally => Some(Error::Closed),
            Closed::Remotely { code, reason } => {
                Some(Error::Reset { code: *code, reason: reason.clone() })
            }
        }
    }

    pub(super) fn link(&self) -> Option<&Arc<Link>> {
        self.transport.as_ref().map(|transport| &transport.link)
    }

    pub(crate) fn is_on(&self, link: &Arc<Link>) -> bool {
        self.link().is_some_and(|current| Arc::ptr_eq(current, link))
    }

    pub(super) fn has_ring(&self) -> bool {
        self.transport.as_ref().is_some_and(Transport::has_ring)
    }
}
