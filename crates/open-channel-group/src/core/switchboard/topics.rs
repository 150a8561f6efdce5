//! Topics: each publication once, and the line of each subscription.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::counts::Counts;
use super::outgoing::Outgoing;
use super::subjects::{Subjects, Subscriber};
use crate::core::frame::ToMember;
use crate::core::ids::{MemberId, PublishId, SubscriptionId};
use crate::core::limits::{Window, cost};
use crate::core::pattern::{Pattern, Topic};
use crate::core::status::MOST_PATTERNS;

/// A publication that not all have handled.
#[derive(Debug)]
struct Publication {
    publisher: MemberId,
    number: PublishId,
    topic: Topic,
    payload: Bytes,
    /// How many subscriptions have not handled it.
    open: usize,
    /// Its publisher has left.
    orphan: bool,
}

#[derive(Debug)]
struct Line {
    pattern: Pattern,
    window: u64,
    /// Bytes that the member has unhandled from earlier hosts.
    held: u64,
    waiting: VecDeque<u64>,
    waiting_bytes: u64,
    /// Delivered and not handled: the number of each delivery, its publication, its cost.
    under_way: BTreeMap<u64, (u64, u64)>,
    under_way_bytes: u64,
    /// It is in the list of those that have something to deliver.
    ready: bool,
    /// Since when it is full and makes no progress.
    full_since: Option<Duration>,
}

impl Line {
    fn can_deliver(&self, cost: u64) -> bool {
        let used = self.held + self.under_way_bytes;
        used == 0 || used + cost <= self.window
    }
}

/// The subscriptions of one member, for people.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) subscriptions: u64,
    pub(crate) patterns: Vec<Pattern>,
    /// Bytes.
    pub(crate) unhandled: u64,
}

/// The switchboard's side of topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    last: u64,
    subjects: Subjects,
    lines: BTreeMap<Subscriber, Line>,
    publications: BTreeMap<u64, Publication>,
    bytes: usize,
    /// Bytes of publications whose publishers have left: no window bounds them any more.
    orphaned: usize,
    most_orphaned: usize,
    publishers: BTreeMap<MemberId, Window>,
    /// How many subscriptions each member has.
    counts: Counts,
    ready: BTreeMap<MemberId, VecDeque<SubscriptionId>>,
}

impl Topics {
    pub(crate) fn new(most_orphaned: usize) -> Self {
        Self { most_orphaned, ..Self::default() }
    }

