//! Subscriptions: what arrived for them, and what the application has not handled.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Delivery, Event};
use crate::core::frame::ToHost;
use crate::core::ids::{DeliveryId, MemberId, PublishId, SubscriptionId};
use crate::core::limits::{MAX_ITEMS, cost};
use crate::core::pattern::{Pattern, Topic};

/// How many members that have left are remembered.
const DEPARTED: usize = 256;

/// A publication as it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) publisher: MemberId,
    pub(crate) publication: PublishId,
    pub(crate) topic: Topic,
    pub(crate) payload: Bytes,
}

/// A message that is here and not handled.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Its number at the present host, once that has delivered it too.
    number: Option<u64>,
    cost: usize,
    /// An earlier host delivered it; the present one counts it as held.
    carried: bool,
}

#[derive(Debug)]
struct Subscription {
    pattern: Pattern,
    latest: bool,
    /// The present host knows it.
    known: bool,
    waiting: VecDeque<Arrival>,
    waiting_bytes: usize,
    missed: u64,
    given: BTreeMap<DeliveryId, (MemberId, PublishId)>,
    open: BTreeMap<(MemberId, PublishId), Open>,
    /// The last publication that arrived of each member that may send it again.
    last: BTreeMap<MemberId, PublishId>,
}

/// The subscriber's side of topics.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    window: usize,
    next: u64,
    next_delivery: u64,
    /// Members that have left, the latest at the end. Their publications may still arrive, and may
    /// come again if this member was wrong about them; so they are not forgotten at once.
    departed: VecDeque<MemberId>,
    all: BTreeMap<SubscriptionId, Subscription>,
}

impl Subscriptions {
    pub(crate) fn new(window: usize) -> Self {
        Self { window, next: 0, next_delivery: 0, departed: VecDeque::new(), all: BTreeMap::new() }
    }

    pub(crate) fn subscribe(
        &mut self,
        pattern: Pattern,
        latest: bool,
        out: &mut Out,
    ) -> Result<SubscriptionId, Refused> {
        if self.all.len() >= MAX_ITEMS {
            return Err(Refused::Full);
        }
        self.next += 1;
        let subscription = SubscriptionId(self.next);
        out.present(ToHost::Subscribe { subscription, pattern: pattern.clone(), held: 0 });
        self.all.insert(
            subscription,
            Subscription {
                pattern,
                latest,
                known: false,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                missed: 0,
                given: BTreeMap::new(),
                open: BTreeMap::new(),
                last: BTreeMap::new(),
            },
        );
        Ok(subscription)
    }

    pub(crate) fn unsubscribe(
        &mut self,
        subscription: SubscriptionId,
        out: &mut Out,
    ) -> Result<(), Refused> {
        self.all.remove(&subscription).ok_or(Refused::NotFound)?;
        out.present(ToHost::Unsubscribe { subscription });
        Ok(())
    }

    /// The host knows a subscription. That is worth something once it serves this member: a host
    /// before may not have known of the member at all.
    pub(crate) fn confirmed(
        &mut self,
        subscription: SubscriptionId,
        active: bool,
        events: &mut VecDeque<Event>,
    ) {
        if let Some(this) = self.all.get_mut(&subscription) {
            this.known = true;
            if active {
                events.push_back(Event::Subscribed(subscription));
            }
        }
    }

    /// The host serves.
    pub(crate) fn activate(&self, events: &mut VecDeque<Event>) {
        let known = self.all.iter().filter(|(_, this)| this.known);
        events.extend(known.map(|(&subscription, _)| Event::Subscribed(subscription)));
    }

