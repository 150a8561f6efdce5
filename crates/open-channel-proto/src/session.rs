//! One side of one socket.
//!
//! ```text
//!              attach (Hello/Welcome)          link lost
//!   ┌──────────┐ ───────────────▶ ┌──────────┐ ────────────▶ back to detached;
//!   │ detached │                  │ attached │               outbox and inbox stay
//!   └──────────┘ ◀─────────────── └──────────┘
//!        │        detach()             │
//!        └──────────────┬──────────────┘
//!                       ▼  reset by either side, or both directions ended and acknowledged
//!                  ┌─────────┐
//!                  │ closed  │  final
//!                  └─────────┘
//! ```

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::Bytes;

use crate::error::{ProtocolError, Refused};
use crate::frame::{Frame, ResetCode};
use crate::handshake::{
    ATTEMPTS, ChannelKey, Features, Hello, Purpose, RingSizes, VERSION_MAX, VERSION_MIN, Welcome,
};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::pack::Pack;
use crate::part::PartFlags;
use crate::transmit::TransmitBuffer;

mod given_up;
mod questions;
mod recall;
mod store;

pub use recall::TakeBack;

/// Bytes that a message costs in windows and outboxes on top of its payload, so that limits bound the memory of
/// empty messages too.
pub const MESSAGE_OVERHEAD: usize = 64;

pub(crate) fn message_cost(len: usize) -> usize {
    len.saturating_add(MESSAGE_OVERHEAD)
}

/// Stable identity of a socket: random, chosen by the peer, the same with every host it moves to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u128);

impl std::fmt::Display for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SocketId({self})")
    }
}

/// How much one side holds at most, in bytes; a message costs its length plus [`MESSAGE_OVERHEAD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages accepted from the application and not acknowledged.
    pub outbox: usize,
    /// Messages received and not handled.
    pub window: usize,
    /// Longest message, in either direction, without the overhead.
    pub max_message: usize,
    /// How often a message that this side sends is delivered at most, [`MAX_ATTEMPTS`] being the most that can be told;
    /// without it, as often as it takes.
    pub max_attempts: Option<NonZeroU32>,
}

/// The largest [limit](Limits::max_attempts) of attempts: no link tells more of them apart.
pub const MAX_ATTEMPTS: u32 = PartFlags::MAX_ATTEMPT;

/// A message that this side has sent and that is not delivered any more; from [`Session::take_undeliverable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeliverable {
    /// Its number.
    pub seq: u64,
    /// How many attempts there were.
    pub attempts: u32,
    /// Why there is no other.
    pub reason: GivenUp,
    /// Its bytes.
    pub payload: Bytes,
}

/// Why a message is not delivered any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GivenUp {
    /// It has had as many attempts as it [may](Limits::max_attempts).
    MaxAttempts,
    /// Its receiver has said so, in these words.
    Rejected(String),
    /// Its sender has [taken it back](Session::take_back), and nobody fetched it then. No session says so itself.
    TakenBack,
}

impl std::fmt::Display for GivenUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaxAttempts => write!(f, "it has had all its attempts"),
            Self::Rejected(reason) if reason.is_empty() => write!(f, "it was rejected"),
            Self::Rejected(reason) => write!(f, "it was rejected: {reason}"),
            Self::TakenBack => write!(f, "it was taken back"),
        }
    }
}

/// What [`Session::recv`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message; say [`Session::handled`] when it is.
    Message {
        /// Its number in its direction.
        seq: u64,
        /// Its bytes.
        payload: Bytes,
        /// Which attempt this is: 1 at first, one more for each host that may have handled it.
        attempt: u32,
    },
    /// The other side will send no more; handled like a message.
    End {
        /// Its number, one past the last message's.
        seq: u64,
    },
}

/// What [`Session::recv_many`] yields: messages in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Number of the first; the others follow.
    pub first: u64,
    /// The messages; say [`Session::handled`] of each when it is.
    pub pack: Pack,
    /// Which attempt this is, for all of them: 1 at first, one more for each host that may have handled them.
    pub attempt: u32,
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Both directions ended and everything was acknowledged.
    Finished,
    /// This side said so.
    Locally,
    /// The other side said so.
    Remotely {
        /// Its code.
        code: ResetCode,
        /// Its words.
        reason: String,
    },
}

/// How a handshake went, seen from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// The same host still knew the session: nothing is delivered twice.
    Resumed,
    /// A host that knows nothing of the session: what was transmitted before goes out again, marked.
    Fresh,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    window: usize,
}

