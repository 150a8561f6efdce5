//! The sending half of a session: messages accepted from the application and not yet acknowledged.
//!
//! ```text
//!      base                    cursor                  next
//!       │ transmitted, unacked    │ waiting for window   │
//!   ────┴─────────────────────────┴──────────────────────┴───▶ sequence numbers
//!   acked  ◀── in_flight bytes ──▶
//! ```

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::frame::{DataFlags, Frame, MAX_CHUNK, encode_data};
use crate::handshake::{ATTEMPTS, VERSION_MAX};
use crate::pack::{Pack, is_of, pack_cost};
use crate::part::{Kept, Part, PartFlags, PartKind};
use crate::session::{Limits, message_cost};
use crate::transmit::TransmitBuffer;

mod given_back;
mod recall;
mod restart;

use given_back::GivenBack;
pub(crate) use given_back::TakenOut;
pub(crate) use recall::Recalled;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A message, or a pack of several, in the queue of payloads.
    Message,
    Fin,
    /// Messages that lie in the link's store, and nowhere else.
    Stored,
    /// There was a message, which will not be delivered.
    Withdrawn,
    /// The same, on a link that has the message: it counts there until it is acknowledged.
    TakenOut,
}

/// Without the payload, because thousands of them may lie here for what is in the store: half as much memory to go through.
#[derive(Debug, Clone, Copy)]
struct Entry {
    first: u64,
    count: u16,
    content: Content,
    /// Which attempt its delivery to this host is, or to the next; from 1, saturating.
    attempt: u8,
    /// Of the payload.
    len: usize,
    /// This host may have seen it.
    transmitted: bool,
    /// Where it ends in the link's store; 0 if it is not there.
    end: u64,
    /// This host may have seen it before it went to the store.
    transmitted_before: bool,
    /// Nothing follows it onto the link before it is acknowledged.
    alone: bool,
}

impl Entry {
    const EMPTY: Entry = Entry {
        first: 0,
        count: 0,
        content: Content::Message,
        attempt: 1,
        len: 0,
        transmitted: false,
        end: 0,
        transmitted_before: false,
        alone: false,
    };

    fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn is_packed(&self) -> bool {
        self.count > 1
    }

    /// A message that some host may have seen: whatever it is that kills hosts, nothing else is to be blamed for it.
    fn goes_alone(&self) -> bool {
        self.attempt > 1 && matches!(self.content, Content::Message | Content::Stored)
    }

    fn cost(&self) -> usize {
        match self.content {
            Content::Message | Content::Stored | Content::TakenOut => pack_cost(self.len, self.count.into()),
            Content::Fin | Content::Withdrawn => 0,
        }
    }

    /// What it takes of the outbox: a number that stands for nothing is told to the other side, too.
    fn held(&self) -> usize {
        if self.content == Content::Withdrawn { message_cost(0) } else { self.cost() }
    }

    /// Leaves the store; returns the payload if that lay nowhere else.
    fn reclaim(&mut self, kept: &mut impl Iterator<Item = Kept>) -> Result<Option<Bytes>, ProtocolError> {
        let Some(found) = kept.find(|kept| kept.end >= self.end).filter(|kept| kept.end == self.end) else {
            return Err(ProtocolError::Unexpected("a record of the store that was destroyed"));
        };
        self.end = 0;
        // What no host has claimed is as good as never sent, on this link.
        self.transmitted = found.claimed || self.transmitted_before;
        if self.content != Content::Stored {
            return Ok(None);
        }
        let payload = self.checked(found.payload)?;
        self.content = Content::Message;
        Ok(Some(payload))
    }

    /// What the store has, if it can be what was put there.
    fn checked(&self, stored: Bytes) -> Result<Bytes, ProtocolError> {
        if stored.len() != self.len || !is_of(&stored, self.count.into()) {
            return Err(ProtocolError::Unexpected("a record of the store that was changed"));
        }
        Ok(stored)
    }
}

const _: () = assert!(size_of::<Entry>() <= 32);

