//! One side of a socket in the simulated world: the real [`Session`] beside a naive model of what it must be.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    ChannelKey, Closed, Fate, Features, GivenUp, HEADER_LEN, Kept, Limits, MAX_BODY, MAX_CHUNK,
    MAX_PACK_COST, MESSAGE_OVERHEAD, Pack, Packer, Session, TransmitBuffer, Undeliverable, Welcome,
};

use crate::tally::Tally;

pub const CHANNEL: ChannelKey = [7; 16];

/// What a sequence number stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Message(Bytes),
    End,
    /// There was a message, which was withdrawn.
    Nothing,
}

impl Content {
    pub fn cost(&self) -> usize {
        match self {
            Self::Message(payload) => payload.len() + MESSAGE_OVERHEAD,
            Self::End | Self::Nothing => 0,
        }
    }

    /// Whether part of it may have been sent without the whole being counted as in flight.
    fn is_chunked(&self) -> bool {
        self.cost() > MAX_CHUNK + MESSAGE_OVERHEAD
    }
}

/// A message that was accepted, and what has become of it.
pub struct Entry {
    pub content: Content,
    /// Where it is in what was accepted in one piece, and how many that has.
    place: u32,
    count: u32,
    /// Some application has handled it.
    pub handled: bool,
    /// Hosts whose application received it.
    pub delivered_by: Vec<usize>,
    /// Generations attached to when it was put on a link.
    sent_to: Vec<u64>,
    /// The same, when only its first part may have been.
    begun_to: Vec<u64>,
    /// Where it ends in the store of the link, while it lies there.
    pub stored_at: Option<u64>,
    /// What `sent_to` and `begun_to` were before that.
    before: (Vec<u64>, Vec<u64>),
    /// From this generation on it travels by itself.
    apart_from: Option<u64>,
    /// From this generation on it is not delivered any more.
    pub withdrawn_from: Option<u64>,
    /// The present host has it, though it is withdrawn.
    pub taken_out: bool,
    /// Its sender has it back, and nobody has had it.
    pub taken_back: bool,
    /// With which attempt the host of a generation went on, as far as the sender has heard.
    pub counted: BTreeMap<u64, u32>,
}

impl Entry {
    /// Its first part goes into a store.
    pub fn is_being_stored(&mut self) {
        self.before = (self.sent_to.clone(), self.begun_to.clone());
    }

    /// Which attempt its delivery to a host of this generation is: one more than there are hosts before it that may
    /// have seen it. Nobody knows exactly how much of a long message has left.
    pub fn attempts(&self, generation: u64) -> RangeInclusive<u32> {
        let begun = || self.begun_to.iter().filter(|known| !self.sent_to.contains(known));
        self.after(self.sent_to.iter(), generation)
            ..=self.after(self.sent_to.iter().chain(begun()), generation)
    }

    /// Each host before it adds one, from where it had come to itself.
    fn after<'a>(&'a self, hosts: impl Iterator<Item = &'a u64>, generation: u64) -> u32 {
        let mut hosts: Vec<u64> = hosts.copied().filter(|host| *host < generation).collect();
        hosts.sort_unstable();
        hosts.iter().fold(1, |attempt, host| attempt.max(self.counted.get(host).copied().unwrap_or(1)) + 1)
    }

    pub fn was_ever_sent(&self) -> bool {
        !self.sent_to.is_empty()
    }

    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn_from.is_some()
    }

    /// What the other side gets, a host of this generation.
    pub fn travels_as(&self, generation: u64) -> Content {
        let withdrawn = self.withdrawn_from.is_some_and(|from| generation >= from);
        if withdrawn { Content::Nothing } else { self.content.clone() }
    }

    fn cost(&self) -> usize {
        if self.is_withdrawn() && !self.taken_out { 0 } else { self.content.cost() }
    }

    fn held(&self) -> usize {
        if self.is_withdrawn() && !self.taken_out { MESSAGE_OVERHEAD } else { self.content.cost() }
    }

    /// It came back, and no application can have seen it there.
    fn was_not_seen(&mut self) {
        (self.sent_to, self.begun_to) = self.before.clone();
    }
}