    pub(crate) fn subscribe(
        &mut self,
        member: MemberId,
        subscription: SubscriptionId,
        pattern: Pattern,
        window: u64,
        held: u64,
    ) -> Result<(), &'static str> {
        let subscriber = (member, subscription);
        if self.lines.contains_key(&subscriber) {
            return Err("a subscription is made twice");
        }
        self.counts.add(member)?;
        self.subjects.insert(&pattern, subscriber);
        self.lines.insert(
            subscriber,
            Line {
                pattern,
                window,
                held: held.min(u64::MAX / 4),
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                under_way: BTreeMap::new(),
                under_way_bytes: 0,
                ready: false,
                full_since: None,
            },
        );
        Ok(())
    }

    pub(crate) fn unsubscribe(
        &mut self,
        member: MemberId,
        subscription: SubscriptionId,
        outgoing: &mut Outgoing,
    ) {
        let subscriber = (member, subscription);
        let Some(line) = self.lines.remove(&subscriber) else { return };
        self.counts.remove(member);
        self.subjects.remove(&line.pattern, subscriber);
        if let Some(ready) = self.ready.get_mut(&member) {
            ready.retain(|one| *one != subscription);
        }
        let under_way = line.under_way.into_values().map(|(publication, _)| publication);
        for publication in under_way.chain(line.waiting) {
            self.handled_by_one(publication, outgoing);
        }
    }

    /// A publication of a member whose window is so large.
    pub(crate) fn publish(
        &mut self,
        publisher: MemberId,
        window: usize,
        (number, topic, payload): (PublishId, Topic, Bytes),
        outgoing: &mut Outgoing,
    ) -> Result<(), &'static str> {
        let used = self.publishers.entry(publisher).or_insert_with(|| Window::new(window));
        let cost = cost(payload.len());
        if !used.has_room(cost) {
            return Err("more publications than the window has room for");
        }
        let subscribers = self.subjects.matching(&topic);
        if subscribers.is_empty() {
            outgoing.push((publisher, ToMember::Published { number }));
            return Ok(());
        }
        used.add(cost);
        self.last += 1;
        let id = self.last;
        for &subscriber in &subscribers {
            if let Some(line) = self.lines.get_mut(&subscriber) {
                line.waiting.push_back(id);
                line.waiting_bytes += cost as u64;
            }
        }
        let open = subscribers.len();
        let orphan = false;
        let publication = Publication { publisher, number, topic, payload, open, orphan };
        self.publications.insert(id, publication);
        self.bytes += cost;
        for subscriber in subscribers {
            self.check_ready(subscriber);
        }
        Ok(())
    }

    pub(crate) fn handled(
        &mut self,
        member: MemberId,
        subscription: SubscriptionId,
        number: u64,
        outgoing: &mut Outgoing,
    ) {
        let subscriber = (member, subscription);
        let Some(line) = self.lines.get_mut(&subscriber) else { return };
        let Some((publication, cost)) = line.under_way.remove(&number) else { return };
        line.under_way_bytes -= cost;
        line.full_since = None;
        self.check_ready(subscriber);
        self.handled_by_one(publication, outgoing);
    }

    /// The member has handled so much of what it had from earlier hosts.
    pub(crate) fn released(&mut self, member: MemberId, subscription: SubscriptionId, bytes: u64) {
        let subscriber = (member, subscription);
        if let Some(line) = self.lines.get_mut(&subscriber) {
            line.held = line.held.saturating_sub(bytes);
            line.full_since = None;
            self.check_ready(subscriber);
        }
    }

    fn handled_by_one(&mut self, id: u64, outgoing: &mut Outgoing) {
        let Some(publication) = self.publications.get_mut(&id) else { return };
        publication.open -= 1;
        if publication.open > 0 {
            return;
        }
        if let Some(publication) = self.publications.remove(&id) {
            let Publication { publisher, number, payload, orphan, .. } = publication;
            let cost = cost(payload.len());
            self.bytes -= cost;
            if orphan {
                self.orphaned -= cost;
            }
            if let Some(window) = self.publishers.get_mut(&publisher) {
                window.free(cost);
                outgoing.push((publisher, ToMember::Published { number }));
            }
        }
    }

    fn check_ready(&mut self, subscriber: Subscriber) {
        let Some(line) = self.lines.get_mut(&subscriber) else { return };
        let next = line.waiting.front().and_then(|id| self.publications.get(id));
        let Some(publication) = next else { return };
        if !line.ready && line.can_deliver(cost(publication.payload.len()) as u64) {
            line.ready = true;
            self.ready.entry(subscriber.0).or_default().push_back(subscriber.1);
        }
    }

    /// The next delivery for a member; its subscriptions take turns.
    pub(crate) fn next_delivery(&mut self, member: MemberId) -> Option<ToMember> {
        loop {
            let subscription = self.ready.get_mut(&member)?.pop_front()?;
            let subscriber = (member, subscription);
            let Some(line) = self.lines.get_mut(&subscriber) else { continue };
            line.ready = false;
            let Some(&id) = line.waiting.front() else { continue };
            let Some(publication) = self.publications.get(&id) else { continue };
            let cost = cost(publication.payload.len()) as u64;
            if !line.can_deliver(cost) {
                continue;
            }
            line.waiting.pop_front();
            line.waiting_bytes -= cost;
            self.last += 1;
            let number = self.last;
            line.under_way.insert(number, (id, cost));
            line.under_way_bytes += cost;
            let frame = ToMember::Deliver {
                subscription,
                number,
                publisher: publication.publisher,
                publication: publication.number,
                topic: publication.topic.clone(),
                payload: publication.payload.clone(),
            };
            self.check_ready(subscriber);
            return Some(frame);
        }
    }

    pub(crate) fn has_delivery(&self, member: MemberId) -> bool {
        self.ready.get(&member).is_some_and(|ready| !ready.is_empty())
    }

    /// The members with a subscription that was full, without progress, for so long.
    pub(crate) fn stalled(&mut self, now: Duration, timeout: Duration) -> Vec<MemberId> {
        let mut stalled = Vec::new();
        for (&(member, _), line) in &mut self.lines {
            let unhandled = line.waiting_bytes + line.under_way_bytes;
            let holds_up = |id: &u64| {
                let publisher = self.publications.get(id).map(|publication| publication.publisher);
                let window = publisher.and_then(|publisher| self.publishers.get(&publisher));
                window.is_some_and(Window::is_pressed)
            };
            let is_full = unhandled > 0
                && (unhandled >= line.window / 2
                    || line.waiting.iter().any(holds_up)
                    || line.under_way.values().any(|(id, _)| holds_up(id)));
            if !is_full {
                line.full_since = None;
                continue;
            }
            let since = *line.full_since.get_or_insert(now);
            if now.saturating_sub(since) >= timeout {
                stalled.push(member);
            }
        }
        stalled.dedup();
        stalled
    }

    /// A member is gone, with its subscriptions. Its publications are still delivered, unless too
    /// many have been left so.
    pub(crate) fn forget(&mut self, member: MemberId, outgoing: &mut Outgoing) {
        if self.publishers.remove(&member).is_some() {
            self.orphan(member, outgoing);
        }
        let first = (member, SubscriptionId(0));
        let last = (member, SubscriptionId(u64::MAX));
        let gone: Vec<Subscriber> = self.lines.range(first..=last).map(|(&key, _)| key).collect();
        for (member, subscription) in gone {
            self.unsubscribe(member, subscription, outgoing);
        }
        self.ready.remove(&member);
    }

    fn orphan(&mut self, member: MemberId, outgoing: &mut Outgoing) {
        let of_it = self.publications.iter_mut().filter(|(_, one)| one.publisher == member);
        let mut left = BTreeSet::new();
        for (&id, publication) in of_it {
            publication.orphan = true;
            self.orphaned += cost(publication.payload.len());
            left.insert(id);
        }
        if self.orphaned <= self.most_orphaned {
            return;
        }
        let mut dropped = Vec::new();
        for line in self.lines.values_mut() {
            let gone = line.waiting.iter().filter(|id| left.contains(id)).copied();
            dropped.extend(gone);
            line.waiting.retain(|id| !left.contains(id));
        }
        for id in dropped {
            self.handled_by_one(id, outgoing);
        }
        self.count_waiting();
    }

    fn count_waiting(&mut self) {
        for line in self.lines.values_mut() {
            let costs = line.waiting.iter().filter_map(|id| self.publications.get(id));
            line.waiting_bytes = costs.map(|one| cost(one.payload.len()) as u64).sum();
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.publications.is_empty()
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    /// Publications that not all have handled, and their bytes.
    pub(crate) fn under_way(&self) -> (u64, u64) {
        (self.publications.len() as u64, self.bytes as u64)
    }

    /// The subscriptions of a member.
    pub(crate) fn of(&self, member: MemberId) -> Subscriptions {
        let first = (member, SubscriptionId(0));
        let last = (member, SubscriptionId(u64::MAX));
        let mut all = Subscriptions::default();
        for line in self.lines.range(first..=last).map(|(_, line)| line) {
            all.subscriptions += 1;
            all.unhandled += line.held + line.waiting_bytes + line.under_way_bytes;
            if all.patterns.len() < MOST_PATTERNS {
                all.patterns.push(line.pattern.clone());
            }
        }
        all
    }
}