/// Bytes that the other side still holds from an earlier host, which count against its window.
#[derive(Debug, Clone, Copy)]
struct Carried {
    through: u64,
    cost: usize,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    /// Those of the entries that are messages, in their order.
    payloads: VecDeque<Bytes>,
    /// Where the numbers began.
    first: u64,
    next: u64,
    cursor: usize,
    /// Payloads of the entries before the cursor.
    payload_cursor: usize,
    /// Bytes of the entry at the cursor that are on the link already.
    offset: usize,
    cost: usize,
    /// Numbers in it that stand for nothing.
    gaps: usize,
    /// Messages that were taken out since the numbers began.
    withdrawn: u64,
    given_back: GivenBack,
    in_flight: usize,
    carried: Option<Carried>,
    limit: usize,
    /// How often a message is delivered at most, if that is limited.
    max_attempts: Option<NonZeroU32>,
    finished: bool,
    /// The link has a store of its own.
    store: bool,
    /// What is in flight is alone there.
    alone: bool,
    /// Of the link, or of the last one; before the first, the newest.
    version: u16,
}

impl Outbox {
    pub(crate) fn new(first: u64, limits: Limits) -> Self {
        Self {
            entries: VecDeque::new(),
            payloads: VecDeque::new(),
            first,
            next: first,
            cursor: 0,
            payload_cursor: 0,
            offset: 0,
            cost: 0,
            gaps: 0,
            withdrawn: 0,
            given_back: GivenBack::default(),
            in_flight: 0,
            carried: None,
            limit: limits.outbox,
            max_attempts: limits.max_attempts,
            finished: false,
            store: false,
            alone: false,
            version: VERSION_MAX,
        }
    }

    /// Lowest sequence number not acknowledged.
    pub(crate) fn base(&self) -> u64 {
        self.first_at(0)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Lowest sequence number not acknowledged that stands for something.
    pub(crate) fn first_awaited(&self) -> u64 {
        let awaited = self.entries.iter().find_map(|entry| match entry.content {
            Content::Withdrawn | Content::TakenOut => None,
            _ if entry.is_packed() => self.given_back.first_left(entry.first..entry.next()),
            _ => Some(entry.first),
        });
        awaited.unwrap_or(self.next)
    }

    /// Behind the last message; the end of the direction is none.
    pub(crate) fn messages_end(&self) -> u64 {
        self.next - u64::from(self.finished && !self.entries.is_empty())
    }

    /// Messages accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        (self.next - self.first).saturating_sub(u64::from(self.finished))
    }