/// Everything that one session accepted.
pub struct Ledger {
    pub first: u64,
    pub entries: Vec<Entry>,
}

impl Ledger {
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    pub fn push_pack(&mut self, pack: &Pack) {
        for (place, message) in (0..).zip(pack.iter()) {
            self.push(Content::Message(Bytes::copy_from_slice(message)), place, pack.count());
        }
    }

    pub fn push_end(&mut self) {
        self.push(Content::End, 0, 1);
    }

    fn push(&mut self, content: Content, place: u32, count: u32) {
        self.entries.push(Entry {
            content,
            place,
            count,
            handled: false,
            delivered_by: Vec::new(),
            sent_to: Vec::new(),
            begun_to: Vec::new(),
            stored_at: None,
            before: Default::default(),
            apart_from: None,
            withdrawn_from: None,
            taken_out: false,
            taken_back: false,
            counted: BTreeMap::new(),
        });
    }

    /// The numbers that travel in one piece with this one.
    pub fn unit(&self, seq: u64) -> Range<u64> {
        self.unit_for(seq, u64::MAX)
    }

    /// The same, to a host of this generation.
    pub fn unit_for(&self, seq: u64, generation: u64) -> Range<u64> {
        let entry = &self.entries[(seq - self.first) as usize];
        if entry.apart_from.is_some_and(|from| generation >= from) {
            return seq..seq + 1;
        }
        self.accepted_with(seq)
    }

    /// The numbers that were accepted in one piece with this one.
    fn accepted_with(&self, seq: u64) -> Range<u64> {
        let entry = &self.entries[(seq - self.first) as usize];
        let first = seq - u64::from(entry.place);
        first..first + u64::from(entry.count)
    }

    /// A new host of this generation gets each message by itself that another may have seen.
    pub fn take_apart(&mut self, from: u64, generation: u64) -> usize {
        let first = self.first;
        let mut packs = 0;
        let seen = self.entries[(from - first) as usize..].iter_mut().filter(|entry| entry.was_ever_sent());
        for entry in seen.filter(|entry| entry.count > 1 && entry.apart_from.is_none()) {
            packs += usize::from(entry.place == 0);
            entry.apart_from = Some(generation);
        }
        packs
    }

    pub fn all_of(&mut self, unit: Range<u64>) -> &mut [Entry] {
        let index = |seq: u64| (seq - self.first) as usize;
        &mut self.entries[index(unit.start)..index(unit.end)]
    }

    /// What such a piece is on its way.
    pub fn travels(&self, unit: Range<u64>) -> Content {
        let index = |seq: u64| (seq - self.first) as usize;
        let entries = &self.entries[index(unit.start)..index(unit.end)];
        if let [alone] = entries {
            return alone.content.clone();
        }
        let mut bytes = BytesMut::new();
        for entry in entries {
            let Content::Message(message) = &entry.content else { panic!("an end in a pack") };
            bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
            bytes.extend_from_slice(message);
        }
        Content::Message(bytes.freeze())
    }

    fn is_between_units(&self, seq: u64) -> bool {
        seq == self.next() || self.unit(seq).start == seq
    }

    fn is_within_one_unit(&self, from: u64, to: u64) -> bool {
        // What costs nothing may be before it and behind it.
        let costs = |seq: &u64| self.cost(*seq, *seq + 1) > 0;
        (from..to).find(costs).is_none_or(|first| self.cost(self.unit(first).end.min(to), to) == 0)
    }

    fn was_accepted_as_one(&self, from: u64, to: u64) -> bool {
        from == to || self.accepted_with(from).end >= to || self.held(self.accepted_with(from).end, to) == 0
    }

    pub fn cost(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(Entry::cost).sum()
    }

    /// What it takes of the outbox.
    fn held(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(Entry::held).sum()
    }

