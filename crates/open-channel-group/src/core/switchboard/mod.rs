//! The host's side of a group.
//!
//! ```text
//!   recovering ──all are back or gone, or host_timeout; the newest replica is here──▶ serving
//! ```
//!
//! It gives each thing its order and its way, and holds nothing that members cannot present again.

mod clock;
mod counts;
mod links;
mod queues;
mod recovery;
mod subjects;
mod topics;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::entry::{Entry, LeaveReason, Logged};
use super::error::ProtocolError;
use super::frame::{self, Errand, Parcel, ToHost, ToMember};
use super::ids::{LinkId, Mark, MemberId, OpId};
use super::limits::{Limits, MAX_INFO};
use super::log::Log;
use super::replica::{MemberInfo, MemberView};
use super::transfer::{self, Known, Transfer};
use super::write::Write;
use clock::Clock;
use links::{Links, Standing};
use queues::Queues;
use recovery::{Recovery, Step};
use topics::Topics;
use turns::{Claim, Turns};

/// Frames for members, in order.
pub(crate) type Mail = Vec<(MemberId, ToMember)>;

const TOO_LARGE: &str = "a payload that is larger than allowed";

/// How many times the own window a member's may be large.
const LARGEST_WINDOW: usize = 16;

/// What a new host knows of the group.
#[derive(Debug, Clone)]
pub enum Start {
    /// No group is there: it begins at once.
    First,
    /// Nothing: if there is a group, its members will say so.
    Newcomer,
    /// What its own member knows.
    Successor(Known),
}

#[derive(Debug)]
enum Phase {
    Recovering(Box<Recovery>),
    Serving,
}

/// The host's side of a group; [`core`](super) shows how it is driven.
#[derive(Debug)]
pub struct Switchboard {
    tenure: u64,
    limits: Limits,
    clock: Clock,
    phase: Phase,
    log: Log,
    links: Links,
    topics: Topics,
    turns: Turns,
    queues: Queues,
    mail: Mail,
}

/// Beginning, messages, ends.
impl Switchboard {
    /// The switchboard of the host of this generation.
    pub fn new(tenure: u64, start: Start, limits: Limits, now: Duration) -> Self {
        let first = matches!(start, Start::First);
        let log = match start {
            Start::Successor(Known(log)) => Some(log),
            Start::First | Start::Newcomer => None,
        };
        let step = limits.host_timeout.min(limits.stall_timeout) / 4;
        let recovery = Recovery::new(log, first, Duration::ZERO, limits.host_timeout);
        let mut this = Self {
            tenure,
            limits,
            clock: Clock::new(now, step),
            phase: Phase::Recovering(Box::new(recovery)),
            log: Log::default(),
            links: Links::default(),
            topics: Topics::default(),
            turns: Turns::new(tenure),
            queues: Queues::default(),
            mail: Vec::new(),
        };
        this.recover();
        this
    }

