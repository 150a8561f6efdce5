//! The host's side of a group.
//!
//! ```text
//!   recovering ──all are back or gone, or host_timeout; the newest replica is here──▶ serving
//! ```
//!
//! It gives each thing its order and its way, and holds nothing that members cannot present again.
//! `membership` has its state, `frames` what members send; here is what a driver calls.

mod clock;
mod counts;
mod frames;
mod links;
mod membership;
mod outgoing;
mod queues;
mod recovery;
mod status;
mod subjects;
mod topics;
mod turns;

use std::time::Duration;

use bytes::Bytes;

use super::entry::LeaveReason;
use super::error::ProtocolError;
use super::frame::{self, ToHost, ToMember};
use super::ids::{LinkId, MemberId};
use super::limits::Limits;
use super::log::Log;
use super::transfer::Known;
use super::view::MemberView;
use clock::Clock;
use links::{Links, Standing};
use membership::{LARGEST_WINDOW, Phase};
pub use membership::{Start, Switchboard};
use queues::Queues;
use recovery::Recovery;
use topics::Topics;
use turns::Turns;

/// Beginning, messages, ends.
impl Switchboard {
    /// The switchboard of the host of this generation.
    pub fn new(tenure: u64, start: Start, limits: Limits, now: Duration) -> Self {
        let first = matches!(start, Start::First);
        let log = match start {
            Start::Successor(Known(log)) => Some(log),
            Start::First | Start::Newcomer => None,
        };
        let step =
            (limits.host_timeout.min(limits.stall_timeout) / 4).max(Duration::from_millis(1));
        let recovery = Recovery::new(log, first, Duration::ZERO, limits.host_timeout);
        let mut this = Self {
            tenure,
            limits,
            clock: Clock::new(now, step),
            phase: Phase::Recovering(Box::new(recovery)),
            log: Log::default(),
            links: Links::default(),
            topics: Topics::new(limits.window.saturating_mul(LARGEST_WINDOW)),
            turns: Turns::new(tenure),
            queues: Queues::default(),
            outgoing: Vec::new(),
        };
        this.recover();
        this
    }

    /// Takes a message from a socket. The channel's message is acknowledged then. Parts of it are
    /// held until they are complete, so it should lie in memory of its own.
    ///
    /// # Errors
    /// When it breaks the protocol. Its member is put out; the driver ends the socket when it has
    /// sent what lies ready.
    pub fn receive(
        &mut self,
        link: LinkId,
        message: Bytes,
        now: Duration,
    ) -> Result<(), ProtocolError> {
        self.clock.advance(now);
        let taken = match frame::decode::<ToHost>(message) {
            Ok((tenure, _)) if tenure != self.tenure => return Ok(()),
            Ok((_, frame)) => self.take(link, frame).map_err(ProtocolError::Unexpected),
            Err(error) => Err(error.into()),
        };
        if taken.is_err() {
            self.put_out(link, LeaveReason::Violation);
        }
        self.post_outgoing();
        taken
    }

    /// A socket is over, or its process has ended.
    pub fn lost(&mut self, link: LinkId, now: Duration) {
        self.clock.advance(now);
        self.drop_member(link, LeaveReason::Died);
        self.links.remove(link);
        self.recover();
        self.post_outgoing();
    }

    /// The process of a member that is [expected](Self::expected) has ended.
    pub fn gone(&mut self, member: MemberId, now: Duration) {
        self.clock.advance(now);
        if self.links.of(member).is_none()
            && let Phase::Recovering(recovery) = &mut self.phase
        {
            recovery.gone(member);
            self.recover();
        }
        self.post_outgoing();
    }

    /// The channel says that a member has taken nothing for too long.
    pub fn silent(&mut self, link: LinkId, now: Duration) {
        self.clock.advance(now);
        if self.links.get(link).is_some_and(|link| link.standing == Standing::Member) {
            self.put_out(link, LeaveReason::Stalled);
        }
        self.post_outgoing();
    }

    /// The next message for a socket. It is asked for until there is none, whenever the socket
    /// has room.
    pub fn poll_send(&mut self, link: LinkId) -> Option<Bytes> {
        let frame = self.next_frame(link)?;
        Some(frame::encode(self.tenure, &frame))
    }

    fn next_frame(&mut self, link: LinkId) -> Option<ToMember> {
        if let Some(frame) = self.links.pop(link, self.clock.elapsed()) {
            if matches!(frame, ToMember::Stable { .. }) {
                self.settle();
            }
            return Some(frame);
        }
        let this = self.links.get(link)?;
        if this.standing != Standing::Member {
            return None;
        }
        self.topics.next_delivery(this.member?)
    }

    /// Whether [`poll_send`](Self::poll_send) has something for a socket.
    pub fn has_output(&self, link: LinkId) -> bool {
        let served = self.links.get(link).filter(|link| link.standing == Standing::Member);
        self.links.has_ready(link)
            || served.and_then(|link| link.member).is_some_and(|id| self.topics.has_delivery(id))
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.clock.advance(now);
        let elapsed = self.clock.elapsed();
        if let Phase::Recovering(recovery) = &self.phase {
            let link = recovery.overdue(elapsed).and_then(|member| self.links.of(member));
            if let Some(link) = link {
                self.put_out(link, LeaveReason::NotBack);
            }
            self.recover();
        } else {
            self.expire();
            let timeout = self.limits.stall_timeout;
            let mut stalled = self.links.stalled(elapsed, timeout);
            stalled.extend(self.topics.stalled(elapsed, timeout));
            for member in stalled {
                if let Some(link) = self.links.of(member) {
                    self.put_out(link, LeaveReason::Stalled);
                }
            }
        }
        self.post_outgoing();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Duration> {
        if let Phase::Recovering(recovery) = &self.phase {
            return Some(self.clock.when(recovery.next_timeout()));
        }
        let expiry = self.log.replica().map.next_expiry().map(|(at, _)| *at);
        let quiet = self.links.is_quiet() && self.topics.is_idle();
        let look = self.clock.now() + self.limits.stall_timeout / 8;
        expiry.into_iter().chain((!quiet).then_some(look)).min()
    }

    /// The members that a new host waits for, so that the driver can look whether they live.
    pub fn expected(&self) -> Vec<&MemberView> {
        match &self.phase {
            Phase::Recovering(recovery) => {
                recovery.expected().filter(|member| self.links.of(member.id).is_none()).collect()
            }
            Phase::Serving => Vec::new(),
        }
    }

    /// The members of the view, once it serves.
    pub fn members(&self) -> Vec<MemberId> {
        self.log.replica().members.iter().map(|member| member.id).collect()
    }

    /// Whether members are served.
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Bytes that it holds for what is under way.
    pub fn memory(&self) -> usize {
        self.links.memory() + self.topics.memory() + self.queues.memory() + self.log.held_bytes()
    }
}
