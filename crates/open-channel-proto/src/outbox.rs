//! The sending half of a session: messages accepted from the application and not yet acknowledged.
//!
//! ```text
//!      base                    cursor                  next
//!       │ transmitted, unacked    │ waiting for window   │
//!   ────┴─────────────────────────┴──────────────────────┴───▶ sequence numbers
//!   acked  ◀── in_flight bytes ──▶
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use crate::frame::{DataFlags, Frame, MAX_CHUNK, encode_data};
use crate::session::{ProtocolError, message_cost};
use crate::transmit::TransmitBuffer;

#[derive(Debug)]
enum Content {
    Message(Bytes),
    Fin,
}

#[derive(Debug)]
struct Entry {
    content: Content,
    /// Some host may have seen it.
    transmitted: bool,
    redelivered: bool,
}

impl Entry {
    fn cost(&self) -> usize {
        match &self.content {
            Content::Message(payload) => message_cost(payload.len()),
            Content::Fin => 0,
        }
    }
}

/// Bytes that the other side still holds from an earlier host, which count against its window.
#[derive(Debug, Clone, Copy)]
struct Carried {
    through: u64,
    cost: usize,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    base: u64,
    cursor: usize,
    /// Bytes of the entry at the cursor that are on the link already.
    offset: usize,
    cost: usize,
    in_flight: usize,
    carried: Option<Carried>,
    limit: usize,
    finished: bool,
}

impl Outbox {
    pub(crate) fn new(first: u64, limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            base: first,
            cursor: 0,
            offset: 0,
            cost: 0,
            in_flight: 0,
            carried: None,
            limit,
            finished: false,
        }
    }

    /// Lowest sequence number not acknowledged.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn next(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether no message, at most the end of the direction, is left.
    pub(crate) fn holds_no_message(&self) -> bool {
        self.cost == 0
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Messages on the link and unacknowledged.
    pub(crate) fn in_flight_messages(&self) -> usize {
        self.cursor
    }

    /// A message is accepted within the limit, and always when nothing else is held: no size that is allowed at
    /// all can wait for ever.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.cost == 0 || self.cost + message_cost(len) <= self.limit
    }

    pub(crate) fn push(&mut self, payload: Bytes) -> u64 {
        let entry = Entry { content: Content::Message(payload), transmitted: false, redelivered: false };
        self.cost += entry.cost();
        self.entries.push_back(entry);
        self.next() - 1
    }

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.push_end();
        }
    }

    fn push_end(&mut self) {
        self.entries.push_back(Entry { content: Content::Fin, transmitted: false, redelivered: false });
    }

    /// The other side has handled everything through `through`.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Result<(), ProtocolError> {
        if through >= self.base + self.cursor as u64 {
            return Err(ProtocolError::AckBeyondSent { through });
        }
        if let Some(carried) = self.carried.take_if(|carried| through >= carried.through) {
            self.in_flight -= carried.cost;
        }
        while self.base <= through {
            let Some(entry) = self.entries.pop_front() else { break };
            self.base += 1;
            self.cursor -= 1;
            self.cost -= entry.cost();
            self.in_flight -= entry.cost();
        }
        Ok(())
    }

    /// Goes on at `next` on a new link to the same host.
    pub(crate) fn rewind(&mut self, next: u64) -> Result<(), ProtocolError> {
        let sent = self.entries.iter().take_while(|entry| entry.transmitted).count() as u64;
        if next < self.base || next > self.base + sent {
            return Err(ProtocolError::Handshake("the other side expects a message that was never sent"));
        }
        self.cursor = (next - self.base) as usize;
        self.offset = 0;
        let transmitted: usize = self.entries.range(..self.cursor).map(Entry::cost).sum();
        self.in_flight = transmitted + self.carried.map_or(0, |carried| carried.cost);
        Ok(())
    }

    /// Whether this direction has ended and the other side has handled its end.
    fn has_ended(&self) -> bool {
        self.finished && self.entries.is_empty()
    }

    /// Where a new host begins. The end is sent to every host: one that is not told would wait for it for ever.
    pub(crate) fn restart_at(&self) -> u64 {
        self.base - u64::from(self.has_ended())
    }

    /// Starts over with a host that knows nothing of this session.
    pub(crate) fn restart(&mut self) {
        if self.has_ended() {
            self.base -= 1;
            self.push_end();
        }
        self.cursor = 0;
        self.offset = 0;
        self.in_flight = 0;
        self.carried = None;
        for entry in &mut self.entries {
            entry.redelivered |= entry.transmitted;
        }
    }

    /// Starts over at `first` with a peer that never attached, so that nothing has a number for it yet.
    pub(crate) fn renumber(&mut self, first: u64) {
        // With the same numbers, a link that this hello did not know of may have carried something.
        let renumbered = self.base != first;
        self.base = first;
        self.cursor = 0;
        self.offset = 0;
        self.in_flight = 0;
        self.carried = None;
        for entry in &mut self.entries {
            entry.transmitted &= !renumbered;
        }
    }

    /// The other side has heard the end of this direction from an earlier host and takes no more.
    pub(crate) fn conclude(&mut self) {
        self.finished = true;
        self.entries.clear();
        self.cost = 0;
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
        self.offset > 0 || self.in_flight == 0 || self.in_flight.saturating_add(entry.cost()) <= window
    }

    /// Puts what the window allows on the link.
    pub(crate) fn transmit(&mut self, window: usize, out: &mut TransmitBuffer) {
        while !out.is_full() && self.is_sendable(window) {
            let seq = self.base + self.cursor as u64;
            let entry = &mut self.entries[self.cursor];
            entry.transmitted = true;
            let (start, total) = (self.offset, entry.cost());
            let whole = match &entry.content {
                Content::Fin => {
                    Frame::Fin { seq }.encode(out);
                    true
                }
                Content::Message(payload) => {
                    let end = payload.len().min(start + MAX_CHUNK);
                    let flags = DataFlags {
                        first: start == 0,
                        last: end == payload.len(),
                        redelivered: entry.redelivered,
                    };
                    encode_data(out, seq, flags, payload.len() as u64, payload, start..end);
                    self.offset = end;
                    flags.last
                }
            };
            if whole {
                self.offset = 0;
                self.cursor += 1;
                self.in_flight += total;
            }
        }
    }

    /// The window invariant: `in_flight` is what is transmitted and unacknowledged, no more and no less.
    pub(crate) fn assert_credit_is_conserved(&self) {
        let transmitted: usize = self.entries.range(..self.cursor).map(Entry::cost).sum();
        let carried = self.carried.map_or(0, |carried| carried.cost);
        assert_eq!(self.in_flight, transmitted + carried, "window credit leaked");
        assert_eq!(self.cost, self.entries.iter().map(Entry::cost).sum::<usize>(), "outbox room leaked");
    }
}