    /// Takes a message from a socket. The channel's message is acknowledged then.
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
        self.deliver_mail();
        taken
    }

    /// A socket is over, or its process has ended.
    pub fn lost(&mut self, link: LinkId, now: Duration) {
        self.clock.advance(now);
        self.drop_member(link, LeaveReason::Died);
        self.links.remove(link);
        self.recover();
        self.deliver_mail();
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
        self.deliver_mail();
    }

    /// The channel says that a member has taken nothing for too long.
    pub fn silent(&mut self, link: LinkId, now: Duration) {
        self.clock.advance(now);
        if self.links.get(link).is_some_and(|link| link.standing == Standing::Member) {
            self.put_out(link, LeaveReason::Stalled);
        }
        self.deliver_mail();
    }

    /// The next message for a socket. It is asked for until there is none, whenever the socket
    /// has room.
    pub fn poll_send(&mut self, link: LinkId) -> Option<Bytes> {
        let frame = self.next_frame(link)?;
        Some(frame::encode(self.tenure, &frame))
    }

    fn next_frame(&mut self, link: LinkId) -> Option<ToMember> {
        if let Some(frame) = self.links.pop(link, self.clock.elapsed()) {
            return Some(frame);
        }
        if let Some(position) = self.links.stable_news(link, self.log.stable().position) {
            return Some(ToMember::Stable { position });
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
        self.links.has_ready(link, self.log.stable().position)
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
        self.deliver_mail();
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

    /// Whether members are served.
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Bytes that it holds for what is under way.
    pub fn memory(&self) -> usize {
        self.links.memory() + self.topics.memory() + self.queues.memory() + self.log.held_bytes()
    }
}

/// Members come and go.
impl Switchboard {
    fn hello(
        &mut self,
        link: LinkId,
        member: MemberId,
        info: MemberInfo,
        window: u64,
        mark: Option<Mark>,
    ) -> Result<(), &'static str> {
        self.drop_member(link, LeaveReason::Died);
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        if window > self.limits.window.saturating_mul(LARGEST_WINDOW) {
            return Err("a window that is too large");
        }
        if info.cost() > MAX_INFO {
            return Err("a member that says too much of itself");
        }
        if mark.is_some_and(|mark| mark.tenure >= self.tenure) {
            return Err("a replica of a later host");
        }
        if self.links.of(member).is_some() {
            return Err("an id that another member has");
        }
        if mark.is_some() && self.is_serving() {
            // It was not back in time.
            self.put_out(link, LeaveReason::NotBack);
            return Ok(());
        }
        self.links.hello(link, member, (info, window, mark));
        Ok(())
    }

    fn back(&mut self, link: LinkId) {
        let this = self.links.get_mut(link);
        if this.standing != Standing::Presenting {
            return;
        }
        this.standing = Standing::Back;
        let (member, mark) = (this.member, this.mark);
        match &mut self.phase {
            Phase::Recovering(recovery) => {
                if let Some(member) = member {
                    recovery.came(member);
                }
                self.recover();
            }
            // It began to present itself before this host served.
            Phase::Serving if mark.is_some() => self.put_out(link, LeaveReason::NotBack),
            Phase::Serving => self.join(link),
        }
    }

    /// Goes on with the recovery as far as it gets.
    fn recover(&mut self) {
        let Phase::Recovering(recovery) = &mut self.phase else { return };
        let back: BTreeMap<MemberId, Option<Mark>> = self
            .links
            .with(Standing::Back)
            .into_iter()
            .filter_map(|link| self.links.get(link))
            .filter_map(|link| Some((link.member?, link.mark)))
            .collect();
        match recovery.step(&back, self.clock.elapsed()) {
            Step::Wait => {}
            Step::Fetch(member, mark) => self.mail.push((member, ToMember::Fetch { mark })),
            Step::Serve => self.serve(),
        }
    }

    fn serve(&mut self) {
        let Phase::Recovering(recovery) = std::mem::replace(&mut self.phase, Phase::Serving) else {
            return;
        };
        self.log = recovery.into_log();
        let mut gone: Vec<MemberId> =
            self.log.replica().members.iter().map(|member| member.id).collect();
        let mut newcomers = Vec::new();
        for link in self.links.with(Standing::Back) {
            let Some(this) = self.links.get(link) else { continue };
            let (Some(member), mark) = (this.member, this.mark) else { continue };
            let Some(mark) = mark else {
                newcomers.push(link);
                continue;
            };
            if !gone.contains(&member) || !self.log.contains(mark) {
                self.put_out(link, LeaveReason::NotBack);
                continue;
            }
            gone.retain(|one| *one != member);
            for piece in transfer::entries(&self.log, mark) {
                self.links.post(link, ToMember::Log { piece }, self.clock.elapsed());
            }
            let this = self.links.get_mut(link);
            this.standing = Standing::Member;
            this.have = mark.position;
            self.queues.admit(member, &mut self.mail);
        }
        self.append(Entry::Begin { gone });
        for link in newcomers {
            self.join(link);
        }
        self.turns.begin(&mut self.mail);
        self.queues.begin(&mut self.mail);
    }

    fn join(&mut self, link: LinkId) {
        if self.log.replica().members.len() >= self.limits.max_members {
            return self.put_out(link, LeaveReason::TooMany);
        }
        let this = self.links.get_mut(link);
        let (Some(id), Some(info)) = (this.member, this.info.take()) else { return };
        if self.log.replica().contains(id) {
            return self.put_out(link, LeaveReason::Violation);
        }
        let before = self.log.mark().position;
        self.append(Entry::Join { id, info });
        let now = self.clock.elapsed();
        for piece in transfer::snapshot(&self.log, self.clock.now()) {
            self.links.post(link, ToMember::Log { piece }, now);
        }
        let this = self.links.get_mut(link);
        this.standing = Standing::Member;
        this.have = before;
        self.queues.admit(id, &mut self.mail);
        self.settle();
    }

    /// The member at a socket is out of the view, and learns so.
    fn put_out(&mut self, link: LinkId, reason: LeaveReason) {
        self.drop_member(link, reason);
        self.links.post(link, ToMember::PutOut { reason }, self.clock.elapsed());
        self.recover();
    }

    fn drop_member(&mut self, link: LinkId, reason: LeaveReason) {
        let Some(member) = self.links.get(link).and_then(|link| link.member) else { return };
        self.links.forget(link);
        // Others learn of it before they learn what comes of it.
        match &mut self.phase {
            Phase::Recovering(recovery) => recovery.gone(member),
            Phase::Serving if self.log.replica().contains(member) => {
                self.append(Entry::Leave { id: member, reason });
            }
            Phase::Serving => {}
        }
        self.topics.forget(member, &mut self.mail);
        self.turns.forget(member, &mut self.mail);
        self.queues.forget(member, &mut self.mail);
    }

    /// A member leaves by itself, and sees its own leave.
    fn leave(&mut self, link: LinkId, member: MemberId) {
        let reason = LeaveReason::Left;
        self.append(Entry::Leave { id: member, reason });
        let now = self.clock.elapsed();
        let mut last = Vec::new();
        while let Some(frame) = self.links.pop(link, now) {
            last.push(frame);
        }
        self.drop_member(link, reason);
        for frame in last {
            self.links.post(link, frame, now);
        }
    }

    /// Writes the next entry of the log, for all. It comes after everything before it: a job that
    /// was assigned to a member, say, before that member's leave.
    fn append(&mut self, entry: Entry) {
        self.deliver_mail();
        let logged = Logged { tenure: self.tenure, entry };
        if self.log.append(logged.clone(), self.clock.now()).is_ok() {
            let position = self.log.mark().position;
            self.links.post_entry(position, &logged, self.clock.elapsed());
            self.settle();
        }
    }

    fn settle(&mut self) {
        let all = self.links.confirmed_by_all().unwrap_or(self.log.mark().position);
        self.log.settle(all);
    }

    fn deliver_mail(&mut self) {
        let now = self.clock.elapsed();
        for (member, frame) in std::mem::take(&mut self.mail) {
            if let Some(link) = self.links.of(member) {
                self.links.post(link, frame, now);
            }
        }
    }
}

