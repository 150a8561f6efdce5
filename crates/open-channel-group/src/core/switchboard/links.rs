//! The sockets at the switchboard, and what lies ready for each of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::core::entry::Logged;
use crate::core::frame::{LockClaim, ToMember};
use crate::core::ids::{LinkId, Mark, MemberId};
use crate::core::limits::cost;
use crate::core::transfer::Transfer;
use crate::core::view::MemberInfo;

/// Bytes after which entries that wait together are full.
const PIECE: usize = 64 << 10;

/// Where the member at a socket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has presented itself, or not again.
    Unknown,
    /// It presents itself.
    Presenting,
    /// It has presented itself.
    Back,
    /// It is served.
    Member,
}

#[derive(Debug)]
struct Ready {
    frame: ToMember,
    cost: usize,
    /// The member that it comes from.
    sender: Option<MemberId>,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) standing: Standing,
    pub(crate) member: Option<MemberId>,
    pub(crate) info: Option<MemberInfo>,
    pub(crate) window: usize,
    pub(crate) mark: Option<Mark>,
    ready: VecDeque<Ready>,
    bytes: usize,
    /// Bytes of this member that lie ready for others.
    routed: usize,
    /// Position up to which it has the entries.
    pub(crate) have: u64,
    /// The stable position that it has been sent, or that lies ready for it.
    stable: u64,
    stable_ready: bool,
    /// Since when it confirms nothing.
    unconfirmed_since: Option<Duration>,
    /// Since when nothing of what lies ready is taken.
    untaken_since: Option<Duration>,
}

impl Link {
    fn new() -> Self {
        Self {
            standing: Standing::Unknown,
            member: None,
            info: None,
            window: 0,
            mark: None,
            ready: VecDeque::new(),
            bytes: 0,
            routed: 0,
            have: 0,
            stable: 0,
            stable_ready: false,
            unconfirmed_since: None,
            untaken_since: None,
        }
    }
}

/// All sockets.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<LinkId, Link>,
    members: BTreeMap<MemberId, LinkId>,
}

impl Links {
    pub(crate) fn get(&self, link: LinkId) -> Option<&Link> {
        self.links.get(&link)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> &mut Link {
        self.links.entry(link).or_insert_with(Link::new)
    }

    pub(crate) fn of(&self, member: MemberId) -> Option<LinkId> {
        self.members.get(&member).copied()
    }

    pub(crate) fn member_mut(&mut self, member: MemberId) -> Option<&mut Link> {
        self.links.get_mut(self.members.get(&member)?)
    }

    /// A member presents itself at a socket.
    pub(crate) fn hello(
        &mut self,
        link: LinkId,
        member: MemberId,
        (info, window, mark): (MemberInfo, usize, Option<Mark>),
    ) {
        self.clear(link);
        self.members.insert(member, link);
        let this = self.get_mut(link);
        *this = Link { routed: this.routed, ..Link::new() };
        this.standing = Standing::Presenting;
        this.member = Some(member);
        this.info = Some(info);
        this.window = window;
        this.mark = mark;
    }

    /// The member at this socket is not known any more.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.clear(link);
        let this = self.get_mut(link);
        this.standing = Standing::Unknown;
        this.unconfirmed_since = None;
        if let Some(member) = this.member.take() {
            self.members.remove(&member);
        }
    }

    /// The socket is over.
    pub(crate) fn remove(&mut self, link: LinkId) {
        self.forget(link);
        self.links.remove(&link);
    }

    fn clear(&mut self, link: LinkId) {
        let this = self.get_mut(link);
        this.bytes = 0;
        this.untaken_since = None;
        for ready in std::mem::take(&mut this.ready) {
            self.unroute(&ready);
        }
    }

    fn unroute(&mut self, ready: &Ready) {
        if let Some(sender) = ready.sender.and_then(|sender| self.member_mut(sender)) {
            sender.routed = sender.routed.saturating_sub(ready.cost);
        }
    }

    pub(crate) fn post(&mut self, link: LinkId, frame: ToMember, now: Duration) {
        let cost = frame_cost(&frame);
        self.push(link, Ready { frame, cost, sender: None }, now);
    }

    fn push(&mut self, link: LinkId, ready: Ready, now: Duration) {
        let this = self.get_mut(link);
        this.untaken_since.get_or_insert(now);
        this.bytes += ready.cost;
        this.ready.push_back(ready);
    }

