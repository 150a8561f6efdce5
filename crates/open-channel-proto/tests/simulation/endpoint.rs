//! One side of a socket in the simulated world: the real [`Session`] beside a naive model of what it must be.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    ChannelKey, Closed, Features, HEADER_LEN, Kept, Limits, MAX_BODY, MAX_CHUNK, MAX_PACK_COST,
    MESSAGE_OVERHEAD, Pack, Packer, Session, TransmitBuffer,
};

pub const CHANNEL: ChannelKey = [7; 16];

/// What a sequence number stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Message(Bytes),
    End,
}

impl Content {
    pub fn cost(&self) -> usize {
        match self {
            Self::Message(payload) => payload.len() + MESSAGE_OVERHEAD,
            Self::End => 0,
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
    /// Generation attached to when it was first put on a link.
    pub sent_to: Option<u64>,
    /// The same, when only its first part may have been.
    pub begun_to: Option<u64>,
    /// Where it ends in the store of the link, while it lies there.
    pub stored_at: Option<u64>,
    /// What `sent_to` and `begun_to` were before that.
    before: (Option<u64>, Option<u64>),
}

impl Entry {
    /// Its first part goes into a store.
    pub fn is_being_stored(&mut self) {
        self.before = (self.sent_to, self.begun_to);
    }

    /// It came back, and no application can have seen it there.
    fn was_not_seen(&mut self) {
        (self.sent_to, self.begun_to) = self.before;
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
            sent_to: None,
            begun_to: None,
            stored_at: None,
            before: (None, None),
        });
    }

    /// The numbers that were accepted in one piece with this one.
    pub fn unit(&self, seq: u64) -> Range<u64> {
        let entry = &self.entries[(seq - self.first) as usize];
        let first = seq - u64::from(entry.place);
        first..first + u64::from(entry.count)
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
        from == to || self.unit(from).end >= to || self.cost(self.unit(from).end, to) == 0
    }

    pub fn cost(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(|entry| entry.content.cost()).sum()
    }
}

/// A message that arrived and is not covered by the cumulative acknowledgement yet.
pub struct Slot {
    pub seq: u64,
    /// As with its sender.
    pub place: u32,
    pub count: u32,
    pub content: Content,
    /// The mark that it must carry; unknown for one that was sent in part.
    pub redelivered: Option<bool>,
    /// Host that sent it, when a peer received it.
    pub from: usize,
    pub delivered: bool,
    pub handled: bool,
}

impl Slot {
    pub fn new(seq: u64, entry: &Entry, redelivered: Option<bool>, from: usize) -> Self {
        Self {
            seq,
            place: entry.place,
            count: entry.count,
            content: entry.content.clone(),
            redelivered,
            from,
            delivered: false,
            handled: false,
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
            has_store: false,
            left_a_store: false,
            half_stored: None,
            sent: Ledger { first, entries: Vec::new() },
            acknowledged: first,
            remote_window: 0,
            carried: None,
            received_next: hello.recv_next,
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
        self.slots.iter_mut().find(|slot| !slot.delivered)
    }

    /// The numbers that are taken many at a time: what is left of one piece, and whole others that make one pack
    /// with it.
    pub fn due_together(&mut self) -> Range<u64> {
        let Some(first) = self.undelivered().filter(|slot| slot.content != Content::End) else { return 0..0 };
        let (start, mark, mut end) = (first.seq, first.redelivered, first.unit().end);
        let cost_of = |range: Range<u64>| -> usize {
            let within = self.slots.iter().filter(|slot| range.contains(&slot.seq));
            within.map(|slot| slot.content.cost()).sum()
        };
        while let Some(next) = self.slots.iter().find(|slot| slot.seq == end) {
            let together = cost_of(start..next.unit().end) <= MAX_PACK_COST;
            if next.content == Content::End || next.redelivered != mark || !together {
                break;
            }
            end = next.unit().end;
        }
        start..end
    }

    pub fn unhandled(&self) -> Vec<u64> {
        self.slots.iter().filter(|slot| slot.delivered && !slot.handled).map(|slot| slot.seq).collect()
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
            entry.sent_to.get_or_insert(generation);
        }
        if let Some(entry) = self.sent.entry(begun).filter(|entry| entry.content.is_chunked()) {
            // In a store nobody takes the half of a message for the whole.
            if !self.has_store {
                entry.begun_to.get_or_insert(generation);
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
        let session = &self.session;
        let (base, next) = (session.first_unacknowledged(), session.next_seq());
        assert_eq!(next, self.sent.next(), "the next number to send");
        assert!(base >= self.acknowledged, "an acknowledgement was taken back");
        let held = self.sent.cost(base, next);
        assert_eq!(session.outbox_bytes(), held, "outbox_bytes");
        assert_eq!(session.holds_no_message(), held == 0, "holds_no_message");
        assert_eq!(session.is_flushed(), base == next, "is_flushed");
        let alone = self.sent.is_within_one_unit(base, next);
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

        let hello = session.hello(CHANNEL, Features::default());
        assert_eq!(hello.recv_next, self.received_next, "the next number to receive");
        assert_eq!(hello.handled, self.handled_through, "the last number handled");
        let unhandled: usize = self.slots.iter().map(|slot| slot.content.cost()).sum();
        assert_eq!(session.unhandled_bytes(), unhandled, "unhandled_bytes");
        let messages = self.slots.iter().filter(|slot| slot.content != Content::End);
        let units = messages.filter(|slot| slot.is_last()).count();
        assert!(unhandled <= self.limits.window || units == 1, "received more than the window");
        let readable = self.slots.iter().any(|slot| !slot.delivered);
        assert_eq!(session.is_readable(), readable && !self.is_discarded(), "is_readable");

        assert!(self.has_store || session.releasable() == 0, "something to release, and no store");

        let most = TransmitBuffer::HIGH_WATER + 2 * (MAX_BODY + HEADER_LEN);
        assert!(self.out.len() <= most, "the transmit buffer holds {} bytes", self.out.len());
        if session.closed() == Some(&Closed::Finished) {
            assert!(base == next && self.slots.is_empty(), "finished with something open");
        }
    }
}