/// One side of one socket; see the [crate's front page](crate) for how it is driven.
#[derive(Debug)]
pub struct Session {
    id: SocketId,
    limits: Limits,
    outbox: Outbox,
    inbox: Inbox,
    link: Option<Link>,
    /// Generation of the host attached to last; 0 before the first.
    generation: u64,
    /// What the other side takes, once it has said so.
    remote_max_message: usize,
    ack_request: bool,
    /// What the application has not taken back yet.
    undeliverable: VecDeque<Undeliverable>,
    given_up: given_up::GivenUps,
    recalls: recall::Recalls,
    /// How often the other side's messages are delivered at most; 0 for any number.
    remote_max_attempts: u32,
    going_away: bool,
    /// How this side ended the session; kept, because a link may lose it.
    reset: Option<(ResetCode, String)>,
    reset_due: bool,
    closed: Option<Closed>,
}

/// Construction and handshakes.
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
            remote_max_message: usize::MAX,
            ack_request: false,
            undeliverable: VecDeque::new(),
            given_up: given_up::GivenUps::default(),
            recalls: recall::Recalls::default(),
            remote_max_attempts: 0,
            going_away: false,
            reset: None,
            reset_due: false,
            closed: None,
        }
    }

    /// What the peer says first on a new link. The old link must be [detached](Self::detach): what arrived on it
    /// after the hello would be unknown to a new host.
    pub fn hello(&self, channel: ChannelKey, features: Features) -> Hello {
        Hello {
            // Who cannot be told of a gap cannot go on from here.
            version_min: if self.outbox.has_gaps() { ATTEMPTS } else { VERSION_MIN },
            version_max: VERSION_MAX,
            purpose: Purpose::Session,
            channel,
            socket: self.id,
            generation: self.generation,
            first: self.outbox.restart_at(),
            recv_next: self.inbox.next(),
            handled: self.inbox.handled_through(),
            unhandled: self.inbox.unhandled_cost() as u64,
            window: self.limits.window as u64,
            outbox: self.limits.outbox as u64,
            max_message: self.limits.max_message as u64,
            ended: self.inbox.is_finished(),
            features,
            ring: RingSizes::default(),
            max_attempts: self.told_max_attempts(),
        }
    }

    fn told_max_attempts(&self) -> u32 {
        self.limits.max_attempts.map_or(0, NonZeroU32::get)
    }

    /// The peer's side takes the host's answer to its [`hello`](Self::hello): the link is attached.
    ///
    /// # Errors
    /// When the answer does not fit the session; the link is useless then, the session unharmed.
    pub fn attach(&mut self, welcome: &Welcome) -> Result<Attachment, ProtocolError> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            return Err(ProtocolError::Handshake("the host chose a version that was not offered"));
        }
        self.may_go_on_in(welcome.version)?;
        if welcome.generation < self.generation {
            return Err(ProtocolError::Handshake("the host is older than the one before it"));
        }
        let attachment = if welcome.resumed {
            if welcome.generation != self.generation || welcome.handled >= welcome.recv_next {
                return Err(ProtocolError::Handshake("the host resumes what it never had"));
            }
            if self.closed.is_none() {
                self.outbox.rewind(welcome.recv_next)?;
                self.outbox.acknowledge(welcome.handled)?;
            }
            Attachment::Resumed
        } else {
            if welcome.recv_next != self.outbox.restart_at() {
                return Err(ProtocolError::Handshake(
                    "a new host must start at the first unacknowledged message",
                ));
            }
            if self.closed.is_none() {
                let undeliverable = &mut self.undeliverable;
                self.outbox.restart(welcome.version, |message| undeliverable.push_back(message));
            } else if self.reset.is_none() {
                // It ended while the handshake was under way; this host knows of nothing and must not wait.
                self.reset = Some((ResetCode::Closed, "the socket had ended".into()));
            }
            self.inbox.change_sender();
            Attachment::Fresh
        };
        self.generation = welcome.generation;
        self.remote_max_attempts = welcome.max_attempts;
        self.link_up(welcome.version, welcome.window, welcome.outbox, welcome.max_message);
        self.settle();
        Ok(attachment)
    }

    /// The host's side of a socket that this host meets for the first time.
    ///
    /// # Errors
    /// When the hello's numbers are impossible.
    pub fn accept(
        hello: &Hello,
        version: u16,
        generation: u64,
        limits: Limits,
    ) -> Result<(Self, Welcome), ProtocolError> {
        hello.check()?;
        let mut session = Self { generation, ..Self::new(hello.socket, limits) };
        let welcome = session.start(hello, version);
        Ok((session, welcome))
    }

    /// The host's side begins where the peer stands.
    fn start(&mut self, hello: &Hello, version: u16) -> Welcome {
        self.inbox = Inbox::new(hello.first, self.limits);
        if self.outbox.base() != hello.recv_next {
            self.forget_recalls();
        }
        self.outbox.renumber(hello.recv_next);
        let unhandled = usize::try_from(hello.unhandled).unwrap_or(usize::MAX).min(usize::MAX / 4);
        self.outbox.carry(hello.recv_next - 1, unhandled);
        if hello.ended {
            self.outbox.conclude();
        }
        self.remote_max_attempts = hello.max_attempts;
        self.link_up(version, hello.window, hello.outbox, hello.max_message);
        self.welcome(version, false)
    }

    /// The host's side takes a new link of a peer that it knows.
    ///
    /// # Errors
    /// When the hello does not fit the session; the session is unharmed then.
    pub fn resume(&mut self, hello: &Hello, version: u16) -> Result<Welcome, ProtocolError> {
        hello.check()?;
        if hello.generation > self.generation {
            return Err(ProtocolError::Handshake("the peer has met a newer host"));
        }
        if hello.generation < self.generation {
            // The peer never took our welcome, so nothing has passed and both sides start afresh. A hello that
            // was overtaken by a later one must not do that.
            let overtaken = hello.first < self.inbox.next() || hello.recv_next < self.outbox.base();
            if overtaken || !self.inbox.is_untouched() || self.outbox.has_given_back() {
                return Err(ProtocolError::Handshake("a hello from before the session began"));
            }
            self.may_go_on_in(version)?;
            return Ok(self.start(hello, version));
        }
        if hello.first > self.inbox.next() {
            return Err(ProtocolError::Handshake("the peer has forgotten messages that never arrived"));
        }
        self.may_go_on_in(version)?;
        self.outbox.rewind(hello.recv_next)?;
        self.outbox.acknowledge(hello.handled)?;
        self.link_up(version, hello.window, hello.outbox, hello.max_message);
        self.inbox.acknowledged_by_handshake();
        self.settle();
        Ok(self.welcome(version, true))
    }

    fn welcome(&self, version: u16, resumed: bool) -> Welcome {
        Welcome {
            version,
            generation: self.generation,
            resumed,
            recv_next: self.inbox.next(),
            handled: self.inbox.handled_through(),
            window: self.limits.window as u64,
            outbox: self.limits.outbox as u64,
            max_message: self.limits.max_message as u64,
            features: Features::default(),
            max_attempts: self.told_max_attempts(),
        }
    }

    fn may_go_on_in(&self, version: u16) -> Result<(), ProtocolError> {
        if version < ATTEMPTS && self.outbox.has_gaps() {
            return Err(ProtocolError::Handshake("that version cannot tell of a message that was withdrawn"));
        }
        Ok(())
    }

    fn link_up(&mut self, version: u16, window: u64, remote_outbox: u64, remote_max_message: u64) {
        debug_assert!(!self.outbox.has_store(), "what the last link's store held was not reclaimed");
        self.inbox.attach(version, remote_outbox);
        self.outbox.use_version(version);
        self.going_away = false;
        self.reset_due = self.reset.is_some();
        self.link = Some(Link { window: usize::try_from(window).unwrap_or(usize::MAX) });
        self.remote_max_message = usize::try_from(remote_max_message).unwrap_or(usize::MAX);
        self.renew_recalls();
    }

    /// The link is lost; everything unacknowledged waits for the next one.
    pub fn detach(&mut self) {
        self.link = None;
        self.given_up = given_up::GivenUps::default();
        self.renew_recalls();
    }
}