/// Frames.
impl Switchboard {
    fn take(&mut self, link: LinkId, frame: ToHost) -> Result<(), &'static str> {
        if let ToHost::Hello { member, info, window, mark } = frame {
            return self.hello(link, member, info, window, mark);
        }
        let Some(this) = self.links.get(link) else { return Ok(()) };
        let (standing, window) = (this.standing, this.window);
        // Whoever was put out learns so soon; what it sent before is dropped.
        let Some(member) = this.member else { return Ok(()) };
        let mail = &mut self.mail;
        match frame {
            ToHost::Back => self.back(link),
            ToHost::Subscribe { subscription, pattern, held } => {
                self.topics.subscribe(member, subscription, pattern, window as u64, held)?;
                mail.push((member, ToMember::Subscribed { subscription }));
            }
            ToHost::Unsubscribe { subscription } => {
                self.topics.unsubscribe(member, subscription, mail);
            }
            ToHost::Released { subscription, bytes } => {
                self.topics.released(member, subscription, bytes);
            }
            ToHost::Handled { subscription, number } => {
                self.topics.handled(member, subscription, number, mail);
            }
            ToHost::Lock { lock, name, mode, wait, ticket, token } => {
                let claim = Claim { member, lock, mode, wait, token };
                self.turns.claim(name, claim, ticket, mail)?;
            }
            ToHost::Unlock { lock } => self.turns.unlock(member, lock, mail),
            ToHost::Work { worker, queue, capacity } => {
                self.queues.work(member, worker, queue, capacity, mail)?;
            }
            ToHost::Busy { worker, pusher, exchange } => {
                self.queues.busy(member, worker, pusher, exchange)?;
            }
            ToHost::StopWork { worker } => self.queues.stop_work(member, worker),
            ToHost::Log { piece } => self.take_log(member, piece)?,
            _ if standing != Standing::Member => return Err("a frame before the host serves"),
            frame => self.take_of_member(link, member, window, frame)?,
        }
        Ok(())
    }

    fn take_of_member(
        &mut self,
        link: LinkId,
        member: MemberId,
        window: usize,
        frame: ToHost,
    ) -> Result<(), &'static str> {
        let max = self.limits.max_payload;
        let mail = &mut self.mail;
        match frame {
            ToHost::Publish { payload, .. } if payload.len() > max => return Err(TOO_LARGE),
            ToHost::Send { parcel, .. } if parcel.len() > max => return Err(TOO_LARGE),
            ToHost::Write { write, .. } if write.len() > max => return Err(TOO_LARGE),
            ToHost::Have { position } => {
                let last = self.log.mark().position;
                if position > last {
                    return Err("a confirmation of an entry that was never written");
                }
                self.links.confirm(link, position, last, self.clock.elapsed());
                self.settle();
            }
            ToHost::Publish { number, topic, payload } => {
                self.topics.publish(member, window, (number, topic, payload), mail)?;
            }
            ToHost::Push { job, queue } => self.queues.push(member, window, job, queue, mail)?,
            ToHost::Withdraw { job } => self.queues.withdraw(member, job),
            ToHost::Decline { job, member: worker_of, worker } => {
                self.queues.decline(member, job, (worker_of, worker), mail);
            }
            ToHost::Send { to, parcel } => self.route(link, member, to, parcel)?,
            ToHost::Write { op, write } => self.write(member, op, write)?,
            ToHost::Leave => self.leave(link, member),
            _ => return Err("a frame that has no place here"),
        }
        Ok(())
    }

    fn take_log(&mut self, member: MemberId, piece: Transfer) -> Result<(), &'static str> {
        let Phase::Recovering(recovery) = &mut self.phase else { return Ok(()) };
        recovery.take(member, piece, self.clock.now())?;
        self.recover();
        Ok(())
    }

    fn route(
        &mut self,
        link: LinkId,
        from: MemberId,
        to: MemberId,
        parcel: Parcel,
    ) -> Result<(), &'static str> {
        match &parcel {
            Parcel::Request { exchange, errand: Errand::Job { job, worker, .. } } => {
                self.queues.started(from, *exchange, *job, (to, *worker));
            }
            Parcel::Answer { exchange, .. } => {
                self.queues.ended(from, to, *exchange, &mut self.mail);
            }
            _ => {}
        }
        let served = |link: &LinkId| {
            self.links.get(*link).is_some_and(|link| link.standing == Standing::Member)
        };
        // Whoever sent it learns from the log that the other is gone.
        let Some(to) = self.links.of(to).filter(served) else { return Ok(()) };
        let window = self.links.get_mut(link).window;
        let most = window.saturating_add(self.limits.max_payload).saturating_mul(4);
        let frame = ToMember::Forward { from, parcel };
        self.links.route(link, to, frame, most, self.clock.elapsed())
    }

    fn write(&mut self, origin: MemberId, op: OpId, write: Write) -> Result<(), &'static str> {
        let window = self.limits.window.saturating_mul(LARGEST_WINDOW);
        let each = window.saturating_add(self.limits.max_payload).saturating_mul(2);
        let most = each.saturating_mul(self.log.replica().members.len());
        if self.log.held_bytes() > most {
            return Err("more writes than the windows have room for");
        }
        match write.evaluate(origin, self.log.replica(), self.limits.map_bytes) {
            Ok(change) => self.append(Entry::Write { origin, op, change }),
            Err(end) => self.mail.push((origin, ToMember::Wrote { op, end })),
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now = self.clock.now();
        while let Some((at, key)) = self.log.replica().map.next_expiry()
            && *at <= now
        {
            let key = key.clone();
            self.append(Entry::Expire { key });
        }
    }
}