    /// With a limit of attempts, what some host may have seen is alone on its way to this one.
    fn check_what_is_alone(&self, from: u64, to: u64, generation: u64) -> bool {
        let index = |seq: u64| (seq - self.first) as usize;
        let entries = &self.entries[index(from)..index(to)];
        // What was given back to the same host has been there for long.
        let seen = |entry: &Entry| {
            entry.cost() > 0
                && *entry.attempts(generation).start() > 1
                && !entry.counted.contains_key(&generation)
                && !entry.taken_out
        };
        let Some(at) = entries.iter().position(seen) else { return false };
        let others = entries.iter().filter(|entry| entry.cost() > 0).count() - 1;
        assert_eq!(others, 0, "{} is not alone on its way", from + at as u64);
        assert_eq!(at + 1, entries.len(), "something follows {}", from + at as u64);
        true
    }

    /// The same without a limit, for packs of which a message was given back.
    pub fn take_apart_what_came_back(&mut self, from: u64, generation: u64) -> usize {
        let known = |entry: &Entry| entry.taken_out || entry.counted.contains_key(&self.latest(entry));
        let packs: Vec<Range<u64>> = (from..self.next())
            .filter(|seq| known(&self.entries[(seq - self.first) as usize]))
            .map(|seq| self.unit(seq))
            .filter(|unit| unit.end - unit.start > 1)
            .collect();
        for unit in &packs {
            self.all_of(unit.clone()).iter_mut().for_each(|entry| entry.apart_from = Some(generation));
        }
        packs.len()
    }

    /// The last host that it was sent to.
    fn latest(&self, entry: &Entry) -> u64 {
        entry.sent_to.iter().copied().max().unwrap_or(0)
    }
}

/// A message that arrived and is not covered by the cumulative acknowledgement yet.
pub struct Slot {
    pub seq: u64,
    /// As with its sender.
    pub place: u32,
    pub count: u32,
    pub content: Content,
    /// The attempt that it must tell; not known exactly for one that was sent in part.
    pub attempts: RangeInclusive<u32>,
    /// The attempt that it told.
    pub told: u32,
    /// Host that sent it, when a peer received it.
    pub from: usize,
    pub delivered: bool,
    pub handled: bool,
    /// By the application; it is by itself then.
    pub given_back: bool,
    /// Not until its attempt is over.
    pub held: bool,
    /// Until the sender has taken it back.
    pub given_up: bool,
    /// Because the sender wants it back.
    pub recalled: bool,
}

impl Slot {
    /// As it reaches a host of this generation, or comes from it.
    pub fn new(seq: u64, sent: &Ledger, attempts: RangeInclusive<u32>, from: usize, generation: u64) -> Self {
        let unit = sent.unit_for(seq, generation);
        let content = sent.entries[(seq - sent.first) as usize].travels_as(generation);
        let nothing = content == Content::Nothing;
        Self {
            seq,
            place: (seq - unit.start) as u32,
            count: (unit.end - unit.start) as u32,
            content,
            attempts,
            told: 1,
            from,
            delivered: nothing,
            handled: nothing,
            given_back: false,
            held: false,
            given_up: false,
            recalled: false,
        }
    }

    pub fn unit(&self) -> Range<u64> {
        let first = self.seq - u64::from(self.place);
        first..first + u64::from(self.count)
    }

    pub fn is_packed(&self) -> bool {
        self.count > 1
    }

    pub fn is_last(&self) -> bool {
        self.place + 1 == self.count
    }
}

/// How an application behaves.
#[derive(Clone, Copy)]
pub struct Habits {
    /// Reads nothing before the faults stop.
    pub reads_late: bool,
    pub out_of_order: bool,
    /// Percentage of messages that others are sent together with.
    pub packs: usize,
    /// Percentage, per occasion, of taking and of handling many messages at a time.
    pub takes_many: usize,
    pub handles_many: usize,
    /// Percentage, per occasion, of giving a message back instead of handling it.
    pub gives_back: usize,
    /// Percentage, per occasion, of taking back what was sent.
    pub takes_back: usize,
    /// Percentage of messages that are answered (hosts only).
    pub replies: usize,
    /// Percentage, per occasion, of finishing before the plan is done.
    pub ends_early: usize,
    /// Percentage, per occasion, of resetting.
    pub resets: usize,
}

