//! One side of a socket in the simulated world: the real [`Session`] beside a naive model of what it must be.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    ChannelKey, Closed, Features, HEADER_LEN, Kept, Limits, MAX_BODY, MAX_CHUNK, MESSAGE_OVERHEAD, Session,
    TransmitBuffer,
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

    pub fn push(&mut self, content: Content) {
        self.entries.push(Entry {
            content,
            handled: false,
            delivered_by: Vec::new(),
            sent_to: None,
            begun_to: None,
            stored_at: None,
            before: (None, None),
        });
    }

    fn cost(&self, from: u64, to: u64) -> usize {
        let index = |seq: u64| (seq - self.first) as usize;
        self.entries[index(from)..index(to)].iter().map(|entry| entry.content.cost()).sum()
    }
}

/// A message that arrived and is not covered by the cumulative acknowledgement yet.
pub struct Slot {
    pub seq: u64,
    pub content: Content,
    /// The mark that it must carry; unknown for one that was sent in part.
    pub redelivered: Option<bool>,
    /// Host that sent it, when a peer received it.
    pub from: usize,
    pub delivered: bool,
    pub handled: bool,
}

/// How an application behaves.
#[derive(Clone, Copy)]
pub struct Habits {
    /// Reads nothing before the faults stop.
    pub reads_late: bool,
    pub out_of_order: bool,
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
    /// The message of which the store has some parts and not the last.
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
    pub waiting: Option<Bytes>,
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

    pub fn unhandled(&self) -> Vec<u64> {
        self.slots.iter().filter(|slot| slot.delivered && !slot.handled).map(|slot| slot.seq).collect()
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
        if let Some(entry) = self.half_stored.take().and_then(|seq| self.sent.entry(seq)) {
            entry.was_not_seen();
        }
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
        let one = |from: u64, to: u64| self.sent.cost(from, to) == self.sent.cost(from, to.min(from + 1));
        assert!(held <= self.limits.outbox || one(base, next), "the outbox exceeds its limit");

        let flying = base + session.messages_in_flight() as u64;
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
            let fits = transmitted <= self.remote_window || one(base, flying) || session.closed().is_some();
            assert!(fits, "{transmitted} bytes in flight exceed the window of {}", self.remote_window);
        }

        let hello = session.hello(CHANNEL, Features::default());
        assert_eq!(hello.recv_next, self.received_next, "the next number to receive");
        assert_eq!(hello.handled, self.handled_through, "the last number handled");
        let unhandled: usize = self.slots.iter().map(|slot| slot.content.cost()).sum();
        assert_eq!(session.unhandled_bytes(), unhandled, "unhandled_bytes");
        let messages = self.slots.iter().filter(|slot| slot.content != Content::End).count();
        assert!(unhandled <= self.limits.window || messages == 1, "received more than the window");
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