    /// Something from one member to another. It is refused when its sender has more under way than
    /// its windows have room for.
    pub(crate) fn route(
        &mut self,
        sender: LinkId,
        to: LinkId,
        frame: ToMember,
        most: usize,
        now: Duration,
    ) -> Result<(), &'static str> {
        let cost = frame_cost(&frame);
        let from = self.get_mut(sender);
        if from.routed > 0 && from.routed + cost > most {
            return Err("more for other members than the windows have room for");
        }
        from.routed += cost;
        let sender = from.member;
        self.push(to, Ready { frame, cost, sender }, now);
        Ok(())
    }

    /// An entry for every member that is served.
    pub(crate) fn post_entry(&mut self, position: u64, logged: &Logged, now: Duration) {
        let served: Vec<LinkId> = self.served().map(|(link, _)| link).collect();
        for link in served {
            let this = self.get_mut(link);
            this.unconfirmed_since.get_or_insert(now);
            let cost = logged.entry.cost();
            if let Some(last) = this.ready.back_mut()
                && let ToMember::Log { piece: Transfer::Entries { entries, .. } } = &mut last.frame
                && last.cost + cost <= PIECE
            {
                entries.push(logged.clone());
                last.cost += cost;
                this.bytes += cost;
                continue;
            }
            let piece = Transfer::Entries { first: position, entries: vec![logged.clone()] };
            self.post(link, ToMember::Log { piece }, now);
        }
    }

    /// The sockets of members that are served.
    pub(crate) fn served(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        let served = |link: &Link| link.standing == Standing::Member;
        self.links.iter().filter(move |(_, link)| served(link)).map(|(&id, link)| (id, link))
    }

    /// The sockets with this standing, in the order of their numbers.
    pub(crate) fn with(&self, standing: Standing) -> Vec<LinkId> {
        let with = self.links.iter().filter(|(_, link)| link.standing == standing);
        with.map(|(&id, _)| id).collect()
    }

    /// A member confirms the entries up to a position.
    pub(crate) fn confirm(&mut self, link: LinkId, position: u64, last: u64, now: Duration) {
        let this = self.get_mut(link);
        if position > this.have {
            this.have = position;
            this.unconfirmed_since = (position < last).then_some(now);
        }
    }

    /// The position that every member that is served has confirmed.
    pub(crate) fn confirmed_by_all(&self) -> Option<u64> {
        self.served().map(|(_, link)| link.have).min()
    }

    pub(crate) fn pop(&mut self, link: LinkId, now: Duration) -> Option<ToMember> {
        let this = self.links.get_mut(&link)?;
        let ready = this.ready.pop_front()?;
        this.bytes -= ready.cost;
        this.untaken_since = (!this.ready.is_empty()).then_some(now);
        if matches!(ready.frame, ToMember::Stable { .. }) {
            this.stable_ready = false;
        }
        self.unroute(&ready);
        Some(ready.frame)
    }

    /// Everybody has the entries up to this position. Each member hears so after all that lies
    /// ready for it, and one such frame lies ready at a time.
    pub(crate) fn post_stable(&mut self, position: u64, now: Duration) {
        let behind = |link: &Link| link.stable < position && !link.stable_ready;
        let links = self.served().filter(|(_, link)| behind(link)).map(|(link, _)| link);
        for link in links.collect::<Vec<LinkId>>() {
            let this = self.get_mut(link);
            this.stable = position;
            this.stable_ready = true;
            self.post(link, ToMember::Stable { position }, now);
        }
    }

    pub(crate) fn has_ready(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| !link.ready.is_empty())
    }

    /// Whether an answer who has locks lies ready for a member, or a part of it.
    pub(crate) fn has_locks(&self, link: LinkId) -> bool {
        let is_answer = |ready: &Ready| matches!(ready.frame, ToMember::Locks { .. });
        self.links.get(&link).is_some_and(|link| link.ready.iter().any(is_answer))
    }

    /// The members that have confirmed or taken nothing for so long.
    pub(crate) fn stalled(&self, now: Duration, timeout: Duration) -> Vec<MemberId> {
        let since = |link: &Link| [link.unconfirmed_since, link.untaken_since];
        self.served()
            .filter(|(_, link)| {
                since(link).into_iter().flatten().any(|at| now.saturating_sub(at) >= timeout)
            })
            .filter_map(|(_, link)| link.member)
            .collect()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.served()
            .all(|(_, link)| link.unconfirmed_since.is_none() && link.untaken_since.is_none())
    }

    pub(crate) fn memory(&self) -> usize {
        self.links.values().map(|link| link.bytes).sum()
    }
}

fn frame_cost(frame: &ToMember) -> usize {
    match frame {
        ToMember::Log { piece } => cost(piece.cost()),
        ToMember::Forward { frame, .. } => cost(frame.len()),
        ToMember::Locks { claims, .. } => cost(claims.iter().map(LockClaim::cost).sum()),
        _ => cost(0),
    }
}