pub struct Endpoint {
    pub session: Session,
    pub limits: Limits,
    pub out: TransmitBuffer,
    pub buf: BytesMut,
    pub link: Option<usize>,
    /// That this side speaks on it.
    pub version: u16,
    /// The link keeps what it carries.
    pub has_store: bool,
    /// The last link did.
    pub left_a_store: bool,
    /// First number of that of which the store has some parts and not the last.
    pub half_stored: Option<u64>,
    pub sent: Ledger,
    /// All below are known to be acknowledged.
    pub acknowledged: u64,
    pub remote_window: usize,
    /// Bytes and last number that the peer still held from earlier hosts.
    pub carried: Option<(u64, usize)>,
    pub received_next: u64,
    /// What comes before it was sent by an earlier host.
    pub first_of_sender: u64,
    pub handled_through: u64,
    pub slots: VecDeque<Slot>,
    pub plan: VecDeque<usize>,
    /// Written and not sent yet.
    pub packer: Packer,
    /// Refused for want of room.
    pub waiting: Option<Pack>,
    pub habits: Habits,
    /// Messages of which no more than order and honesty is asked: a side gave up.
    pub given_up: bool,
}

impl Endpoint {
    pub fn new(session: Session, limits: Limits, habits: Habits, plan: VecDeque<usize>) -> Self {
        let hello = session.hello(CHANNEL, Features::default());
        let first = session.next_seq();
        Self {
            session,
            limits,
            out: TransmitBuffer::default(),
            buf: BytesMut::new(),
            link: None,
            version: 1,
            has_store: false,
            left_a_store: false,
            half_stored: None,
            sent: Ledger { first, entries: Vec::new() },
            acknowledged: first,
            remote_window: 0,
            carried: None,
            received_next: hello.recv_next,
            first_of_sender: 0,
            handled_through: hello.handled,
            slots: VecDeque::new(),
            plan,
            packer: Packer::default(),
            waiting: None,
            habits,
            given_up: false,
        }
    }

    pub fn unlink(&mut self) -> Option<usize> {
        assert!(!self.has_store, "a link is dropped together with what its store holds");
        self.session.detach();
        self.out.clear();
        self.buf.clear();
        self.link.take()
    }

    pub fn is_closed(&self) -> bool {
        self.session.closed().is_some()
    }

    pub fn is_discarded(&self) -> bool {
        self.session.closed() == Some(&Closed::Locally)
    }

    pub fn undelivered(&mut self) -> Option<&mut Slot> {
        let pausing = self.slots.iter().any(|slot| slot.held) && !self.is_closed();
        let next = self.slots.iter_mut().find(|slot| !slot.delivered && !slot.held);
        // The end comes after everything that is to come again.
        next.filter(|slot| slot.content != Content::End || !pausing)
    }

    /// The numbers that are taken many at a time: what is left of one piece, and whole others that make one pack
    /// with it.
    pub fn due_together(&mut self) -> Range<u64> {
        let recalled: Vec<u64> =
            self.slots.iter().filter(|slot| slot.recalled).map(|slot| slot.seq).collect();
        let Some(first) = self.undelivered().filter(|slot| slot.content != Content::End) else { return 0..0 };
        let alone = |slot: &Slot| {
            let end = if slot.given_back { slot.seq + 1 } else { slot.unit().end };
            (slot.seq..end).find(|seq| recalled.contains(seq)).unwrap_or(end)
        };
        let (start, attempts, mut end) = (first.seq, first.attempts.clone(), alone(first));
        // What was given back stands before the rest of its pack.
        let ready = |slot: &&Slot| !slot.delivered && !slot.held;
        let cost_of = |range: Range<u64>| -> usize {
            let within = self.slots.iter().filter(|slot| range.contains(&slot.seq));
            within.map(|slot| slot.content.cost()).sum()
        };
        while let Some(next) = self.slots.iter().filter(ready).find(|slot| slot.seq == end) {
            let together = cost_of(start..alone(next)) <= MAX_PACK_COST;
            if !matches!(next.content, Content::Message(_)) || next.attempts != attempts || !together {
                break;
            }
            end = alone(next);
        }
        start..end
    }