/// The application's side.
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

    fn may_accept<M>(&mut self, longest: usize, cost: usize, message: M) -> Result<M, Refused<M>> {
        let message = self.may_accept_over(longest, message)?;
        if !self.outbox.has_room(cost) {
            self.ack_request = true;
            return Err(Refused::Full(message));
        }
        Ok(message)
    }

    fn may_accept_over<M>(&self, longest: usize, message: M) -> Result<M, Refused<M>> {
        if self.closed.is_some() || self.outbox.is_finished() {
            return Err(Refused::Closed(message));
        }
        if longest > self.max_message() {
            return Err(Refused::TooLarge(message));
        }
        Ok(message)
    }

    /// [`send`](Self::send) beyond the outbox's limit, for one message of a caller who has seen some room.
    ///
    /// # Errors
    /// [`Refused`], but never [`Refused::Full`].
    pub fn send_over(&mut self, payload: Bytes) -> Result<u64, Refused> {
        self.may_accept_over(payload.len(), payload).map(|payload| self.outbox.push(Pack::one(payload)))
    }

    /// The next message that is not delivered any more, oldest first.
    pub fn take_undeliverable(&mut self) -> Option<Undeliverable> {
        self.undeliverable.pop_front()
    }

    /// Ends this side's direction after what was sent so far.
    pub fn finish(&mut self) {
        if self.closed.is_none() {
            self.outbox.finish();
        }
    }

    /// The next message or end, in order.
    pub fn recv(&mut self) -> Option<Incoming> {
        self.inbox.take()
    }

    /// As many messages as are here and fit one [`Pack`], or one that is longer; none when the end comes next.
    pub fn recv_many(&mut self) -> Option<Received> {
        self.inbox.take_many()
    }

    /// The application has handled message (or end) `seq`; in any order, each once.
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

    /// Ends the session at once; what was not acknowledged is given up.
    pub fn reset(&mut self, code: ResetCode, reason: impl Into<String>) {
        if self.closed.is_none() {
            self.reset = Some((code, reason.into()));
            self.reset_due = true;
            self.closed = Some(Closed::Locally);
            self.inbox.discard();
        }
    }
}