    /// A publication arrives.
    pub(crate) fn arrive(
        &mut self,
        subscription: SubscriptionId,
        arrival: Arrival,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) {
        let window = self.window;
        let Some(this) = self.all.get_mut(&subscription) else { return };
        let key = (arrival.publisher, arrival.publication);
        if let Some(open) = this.open.get_mut(&key) {
            open.number = Some(arrival.number);
            return;
        }
        let last = this.last.get(&arrival.publisher);
        let had = last.is_some_and(|last| arrival.publication <= *last);
        if had || this.latest {
            out.send(ToHost::Handled { subscription, number: arrival.number });
        }
        if had {
            return;
        }
        this.last.insert(arrival.publisher, arrival.publication);
        let cost = cost(arrival.payload.len());
        if !this.latest {
            let open = Open { number: Some(arrival.number), cost, carried: false };
            this.open.insert(key, open);
        }
        if this.waiting.is_empty() {
            events.push_back(Event::Deliverable(subscription));
        }
        this.waiting.push_back(arrival);
        this.waiting_bytes += cost;
        if this.latest {
            this.drop_oldest(window);
        }
    }

    /// The next message for the application.
    pub(crate) fn next_delivery(&mut self, subscription: SubscriptionId) -> Option<Delivery> {
        let this = self.all.get_mut(&subscription)?;
        let arrival = this.waiting.pop_front()?;
        this.waiting_bytes -= cost(arrival.payload.len());
        self.next_delivery += 1;
        let id = DeliveryId(self.next_delivery);
        if !this.latest {
            this.given.insert(id, (arrival.publisher, arrival.publication));
        }
        Some(Delivery {
            id,
            publisher: arrival.publisher,
            publication: arrival.publication,
            topic: arrival.topic,
            payload: arrival.payload,
            missed: std::mem::take(&mut this.missed),
        })
    }

    pub(crate) fn handled(
        &mut self,
        subscription: SubscriptionId,
        id: DeliveryId,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let this = self.all.get_mut(&subscription).ok_or(Refused::NotFound)?;
        if this.latest {
            return Ok(());
        }
        let key = this.given.remove(&id).ok_or(Refused::NotFound)?;
        if let Some(open) = this.open.remove(&key) {
            if open.carried {
                out.present(ToHost::Released { subscription, bytes: open.cost as u64 });
            }
            if let Some(number) = open.number {
                out.present(ToHost::Handled { subscription, number });
            }
        }
        Ok(())
    }

    /// Another host: it must know all patterns before it serves, and how much is held already.
    pub(crate) fn present(&mut self, out: &mut Out) {
        for (&subscription, this) in &mut self.all {
            let mut held = 0;
            this.known = false;
            for open in this.open.values_mut() {
                open.number = None;
                open.carried = true;
                held += open.cost as u64;
            }
            let pattern = this.pattern.clone();
            out.present(ToHost::Subscribe { subscription, pattern, held });
        }
    }

    pub(crate) fn member_joined(&mut self, member: MemberId) {
        self.departed.retain(|&one| one != member);
    }

    pub(crate) fn member_left(&mut self, member: MemberId) {
        if self.departed.contains(&member) {
            return;
        }
        self.departed.push_back(member);
        if self.departed.len() > DEPARTED
            && let Some(oldest) = self.departed.pop_front()
        {
            for this in self.all.values_mut() {
                this.last.remove(&oldest);
            }
        }
    }

    /// The member is in the view again, after it was put out. Others may be, too, that it had seen
    /// leave.
    pub(crate) fn rejoined(
        &mut self,
        in_view: impl Fn(MemberId) -> bool,
        events: &mut VecDeque<Event>,
    ) {
        self.departed.retain(|&member| !in_view(member));
        let known = self.all.values().flat_map(|this| this.last.keys().copied());
        let gone: Vec<MemberId> = known.filter(|&member| !in_view(member)).collect();
        for member in gone {
            self.member_left(member);
        }
        events.extend(self.all.keys().map(|&subscription| Event::Interrupted(subscription)));
    }

    pub(crate) fn memory(&self) -> usize {
        let bytes = |this: &Subscription| {
            let given = this.open.values().map(|open| open.cost).sum::<usize>();
            if this.latest { this.waiting_bytes } else { given }
        };
        self.all.values().map(bytes).sum()
    }
}

impl Subscription {
    fn drop_oldest(&mut self, window: usize) {
        while self.waiting_bytes > window && self.waiting.len() > 1 {
            if let Some(arrival) = self.waiting.pop_front() {
                self.waiting_bytes -= cost(arrival.payload.len());
                self.missed += 1;
            }
        }
    }
}