    pub fn unhandled(&self) -> Vec<u64> {
        self.slots
            .iter()
            .filter(|slot| slot.delivered && !slot.handled && !slot.given_up)
            .map(|slot| slot.seq)
            .collect()
    }

    /// Nothing of a pack is acknowledged before all of it is handled.
    pub fn drop_whole_units(&mut self) {
        while let Some(front) = self.slots.front() {
            assert_eq!(front.place, 0, "a part of a pack was dropped");
            let unit = front.unit();
            if !self.slots.iter().take_while(|slot| slot.seq < unit.end).all(|slot| slot.handled) {
                return;
            }
            self.slots.retain(|slot| slot.seq >= unit.end);
            self.handled_through = unit.end - 1;
        }
    }

    pub fn has_half_handled_pack(&self) -> bool {
        let started = |slot: &Slot| slot.handled && slot.is_packed();
        let mut handled = self.slots.iter().filter(|slot| started(slot));
        handled.any(|one| self.slots.iter().any(|slot| slot.unit() == one.unit() && !slot.handled))
    }

    pub fn has_more_to_send(&self) -> bool {
        self.waiting.is_some() || !self.packer.is_empty() || !self.plan.is_empty()
    }

    pub fn forget_plan(&mut self) {
        self.waiting = None;
        self.packer = Packer::default();
        self.plan.clear();
    }

    fn forget_what_was_taken_out(&mut self) {
        self.sent.entries.iter_mut().for_each(|entry| entry.taken_out = false);
    }

    /// What the other side gives up, or goes on with, after this attempt.
    pub fn hears_of(&mut self, seq: u64, fate: Fate, attempt: u8, reason: &str, tally: &mut Tally) {
        let generation = self.session.generation();
        if seq < self.session.first_unacknowledged() || self.is_closed() {
            return;
        }
        let entry = self.sent.entry(seq).expect("accepted");
        match fate {
            Fate::Again => {
                let counted = entry.counted.entry(generation).or_insert(1);
                *counted = (*counted).max(u32::from(attempt) + 1);
            }
            Fate::GivenUp if !entry.is_withdrawn() => {
                entry.withdrawn_from = Some(generation + 1);
                (entry.taken_out, entry.handled) = (true, true);
                let Content::Message(payload) = entry.content.clone() else { panic!("an end is given up") };
                let exceeds = self.limits.max_attempts.is_some_and(|max| u32::from(attempt) >= max.get());
                let by_count = exceeds && reason.is_empty();
                let reason =
                    if by_count { GivenUp::MaxAttempts } else { GivenUp::Rejected(reason.to_owned()) };
                let due = Undeliverable { seq, attempts: attempt.into(), reason, payload };
                assert_eq!(self.session.take_undeliverable(), Some(due), "{seq} comes back");
                tally.given_up_at_a_host += 1;
            }
            Fate::GivenUp => tally.given_up_once_more += 1,
            Fate::Recalled if !entry.is_withdrawn() => {
                entry.withdrawn_from = Some(generation + 1);
                entry.taken_out = true;
                let (packed, stored) = (entry.count > 1, entry.stored_at.is_some());
                let back = self.session.taken_back().expect("the other side will not deliver it");
                self.is_back(seq, &back);
                tally.taken_back_on_the_link += 1;
                tally.taken_back_out_of_a_store += u64::from(stored);
                tally.taken_back_out_of_a_pack += u64::from(packed);
            }
            Fate::Recalled => {}
            Fate::TooLate => {
                assert!(!self.session.is_recalling(seq), "{seq} was answered");
                tally.taken_back_too_late += 1;
            }
            _ => panic!("a fate that nobody knows: {fate:?}"),
        }
        assert_eq!(self.session.taken_back(), None, "more is taken back than was given back");
        assert_eq!(self.session.take_undeliverable(), None, "more comes back than was given up");
    }

    /// Nobody has it, and nobody will.
    pub fn is_back(&mut self, seq: u64, back: &(u64, Bytes)) {
        let entry = self.sent.entry(seq).expect("accepted");
        assert_eq!((back.0, Content::Message(back.1.clone())), (seq, entry.content.clone()));
        assert!(entry.delivered_by.is_empty(), "{seq} is taken back, and some application has it");
        assert!(!std::mem::replace(&mut entry.taken_back, true), "{seq} is taken back twice");
        entry.handled = true;
    }

