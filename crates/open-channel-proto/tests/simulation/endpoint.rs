//! One side of a socket in the simulated world: the real [`Session`] beside a naive model of what
//! it must be.

use bytes::BytesMut;
use open_channel_proto::{
    ChannelKey, Closed, Features, Limits, MAX_PACK_COST, Pack, Packer, Session, TransmitBuffer,
};
use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

use crate::ledger::{Content, Ledger};

pub const CHANNEL: ChannelKey = [7; 16];

/// A message that arrived and is not covered by the cumulative acknowledgement yet.
pub struct Slot {
    pub seq: u64,
    /// As with its sender.
    pub place: u32,
    pub count: u32,
    pub content: Content,
    /// The attempt that it must announce; not known exactly for one that was sent in part.
    pub attempts: RangeInclusive<u32>,
    /// The attempt that it announced.
    pub announced: u32,
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
    pub fn new(
        seq: u64,
        sent: &Ledger,
        attempts: RangeInclusive<u32>,
        from: usize,
        generation: u64,
    ) -> Self {
        let unit = sent.unit_for(seq, generation);
        let content = sent.entries[(seq - sent.first) as usize].travels_as(generation);
        let nothing = content == Content::Nothing;
        Self {
            seq,
            place: (seq - unit.start) as u32,
            count: (unit.end - unit.start) as u32,
            content,
            attempts,
            announced: 1,
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
    /// The link has a store.
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
    /// The messages before it were sent by an earlier host.
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

    /// The numbers that are taken many at a time: what is left of one piece, and whole others that
    /// make one pack with it.
    pub fn due_together(&mut self) -> Range<u64> {
        let recalled: Vec<u64> =
            self.slots.iter().filter(|slot| slot.recalled).map(|slot| slot.seq).collect();
        let Some(first) = self.undelivered().filter(|slot| slot.content != Content::End) else {
            return 0..0;
        };
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
            if !matches!(next.content, Content::Message(_))
                || next.attempts != attempts
                || !together
            {
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

    pub fn forget_what_was_taken_out(&mut self) {
        self.sent.entries.iter_mut().for_each(|entry| entry.taken_out = false);
    }
}
