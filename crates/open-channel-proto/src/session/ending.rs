//! How a session ends, and what the other side has to know of it.

use crate::frame::ResetCode;

/// Why a session is over; exhaustive, because an application has to know each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Both directions ended and everything was acknowledged.
    Finished,
    /// This side has reset it.
    Locally,
    /// The other side has reset it.
    Remotely {
        /// Its code.
        code: ResetCode,
        /// Its reason, for people.
        reason: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Ending {
    closed: Option<Closed>,
    /// How this side ended the session; it stays, because a link may lose it.
    reset: Option<(ResetCode, String)>,
    /// It was not put on this link yet.
    reset_due: bool,
}

impl Ending {
    pub(super) fn close(&mut self, closed: Closed) {
        self.closed = Some(closed);
    }

    /// This side resets the session.
    pub(super) fn reset(&mut self, code: ResetCode, reason: String) {
        self.reset = Some((code, reason));
        self.reset_due = true;
        self.closed = Some(Closed::Locally);
    }

    /// A session that is over for another reason meets a host that knows nothing of it and must not
    /// wait.
    pub(super) fn reset_new_host(&mut self) {
        if self.reset.is_none() {
            self.reset = Some((ResetCode::Closed, "the socket had ended".into()));
        }
    }

    /// A new link, which has to carry the reset as well.
    pub(super) fn attach(&mut self) {
        self.reset_due = self.reset.is_some();
    }

    /// The reset that the link has to carry next.
    pub(super) fn take_reset(&mut self) -> Option<(ResetCode, String)> {
        if !std::mem::take(&mut self.reset_due) {
            return None;
        }
        self.reset.clone()
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.closed.is_some()
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}