    /// It was on no link: the present host, too, finds its number passed over.
    pub fn is_back_at_once(&mut self, seq: u64, back: &(u64, Bytes)) {
        let generation = self.session.generation();
        self.is_back(seq, back);
        self.sent.entry(seq).expect("accepted").withdrawn_from = Some(generation);
        let unit = self.sent.unit(seq);
        if unit.end - unit.start > 1 {
            self.sent.all_of(unit).iter_mut().for_each(|entry| entry.apart_from = Some(generation));
        }
    }

    /// A link is gone or another is there: what nobody has seen on the last one comes back.
    pub fn take_back_what_was_not_seen(&mut self, tally: &mut Tally) {
        while let Some(back) = self.session.taken_back() {
            self.is_back_at_once(back.0, &back);
            tally.taken_back_after_the_link += 1;
        }
    }

    /// A new host: each message that an earlier one may have seen is counted by itself, if there is a limit, and what
    /// has had all its attempts comes back.
    pub fn take_apart_and_back(&mut self, welcome: &Welcome, tally: &mut Tally) {
        let given_up: Vec<Undeliverable> = std::iter::from_fn(|| self.session.take_undeliverable()).collect();
        let Some(max) = self.limits.max_attempts.map(NonZeroU32::get) else {
            assert_eq!(given_up, [], "without a limit nothing is given up");
            if !self.is_closed() {
                let base = self.session.first_unacknowledged().max(self.acknowledged);
                let packs = self.sent.take_apart_what_came_back(base, welcome.generation);
                tally.packs_taken_apart_that_came_back += packs as u64;
                self.forget_what_was_taken_out();
            }
            return;
        };
        if self.is_closed() {
            return;
        }
        self.forget_what_was_taken_out();
        let base = self.session.first_unacknowledged().max(self.acknowledged);
        tally.packs_taken_apart += self.sent.take_apart(base, welcome.generation) as u64;
        for Undeliverable { seq, attempts, reason, payload } in given_up {
            assert_eq!((welcome.version, reason), (2, GivenUp::MaxAttempts));
            let entry = self.sent.entry(seq).expect("accepted");
            assert!(entry.content == Content::Message(payload), "{seq} comes back with other bytes");
            assert!(!entry.is_withdrawn(), "{seq} comes back twice");
            let next = entry.attempts(welcome.generation);
            assert!(next.contains(&(attempts + 1)), "{seq} had {attempts} attempts, not {next:?} less one");
            // More than that only with hosts that cannot be told of a gap.
            assert!(attempts >= max, "{seq} is given up with attempts left");
            entry.withdrawn_from = Some(welcome.generation);
            entry.handled = true;
            tally.undeliverable += 1;
        }
    }

    /// Puts what the session wants to say into the buffer and remembers what that was.
    pub fn transmit(&mut self) {
        self.session.transmit(&mut self.out);
        if self.session.is_attached() {
            self.remember_what_was_sent();
        }
    }

    pub fn remember_what_was_sent(&mut self) {
        let generation = self.session.generation();
        let begun = self.session.first_unacknowledged() + self.session.messages_in_flight() as u64;
        for seq in self.session.first_unacknowledged()..begun {
            let entry = self.sent.entry(seq).expect("in flight, so accepted");
            if !entry.sent_to.contains(&generation) {
                entry.sent_to.push(generation);
            }
        }
        if let Some(entry) = self.sent.entry(begun).filter(|entry| entry.content.is_chunked()) {
            // In a store nobody takes the half of a message for the whole.
            if !self.has_store && !entry.begun_to.contains(&generation) {
                entry.begun_to.push(generation);
            }
        }
    }

    /// The store is given up: what no host has claimed was never sent, on this link.
    pub fn remember_what_was_kept(&mut self, kept: &[Kept]) {
        for entry in &mut self.sent.entries {
            let Some(end) = entry.stored_at.take() else { continue };
            if kept.iter().any(|kept| kept.end == end && !kept.claimed) {
                entry.was_not_seen();
            }
        }
        if let Some(seq) = self.half_stored.take() {
            let unit = self.sent.unit(seq);
            self.sent.all_of(unit).iter_mut().for_each(Entry::was_not_seen);
        }
    }

