//! The members of a switchboard: how they come, how they go, and what a new host does before it
//! serves them.

use std::collections::BTreeMap;

use super::clock::Clock;
use super::links::{Links, Standing};
use super::outgoing::Outgoing;
use super::queues::Queues;
use super::recovery::{Recovery, Step};
use super::topics::Topics;
use super::turns::Turns;
use crate::core::entry::{Entry, LeaveReason, Logged};
use crate::core::frame::ToMember;
use crate::core::ids::{LinkId, Mark, MemberId};
use crate::core::limits::{Limits, MAX_INFO};
use crate::core::log::Log;
use crate::core::transfer::{self, Known};
use crate::core::view::MemberInfo;

/// How many times the own window a member's may be large.
pub(crate) const LARGEST_WINDOW: usize = 16;

/// The knowledge that a new host begins with.
#[derive(Debug, Clone)]
pub enum Start {
    /// No group is there: it begins at once.
    First,
    /// Nothing: if there is a group, its members will say so.
    Newcomer,
    /// The replica of its own member.
    Successor(Known),
}

#[derive(Debug)]
pub(crate) enum Phase {
    Recovering(Box<Recovery>),
    Serving,
}

/// The host's side of a group; [`core`](crate::core) shows how it is driven.
#[derive(Debug)]
pub struct Switchboard {
    pub(crate) tenure: u64,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) phase: Phase,
    pub(crate) log: Log,
    pub(crate) links: Links,
    pub(crate) topics: Topics,
    pub(crate) turns: Turns,
    pub(crate) queues: Queues,
    pub(crate) outgoing: Outgoing,
}

/// Members come and go.
impl Switchboard {
    pub(crate) fn hello(
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

    pub(crate) fn back(&mut self, link: LinkId) {
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
    pub(crate) fn recover(&mut self) {
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
            Step::Fetch(member, mark) => self.outgoing.push((member, ToMember::Fetch { mark })),
            Step::Serve => self.serve(),
        }
    }

    pub(crate) fn serve(&mut self) {
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
            self.queues.admit(member, &mut self.outgoing);
        }
        self.append(Entry::Begin { gone });
        for link in newcomers {
            self.join(link);
        }
        self.turns.begin(&mut self.outgoing);
        self.queues.begin(&mut self.outgoing);
    }

    pub(crate) fn join(&mut self, link: LinkId) {
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
        self.queues.admit(id, &mut self.outgoing);
        self.settle();
    }

    /// The member at a socket is out of the view, and learns so.
    pub(crate) fn put_out(&mut self, link: LinkId, reason: LeaveReason) {
        self.drop_member(link, reason);
        self.links.post(link, ToMember::PutOut { reason }, self.clock.elapsed());
        self.recover();
    }

    pub(crate) fn drop_member(&mut self, link: LinkId, reason: LeaveReason) {
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
        self.topics.forget(member, &mut self.outgoing);
        self.turns.forget(member, &mut self.outgoing);
        self.queues.forget(member, &mut self.outgoing);
    }

    /// A member leaves by itself, and sees its own leave.
    pub(crate) fn leave(&mut self, link: LinkId, member: MemberId) {
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
    pub(crate) fn append(&mut self, entry: Entry) {
        self.post_outgoing();
        let logged = Logged { tenure: self.tenure, entry };
        if self.log.append(logged.clone(), self.clock.now()).is_ok() {
            let position = self.log.mark().position;
            self.links.post_entry(position, &logged, self.clock.elapsed());
            self.settle();
        }
    }

    pub(crate) fn settle(&mut self) {
        let all = self.links.confirmed_by_all().unwrap_or(self.log.mark().position);
        self.log.settle(all);
        self.links.post_stable(self.log.stable().position, self.clock.elapsed());
    }

    pub(crate) fn post_outgoing(&mut self) {
        let now = self.clock.elapsed();
        for (member, frame) in std::mem::take(&mut self.outgoing) {
            if let Some(link) = self.links.of(member) {
                self.links.post(link, frame, now);
            }
        }
    }
}