    /// Those of them that are not acknowledged and will be.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let out = self.gaps + self.given_back.count();
        self.messages_end() - self.base() - out as u64
    }

    /// Those of them that are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.accepted() - self.unacknowledged() - self.withdrawn
    }

    /// What the unacknowledged messages cost.
    pub(crate) fn unacknowledged_cost(&self) -> usize {
        self.cost - self.gaps * message_cost(0) - self.given_back.cost()
    }

    fn first_at(&self, index: usize) -> u64 {
        self.entries.get(index).map_or(self.next, |entry| entry.first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether no message is left: at most the end of the direction, and numbers that stand for nothing.
    pub(crate) fn holds_no_message(&self) -> bool {
        self.cost == self.gaps * message_cost(0)
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Messages on the link and unacknowledged.
    pub(crate) fn in_flight_messages(&self) -> usize {
        (self.first_at(self.cursor) - self.base()) as usize
    }

    pub(crate) fn has_untransmitted(&self) -> bool {
        self.cursor < self.entries.len()
    }

    /// What is accepted fits the limit, but for what comes when nothing else is held: no size that is allowed at
    /// all can wait for ever.
    #[inline]
    pub(crate) fn has_room(&self, cost: usize) -> bool {
        self.cost == 0 || self.cost.saturating_add(cost) <= self.limit
    }

    /// Returns the number of the first message.
    pub(crate) fn push(&mut self, pack: Pack) -> u64 {
        self.cost += pack.cost();
        let first = self.append(pack.count(), Content::Message, pack.bytes().len());
        self.payloads.push_back(pack.into_bytes());
        first
    }

    #[inline]
    fn append(&mut self, count: u32, content: Content, len: usize) -> u64 {
        let first = self.next;
        // Filled in where it lies: one that is made before is copied in wider pieces than it was written in, and that stalls.
        debug_assert!(count <= u16::MAX.into(), "a pack holds far fewer");
        self.entries.push_back(Entry::EMPTY);
        if let Some(entry) = self.entries.back_mut() {
            entry.first = first;
            entry.count = u16::try_from(count).unwrap_or(u16::MAX);
            entry.len = len;
            entry.content = content;
        }
        self.next += u64::from(count);
        first
    }

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.push_end();
        }
    }

    fn push_end(&mut self) {
        self.append(1, Content::Fin, 0);
    }

    /// The other side has handled everything through `through`.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Result<(), ProtocolError> {
        if through >= self.first_at(self.cursor) {
            return Err(ProtocolError::AckBeyondSent { through });
        }
        if let Some(carried) = self.carried.take_if(|carried| through >= carried.through) {
            self.in_flight -= carried.cost;
        }
        while self.entries.front().is_some_and(|entry| entry.next() <= through + 1) {
            let Some(entry) = self.entries.pop_front() else { break };
            if entry.content == Content::Message {
                self.payloads.pop_front();
                self.payload_cursor -= 1;
            } else if entry.content == Content::Withdrawn {
                self.gaps -= 1;
            } else if entry.content == Content::TakenOut {
                self.given_back.no_longer_out(entry.cost());
            }
            self.cursor -= 1;
            self.cost -= entry.held();
            self.in_flight -= entry.cost();
        }
        if self.in_flight == 0 {
            self.alone = false;
        }
        self.given_back.acknowledge(through);
        if self.base() <= through {
            return Err(ProtocolError::Unexpected("an acknowledgement in the middle of a pack"));
        }
        Ok(())
    }

    /// Goes on at `next` on a new link to the same host.
    pub(crate) fn rewind(&mut self, next: u64) -> Result<(), ProtocolError> {
        let sent = self.entries.iter().take_while(|entry| entry.transmitted).count();
        let cursor = self.entries.partition_point(|entry| entry.first < next);
        if cursor > sent || self.first_at(cursor) != next {
            return Err(ProtocolError::Handshake("the other side expects a message that was never sent"));
        }
        self.go_back(cursor);
        Ok(())
    }

    /// Nothing from the entry there on is on a link.
    fn go_back(&mut self, cursor: usize) {
        self.set_cursor(cursor);
        self.turn_into_gaps();
        let transmitted: usize = self.entries.range(..self.cursor).map(Entry::cost).sum();
        self.in_flight = transmitted + self.carried.map_or(0, |carried| carried.cost);
        self.alone = self.entries.range(..self.cursor).any(|entry| entry.alone);
    }

    /// Nothing of the entry there is on the link.
    fn set_cursor(&mut self, cursor: usize) {
        self.cursor = cursor;
        self.payload_cursor = self.messages_before(cursor);
        self.offset = 0;
    }

    fn messages_before(&self, end: usize) -> usize {
        self.entries.range(..end).filter(|entry| entry.content == Content::Message).count()
    }

    /// The entry at the cursor is on the link as a whole.
    fn advance(&mut self) {
        let Some(entry) = self.entries.get_mut(self.cursor) else { return };
        entry.alone = self.max_attempts.is_some() && entry.goes_alone();
        self.alone |= entry.alone;
        self.in_flight += entry.cost();
        self.payload_cursor += usize::from(entry.content == Content::Message);
        self.cursor += 1;
        self.offset = 0;
    }

    /// Whether this direction has ended and the other side has handled its end.
    fn has_ended(&self) -> bool {
        self.finished && self.entries.is_empty()
    }

    /// Where a new host begins. The end is sent to every host: one that is not told would wait for it for ever.
    pub(crate) fn restart_at(&self) -> u64 {
        self.base() - u64::from(self.has_ended())
    }

    /// Starts over at `first` with a peer that never attached, so that nothing has a number for it yet.
    pub(crate) fn renumber(&mut self, first: u64) {
        // With the same numbers, a link that this hello did not know of may have carried something.
        let renumbered = self.base() != first;
        debug_assert!(self.given_back.is_empty(), "a peer that never attached gives nothing back");
        self.first = first;
        self.next = first;
        self.withdrawn = self.gaps as u64;
        self.set_cursor(0);
        self.in_flight = 0;
        self.alone = false;
        self.carried = None;
        for entry in &mut self.entries {
            entry.first = self.next;
            self.next = entry.next();
            entry.transmitted &= !renumbered;
        }
    }

    /// The other side has heard the end of this direction from an earlier host and takes no more.
    pub(crate) fn conclude(&mut self) {
        self.finished = true;
        self.next = self.base();
        self.entries.clear();
        self.payloads.clear();
        (self.cost, self.gaps, self.withdrawn) = (0, 0, 0);
        self.given_back = GivenBack::default();
    }

    /// The other side still holds `cost` bytes that an earlier host sent, the last of them `through`.
    pub(crate) fn carry(&mut self, through: u64, cost: usize) {
        if cost > 0 {
            self.carried = Some(Carried { through, cost });
            self.in_flight += cost;
        }
    }

    /// Whether something may go on the link now.
    pub(crate) fn is_sendable(&self, window: usize) -> bool {
        self.entries.get(self.cursor).is_some_and(|entry| self.fits(entry, window))
    }

    fn fits(&self, entry: &Entry, window: usize) -> bool {
        self.offset > 0
            || self.in_flight == 0
            || !(self.alone || self.max_attempts.is_some() && entry.goes_alone())
                && self.in_flight.saturating_add(entry.cost()) <= window
    }

    /// Whether what is in flight keeps the rest from the link until it is acknowledged.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Puts what the window allows on the link.
    pub(crate) fn transmit(&mut self, window: usize, out: &mut TransmitBuffer) {
        while !out.is_full() && self.is_sendable(window) {
            let entry = &mut self.entries[self.cursor];
            entry.transmitted = true;
            let (seq, packed) = (entry.first, entry.is_packed());
            let whole = match entry.content {
                // Nothing is stored on a link that takes frames.
                Content::Stored | Content::TakenOut => return,
                Content::Withdrawn => {
                    Frame::Skip { seq }.encode(out);
                    true
                }
                Content::Fin => {
                    Frame::Fin { seq }.encode(out);
                    true
                }
                Content::Message => {
                    let Some(payload) = self.payloads.get(self.payload_cursor) else { return };
                    let start = self.offset;
                    let end = payload.len().min(start + MAX_CHUNK);
                    let flags = DataFlags {
                        first: start == 0,
                        last: end == payload.len(),
                        redelivered: entry.attempt > 1,
                        packed,
                        attempt: if self.version < ATTEMPTS { 0 } else { entry.attempt },
                    };
                    encode_data(out, seq, flags, payload.len() as u64, payload, start..end);
                    self.offset = end;
                    flags.last
                }
            };
            if whole {
                self.advance();
            }
        }
    }

    /// The link keeps what it carries: messages go there in parts.
    pub(crate) fn use_store(&mut self) {
        self.store = true;
    }

    /// The version of the link that is attached now.
    pub(crate) fn use_version(&mut self, version: u16) {
        self.version = version;
    }

    pub(crate) fn has_store(&self) -> bool {
        self.store
    }

    /// Where the store must be released up to so that everything before `next` is acknowledged; 0 if that is not in
    /// the store.
    pub(crate) fn stored_end(&self, next: u64) -> u64 {
        let last = self.entries.get(self.entries.partition_point(|entry| entry.next() < next));
        last.filter(|entry| entry.first < next).map_or(0, |entry| entry.end)
    }

    /// What goes into the store next, at most `max` bytes of it.
    pub(crate) fn next_part(&self, window: usize, max: usize) -> Option<Part<'_>> {
        let entry = self.entries.get(self.cursor).filter(|entry| self.fits(entry, window))?;
        let empty = |kind| Some(Part { kind, flags: PartFlags::NONE, total: 0, payload: &[] });
        match entry.content {
            Content::Stored | Content::TakenOut => None,
            Content::Fin => empty(PartKind::End),
            Content::Withdrawn => empty(PartKind::Skip),
            Content::Message => {
                let payload = self.payloads.get(self.payload_cursor)?;
                let end = payload.len().min(self.offset + max);
                let kind = match (self.offset == 0, end == payload.len()) {
                    (true, true) => PartKind::Whole,
                    (true, false) => PartKind::First,
                    (false, false) => PartKind::Middle,
                    (false, true) => PartKind::Last,
                };
                let (total, payload) = (payload.len(), &payload[self.offset..end]);
                let flags = PartFlags::new(self.version, entry.attempt.into(), entry.is_packed());
                Some(Part { kind, flags, total, payload })
            }
        }
    }

    /// `len` bytes of the [next part](Self::next_part) are in the store now and end at `end`.
    pub(crate) fn part_stored(&mut self, len: usize, end: u64) {
        let Some(entry) = self.entries.get_mut(self.cursor) else { return };
        if self.offset == 0 {
            entry.transmitted_before = entry.transmitted;
        }
        entry.transmitted = true;
        let whole = match entry.content {
            // In one part: the store is its only place from here on.
            Content::Message if entry.len == len => {
                entry.content = Content::Stored;
                self.payloads.remove(self.payload_cursor);
                true
            }
            Content::Message => {
                self.offset += len;
                self.offset == entry.len
            }
            Content::Fin | Content::Stored | Content::Withdrawn | Content::TakenOut => true,
        };
        if whole {
            entry.end = end;
            self.advance();
        }
    }

    /// Whether nothing waits for the store, so that something may be written there first.
    #[inline]
    pub(crate) fn may_store(&self, cost: usize, window: usize) -> bool {
        self.cursor == self.entries.len()
            && !self.finished
            && !self.alone
            && (self.in_flight == 0 || self.in_flight.saturating_add(cost) <= window)
    }

    /// Messages that were written to the store before they were accepted here.
    #[inline]
    pub(crate) fn push_stored(&mut self, len: usize, count: u32, end: u64) -> u64 {
        let first = self.append(count, Content::Stored, len);
        if let Some(entry) = self.entries.back_mut() {
            (entry.transmitted, entry.end) = (true, end);
            self.cost += entry.cost();
        }
        self.advance();
        first
    }

    /// The other side has released the store up to `upto`: what ends there is acknowledged, with all before it.
    pub(crate) fn released(&mut self, upto: u64) -> Result<(), ProtocolError> {
        let stored = self.entries.range(..self.cursor).skip_while(|entry| entry.end == 0);
        let last = stored.take_while(|entry| entry.end <= upto).last().map(|entry| entry.next() - 1);
        last.map_or(Ok(()), |through| self.acknowledge(through))
    }

    /// The store is given up: takes back what lay in it. `kept` tells of each record that completed something,
    /// oldest first.
    pub(crate) fn reclaim(&mut self, kept: impl IntoIterator<Item = Kept>) -> Result<(), ProtocolError> {
        self.store = false;
        let mut kept = kept.into_iter();
        // What the store gives back belongs between those that are here.
        let waiting = self.payloads.split_off(self.payload_cursor);
        let mut here = std::mem::take(&mut self.payloads).into_iter();
        let mut result = Ok(());
        for entry in self.entries.range_mut(..self.cursor) {
            let payload = match entry.content {
                Content::Message => here.next(),
                Content::Fin | Content::Stored | Content::Withdrawn | Content::TakenOut => None,
            };
            // After an error every entry still has its payload, or is stored, for good.
            let back = if entry.end == 0 { Ok(None) } else { entry.reclaim(&mut kept) };
            let back = back.unwrap_or_else(|error| {
                result = result.clone().and(Err(error));
                None
            });
            self.payloads.extend(back.or(payload));
        }
        self.payload_cursor = self.payloads.len();
        self.payloads.extend(waiting);
        // A message that is half-way into the store has been seen by nobody.
        if let Some(entry) = self.entries.get_mut(self.cursor)
            && self.offset > 0
        {
            entry.transmitted = entry.transmitted_before;
        }
        result
    }

    /// The window invariant: `in_flight` is what is transmitted and unacknowledged, no more and no less.
    pub(crate) fn assert_credit_is_conserved(&self) {
        let transmitted: usize = self.entries.range(..self.cursor).map(Entry::cost).sum();
        let carried = self.carried.map_or(0, |carried| carried.cost);
        assert_eq!(self.in_flight, transmitted + carried, "window credit leaked");
        assert_eq!(self.cost, self.entries.iter().map(Entry::held).sum::<usize>(), "outbox room leaked");
        let gaps = self.entries.iter().filter(|entry| entry.content == Content::Withdrawn).count();
        assert_eq!(self.gaps, gaps, "a gap too many or too few");
        let (out, out_cost) = self.taken_out();
        assert_eq!((self.given_back.count(), self.given_back.cost()), (out, out_cost), "a message taken out");
        let payloads = (self.payload_cursor, self.payloads.len());
        let messages = (self.messages_before(self.cursor), self.messages_before(self.entries.len()));
        assert_eq!(payloads, messages, "a payload without its entry, or the other way round");
    }
}