    /// Where that ends in the store which the message before `next` came with.
    fn stored_end(&self, next: u64) -> u64 {
        let (base, all) = (self.session.first_unacknowledged(), &self.sent);
        let within = base < next && next <= all.next();
        let entry = within.then(|| &all.entries[(next - 1 - all.first) as usize]);
        entry.and_then(|entry| entry.stored_at).unwrap_or(0)
    }

    /// The session must agree with the model and keep its limits.
    pub fn check(&mut self) {
        let readable = self.undelivered().is_some();
        let session = &self.session;
        let (base, next) = (session.first_unacknowledged(), session.next_seq());
        assert_eq!(next, self.sent.next(), "the next number to send");
        assert!(base >= self.acknowledged, "an acknowledgement was taken back");
        let held = self.sent.held(base, next);
        assert_eq!(session.outbox_bytes(), held, "outbox_bytes");
        assert_eq!(session.holds_no_message(), self.sent.cost(base, next) == 0, "holds_no_message");
        assert_eq!(session.is_flushed(), base == next, "is_flushed");
        let alone = self.sent.was_accepted_as_one(base, next);
        assert!(held <= self.limits.outbox || alone, "the outbox exceeds its limit");

        let flying = base + session.messages_in_flight() as u64;
        let whole = self.sent.is_between_units(base) && self.sent.is_between_units(flying);
        assert!(whole, "{base}..{flying} is in flight, and a pack only in part");
        let transmitted = self.sent.cost(base, flying);
        if let Some((through, cost)) = self.carried {
            if session.bytes_in_flight() == transmitted {
                self.carried = None;
            } else {
                assert!(base <= through + 1, "carried bytes outlive their acknowledgement");
                assert_eq!(
                    session.bytes_in_flight(),
                    transmitted + cost,
                    "bytes_in_flight with carried ones"
                );
                let fits = transmitted == 0 || transmitted + cost <= self.remote_window;
                assert!(fits, "the window is exceeded beside carried bytes");
            }
        } else {
            assert_eq!(session.bytes_in_flight(), transmitted, "bytes_in_flight");
            // A closed session sends no more, and its window is of its last open link.
            let alone = self.sent.is_within_one_unit(base, flying);
            let fits = transmitted <= self.remote_window || alone || session.closed().is_some();
            assert!(fits, "{transmitted} bytes in flight exceed the window of {}", self.remote_window);
        }

        for next in [base, base + 1, base.midpoint(next), next, next + 1] {
            assert_eq!(session.stored_end(next), self.stored_end(next), "the end in the store before {next}");
        }

        if self.limits.max_attempts.is_some() && session.closed().is_none() {
            self.sent.check_what_is_alone(base, flying, session.generation());
        }

        let hello = session.hello(CHANNEL, Features::default());
        assert_eq!(hello.recv_next, self.received_next, "the next number to receive");
        assert_eq!(hello.handled, self.handled_through, "the last number handled");
        let unhandled: usize = self.slots.iter().map(|slot| slot.content.cost()).sum();
        assert_eq!(session.unhandled_bytes(), unhandled, "unhandled_bytes");
        let messages = self.slots.iter().filter(|slot| matches!(slot.content, Content::Message(_)));
        let units = messages.filter(|slot| slot.is_last()).count();
        assert!(unhandled <= self.limits.window || units == 1, "received more than the window");
        assert_eq!(session.is_readable(), readable && !self.is_discarded(), "is_readable");

        assert!(self.has_store || session.releasable() == 0, "something to release, and no store");

        let most = TransmitBuffer::HIGH_WATER + 2 * (MAX_BODY + HEADER_LEN);
        assert!(self.out.len() <= most, "the transmit buffer holds {} bytes", self.out.len());
        if session.closed() == Some(&Closed::Finished) {
            assert!(base == next && self.slots.is_empty(), "finished with something open");
        }
    }
}