/// The link's side.
impl Session {
    /// Takes a frame from the link.
    ///
    /// # Errors
    /// When the other side broke the protocol; [`reset`](Self::reset) and drop the link.
    pub fn handle<P: AsRef<[u8]>>(&mut self, frame: Frame<P>) -> Result<(), ProtocolError> {
        if self.closed.is_some() {
            return Ok(());
        }
        match frame {
            Frame::Data { seq, flags, total, payload } => {
                self.inbox.data(seq, flags, total, payload.as_ref())?
            }
            Frame::Fin { seq } => self.inbox.fin(seq)?,
            Frame::Skip { seq } => {
                self.inbox.skip(seq)?;
                self.settle();
            }
            Frame::Returned { seq, fate, attempt, reason } => self.returned(seq, fate, attempt, reason)?,
            Frame::Recall { seq } => self.wants_back(seq)?,
            Frame::Withdrawn { seq } => self.withdrawn(seq)?,
            Frame::Ack { through } => {
                self.outbox.acknowledge(through)?;
                self.settle();
            }
            Frame::AckRequest => self.inbox.request_ack(),
            Frame::Reset { code, reason } => {
                self.closed = Some(Closed::Remotely { code, reason });
                self.inbox.end_pauses();
            }
            Frame::GoAway => self.going_away = true,
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Reject(_)
            | Frame::Ping { .. }
            | Frame::Pong { .. } => {
                return Err(ProtocolError::Unexpected("a frame that does not belong in a session"));
            }
        }
        Ok(())
    }

    /// Puts everything that may go on the link into `out`, as far as it has room. An acknowledgement goes along
    /// when other frames do or when the sender needs it now.
    pub fn transmit(&mut self, out: &mut TransmitBuffer) {
        let Some(link) = self.link else { return };
        if out.is_full() {
            return;
        }
        if self.reset_due
            && let Some((code, reason)) = self.reset.clone()
        {
            self.reset_due = false;
            return Frame::Reset { code, reason }.encode(out);
        }
        self.transmit_returned(out);
        let in_frames = !self.outbox.has_store();
        let sendable = in_frames && self.outbox.is_sendable(link.window);
        if self.inbox.ack_urgent() || sendable && self.inbox.ack_pending() {
            Frame::Ack { through: self.inbox.take_ack() }.encode(out);
        }
        if self.closed.is_some() || !in_frames {
            return;
        }
        self.outbox.transmit(link.window, out);
        // Everything else waits for it.
        self.ack_request |= sendable && self.outbox.is_alone();
        if self.ack_request && !out.is_full() {
            self.ack_request = false;
            if self.outbox.in_flight_messages() > 0 {
                Frame::AckRequest.encode(out);
            }
        }
    }

    /// Puts the pending acknowledgement, if any, into `out` without waiting for company.
    pub fn transmit_ack(&mut self, out: &mut TransmitBuffer) {
        if self.link.is_some() && self.inbox.ack_pending() {
            Frame::Ack { through: self.inbox.take_ack() }.encode(out);
        }
    }

    /// Both directions ended, everything handled and acknowledged on both sides.
    #[inline]
    fn settle(&mut self) {
        let received_all = self.inbox.is_finished() && self.inbox.handled_through() + 1 == self.inbox.next();
        if self.closed.is_none() && self.outbox.is_finished() && self.outbox.is_empty() && received_all {
            self.closed = Some(Closed::Finished);
        }
    }

    /// Checks that no byte of window or outbox room was lost or invented; for tests, linear in what is held.
    ///
    /// # Panics
    /// If credit leaked.
    #[doc(hidden)]
    pub fn assert_credit_is_conserved(&self) {
        self.outbox.assert_credit_is_conserved();
        self.inbox.assert_credit_is_conserved();
    }
}
