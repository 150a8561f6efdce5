//! One side of one socket.
//!
//! ```text
//!        ┌──────────┐   attach, accept, resume    ┌──────────┐
//!  new ─▶│ detached │ ──────────────────────────▶ │ attached │
//!        │          │ ◀────────────────────────── │          │
//!        └────┬─────┘           detach            └────┬─────┘
//!             │    inbox and outbox stay as they are   │
//!             │                                        │ handle(Reset): Remotely
//!             │ reset: Locally                         │ reset: Locally
//!             │ all handled and acknowledged: Finished │ all handled and acknowledged: Finished
//!             ▼                                        ▼
//!        ┌─────────────────────────────────────────────────┐
//!        │ closed: final, whether a link is attached or not│
//!        └─────────────────────────────────────────────────┘
//! ```
//!
//! A closed session may be attached again, so that each new link carries its reset. `Finished`
//! needs the end of both directions. [`Ending`] is the lower half of the picture, the inbox and the
//! outbox are the two directions.

mod ending;
mod give_back;
mod given_up;
mod handshake;
mod link;
mod questions;
mod recall;
mod recalls;
mod store;
mod wanted;

use std::collections::VecDeque;

use bytes::Bytes;

pub use ending::Closed;
pub use handshake::Attachment;
pub use recall::TakeBack;

use self::ending::Ending;
use self::recalls::Recalls;
use self::wanted::GivenUps;
use crate::error::Refused;
use crate::frame::ResetCode;
use crate::id::SocketId;
use crate::inbox::Inbox;
use crate::limits::{Limits, message_cost};
use crate::message::{Incoming, ReceivedPack, Undeliverable};
use crate::outbox::Outbox;
use crate::pack::Pack;

/// One side of one socket; the [crate's front page](crate) shows how it is driven.
#[derive(Debug)]
pub struct Session {
    id: SocketId,
    limits: Limits,
    outbox: Outbox,
    inbox: Inbox,
    link: Option<Link>,
    /// Generation of the host attached to last; 0 before the first.
    generation: u64,
    remote: Remote,
    ack_request: bool,
    /// Messages that the application has not fetched yet.
    undeliverable: VecDeque<Undeliverable>,
    given_up: GivenUps,
    recalls: Recalls,
    ending: Ending,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    window: usize,
}

/// The other side, as it has announced itself.
#[derive(Debug)]
struct Remote {
    /// Longest message that it takes.
    max_message: usize,
    /// How often its messages are delivered at most; 0 for any number.
    max_attempts: u32,
    is_going_away: bool,
}

impl Session {
    /// The peer's side of a new socket, not attached to any link yet.
    pub fn new(id: SocketId, limits: Limits) -> Self {
        Self {
            id,
            limits,
            outbox: Outbox::new(1, limits),
            inbox: Inbox::new(1, limits),
            link: None,
            generation: 0,
            remote: Remote { max_message: usize::MAX, max_attempts: 0, is_going_away: false },
            ack_request: false,
            undeliverable: VecDeque::new(),
            given_up: GivenUps::default(),
            recalls: Recalls::default(),
            ending: Ending::default(),
        }
    }
}

/// The calls of the application.
impl Session {
    /// Accepts a message and returns its sequence number.
    ///
    /// # Errors
    /// [`Refused`], with the message in it.
    pub fn send(&mut self, payload: Bytes) -> Result<u64, Refused> {
        self.may_accept(payload.len(), message_cost(payload.len()), payload)
            .map(|payload| self.outbox.push(Pack::one(payload)))
    }

    /// Accepts several messages and returns the first one's sequence number.
    ///
    /// # Errors
    /// [`Refused`], with the messages in it.
    pub fn send_pack(&mut self, pack: Pack) -> Result<u64, Refused<Pack>> {
        self.may_accept(pack.longest(), pack.cost(), pack).map(|pack| self.outbox.push(pack))
    }

    /// [`send`](Self::send) beyond the outbox's limit, for one message of a caller that has found
    /// some room.
    ///
    /// # Errors
    /// [`Refused`], but never [`Refused::Full`].
    pub fn send_over(&mut self, payload: Bytes) -> Result<u64, Refused> {
        self.may_accept_over(payload.len(), payload)
            .map(|payload| self.outbox.push(Pack::one(payload)))
    }

    fn may_accept<M>(&mut self, longest: usize, cost: usize, message: M) -> Result<M, Refused<M>> {
        let message = self.may_accept_over(longest, message)?;
        if !self.outbox.has_room(cost) {
            self.ack_request = true;
            return Err(Refused::Full(message));
        }
        Ok(message)
    }

    fn may_accept_over<M>(&self, longest: usize, message: M) -> Result<M, Refused<M>> {
        if self.ending.is_over() || self.outbox.is_finished() {
            return Err(Refused::Closed(message));
        }
        if longest > self.max_message() {
            return Err(Refused::TooLarge(message));
        }
        Ok(message)
    }

    /// Ends this side's direction after what was sent so far.
    pub fn finish(&mut self) {
        if !self.ending.is_over() {
            self.outbox.finish();
        }
    }

    /// The next message or end, in order; `None` if there is none yet.
    pub fn recv(&mut self) -> Option<Incoming> {
        self.inbox.take()
    }

    /// As many messages as are here and fit one [`Pack`], or one that is longer. `None` if there is
    /// none yet, or if the end comes next.
    pub fn recv_many(&mut self) -> Option<ReceivedPack> {
        self.inbox.take_many()
    }

    /// The application has handled message (or end) `seq`. In any order, once for each.
    pub fn handled(&mut self, seq: u64) {
        self.handled_all(seq..seq.saturating_add(1));
    }

    /// [`handled`](Self::handled) for several messages in a row.
    #[inline]
    pub fn handled_all(&mut self, seqs: std::ops::Range<u64>) {
        self.inbox.handled(seqs);
        self.settle();
    }

    /// Asks the other side not to delay its acknowledgements.
    pub fn request_ack(&mut self) {
        self.ack_request = !self.outbox.is_empty();
    }

    /// The next message of this side that is not delivered any more, oldest first.
    pub fn take_undeliverable(&mut self) -> Option<Undeliverable> {
        self.undeliverable.pop_front()
    }

    /// Ends the session at once. Messages not acknowledged are given up.
    pub fn reset(&mut self, code: ResetCode, reason: impl Into<String>) {
        if !self.ending.is_over() {
            self.ending.reset(code, reason.into());
            self.inbox.discard();
        }
    }
}

impl Session {
    /// Closes the session when both directions have ended and everything is acknowledged on both
    /// sides.
    #[inline]
    fn settle(&mut self) {
        let received_all =
            self.inbox.is_finished() && self.inbox.handled_through() + 1 == self.inbox.next();
        if !self.ending.is_over()
            && self.outbox.is_finished()
            && self.outbox.is_empty()
            && received_all
        {
            self.ending.close(Closed::Finished);
        }
    }
}
