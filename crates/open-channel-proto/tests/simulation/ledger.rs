//! The model of an outbox: everything that one side has accepted, and what has become of it.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{MAX_CHUNK, MESSAGE_OVERHEAD, Pack};
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

/// The content that a sequence number stands for.
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
    pub fn is_chunked(&self) -> bool {
        self.cost() > MAX_CHUNK + MESSAGE_OVERHEAD
    }
}

/// A message that was accepted, and what has become of it.
pub struct Entry {
    pub content: Content,
    /// Where it is in what was accepted in one piece, and how many that has.
    place: u32,
    pub count: u32,
    /// Some application has handled it.
    pub handled: bool,
    /// Hosts whose application received it.
    pub delivered_by: Vec<usize>,
    /// Generations attached to when it was put on a link.
    pub sent_to: Vec<u64>,
    /// The same, when only its first part may have been.
    pub begun_to: Vec<u64>,
    /// Where it ends in the store of the link, while it lies there.
    pub stored_at: Option<u64>,
    /// `sent_to` and `begun_to` before that.
    before: (Vec<u64>, Vec<u64>),
    /// From this generation on it travels by itself.
    pub apart_from: Option<u64>,
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

    /// Which attempt its delivery to a host of this generation is: one more than there are hosts
    /// before it that may have seen it. Nobody knows exactly how much of a long message has left.
    pub fn attempts(&self, generation: u64) -> RangeInclusive<u32> {
        let begun = || self.begun_to.iter().filter(|known| !self.sent_to.contains(known));
        self.after(self.sent_to.iter(), generation)
            ..=self.after(self.sent_to.iter().chain(begun()), generation)
    }

    /// Each host before it adds one, from where it had come to itself.
    fn after<'a>(&'a self, hosts: impl Iterator<Item = &'a u64>, generation: u64) -> u32 {
        let mut hosts: Vec<u64> = hosts.copied().filter(|host| *host < generation).collect();
        hosts.sort_unstable();
        hosts
            .iter()
            .fold(1, |attempt, host| attempt.max(self.counted.get(host).copied().unwrap_or(1)) + 1)
    }

    pub fn was_ever_sent(&self) -> bool {
        !self.sent_to.is_empty()
    }

    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn_from.is_some()
    }

    /// The content for the other side, a host of this generation.
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
    pub fn was_not_seen(&mut self) {
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
        let seen = self.entries[(from - first) as usize..]
            .iter_mut()
            .filter(|entry| entry.was_ever_sent());
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

    /// The content of such a piece on its way.
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

    pub fn is_between_units(&self, seq: u64) -> bool {
        seq == self.next() || self.unit(seq).start == seq
    }

    pub fn is_within_one_unit(&self, from: u64, to: u64) -> bool {
        // What costs nothing may be before it and behind it.
        let costs = |seq: &u64| self.cost(*seq, *seq + 1) > 0;
        (from..to).find(costs).is_none_or(|first| self.cost(self.unit(first).end.min(to), to) == 0)
    }

    pub fn was_accepted_as_one(&self, from: u64, to: u64) -> bool {
        from == to
            || self.accepted_with(from).end >= to
            || self.held(self.accepted_with(from).end, to) == 0
    }

    pub fn cost(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(Entry::cost).sum()
    }

    /// Their share of the outbox.
    pub fn held(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(Entry::held).sum()
    }

    /// Messages that nobody has handled or taken back, and what they cost.
    pub fn waiting(&self, from: u64, to: u64) -> (u64, usize) {
        let index = |seq: u64| (seq - self.first) as usize;
        let entries = self.entries[index(from)..index(to)].iter();
        let costs = entries.filter(|entry| !entry.is_withdrawn()).map(|entry| entry.content.cost());
        costs.filter(|cost| *cost > 0).fold((0, 0), |(count, sum), cost| (count + 1, sum + cost))
    }

    /// With a limit of attempts, what some host may have seen is alone on its way to this one.
    pub fn check_what_is_alone(&self, from: u64, to: u64, generation: u64) -> bool {
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
        let known =
            |entry: &Entry| entry.taken_out || entry.counted.contains_key(&self.latest(entry));
        let packs: Vec<Range<u64>> = (from..self.next())
            .filter(|seq| known(&self.entries[(seq - self.first) as usize]))
            .map(|seq| self.unit(seq))
            .filter(|unit| unit.end - unit.start > 1)
            .collect();
        for unit in &packs {
            self.all_of(unit.clone())
                .iter_mut()
                .for_each(|entry| entry.apart_from = Some(generation));
        }
        packs.len()
    }

    /// The last host that it was sent to.
    fn latest(&self, entry: &Entry) -> u64 {
        entry.sent_to.iter().copied().max().unwrap_or(0)
    }
}
