//! The sending half of a session: messages accepted from the application and not acknowledged.
//!
//! ```text
//!      base                    cursor                  next
//!       │ transmitted, unacked    │ waiting for window   │
//!   ────┴─────────────────────────┴──────────────────────┴───▶ sequence numbers
//!   acked  ◀── in_flight bytes ──▶
//! ```

mod check;
mod entry;
mod queue;
mod recall;
mod restart;
mod resume;
mod returned;
mod send;
mod store;
mod take_out;

use std::num::NonZeroU32;

pub(crate) use recall::Recalled;
pub(crate) use take_out::TakenOut;

use self::entry::Content;
use self::queue::Queue;
use self::returned::GivenBack;
use crate::error::ProtocolError;
use crate::limits::{Limits, message_cost};
use crate::pack::Pack;
use crate::version::VERSION_MAX;

#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Queue,
    cost: usize,
    /// Number of gaps.
    gaps: usize,
    /// Messages that were taken out since the numbers began.
    withdrawn: u64,
    given_back: GivenBack,
    in_flight: usize,
    carried: Option<Carried>,
    limit: usize,
    /// How often a message is delivered at most; `None` for any number.
    max_attempts: Option<NonZeroU32>,
    finished: bool,
    /// The link has a store.
    store: bool,
    /// The message in flight has to be there alone.
    alone: bool,
    /// That of the link, or of the last one; before the first link, the newest.
    version: u16,
}

/// Bytes that the other side still holds from an earlier host. They count in its window.
#[derive(Debug, Clone, Copy)]
struct Carried {
    through: u64,
    cost: usize,
}

impl Outbox {
    pub(crate) fn new(first: u64, limits: Limits) -> Self {
        Self {
            queue: Queue::new(first),
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

    /// Returns the number of the first message.
    pub(crate) fn push(&mut self, pack: Pack) -> u64 {
        self.cost += pack.cost();
        let first = self.queue.append(pack.count(), Content::Message, pack.bytes().len());
        self.queue.payloads.push_back(pack.into_bytes());
        first
    }

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.queue.push_end();
        }
    }

    /// The other side has handled everything through `through`.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Result<(), ProtocolError> {
        if through >= self.queue.first_at(self.queue.cursor) {
            return Err(ProtocolError::AckBeyondSent { through });
        }
        if let Some(carried) = self.carried.take_if(|carried| through >= carried.through) {
            self.in_flight -= carried.cost;
        }
        while self.queue.entries.front().is_some_and(|entry| entry.next() <= through + 1) {
            let Some(entry) = self.queue.entries.pop_front() else { break };
            if entry.content == Content::Message {
                self.queue.payloads.pop_front();
                self.queue.payload_cursor -= 1;
            } else if entry.content == Content::Withdrawn {
                self.gaps -= 1;
            } else if entry.content == Content::TakenOut {
                self.given_back.no_longer_out(entry.cost());
            }
            self.queue.cursor -= 1;
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

    /// The version of the link that is attached now.
    pub(crate) fn use_version(&mut self, version: u16) {
        self.version = version;
    }

    /// The entry at the cursor is on the link as a whole.
    fn advance(&mut self) {
        let Some(entry) = self.queue.entries.get_mut(self.queue.cursor) else { return };
        entry.alone = self.max_attempts.is_some() && entry.goes_alone();
        self.alone |= entry.alone;
        self.in_flight += entry.cost();
        self.queue.payload_cursor += usize::from(entry.content == Content::Message);
        self.queue.cursor += 1;
        self.queue.offset = 0;
    }

    /// Whether a message of this cost may be accepted. If nothing else is held, each may: no size
    /// that is allowed may wait for ever.
    #[inline]
    pub(crate) fn has_room(&self, cost: usize) -> bool {
        self.cost == 0 || self.cost.saturating_add(cost) <= self.limit
    }

    /// Lowest sequence number not acknowledged.
    pub(crate) fn base(&self) -> u64 {
        self.queue.first_at(0)
    }

    pub(crate) fn next(&self) -> u64 {
        self.queue.next
    }

    /// Lowest sequence number not acknowledged that is no gap.
    pub(crate) fn first_awaited(&self) -> u64 {
        let awaited = self.queue.entries.iter().find_map(|entry| match entry.content {
            Content::Withdrawn | Content::TakenOut => None,
            _ if entry.is_packed() => self.given_back.first_left(entry.first..entry.next()),
            _ => Some(entry.first),
        });
        awaited.unwrap_or(self.queue.next)
    }

    /// The number behind the last message; the end of the direction is no message.
    pub(crate) fn messages_end(&self) -> u64 {
        self.queue.next - u64::from(self.finished && !self.queue.entries.is_empty())
    }

    /// Messages accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        (self.queue.next - self.queue.first).saturating_sub(u64::from(self.finished))
    }

    /// Accepted messages that are not acknowledged and will be.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let out = self.gaps + self.given_back.count();
        self.messages_end() - self.base() - out as u64
    }

    /// Accepted messages that are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        // A peer that goes back on its word can make more of the two than there is.
        self.accepted().saturating_sub(self.unacknowledged() + self.withdrawn)
    }

    /// Cost of the unacknowledged messages.
    pub(crate) fn unacknowledged_cost(&self) -> usize {
        self.cost - self.gaps * message_cost(0) - self.given_back.cost()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.entries.is_empty()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether this direction has ended and the other side has handled its end.
    fn has_ended(&self) -> bool {
        self.finished && self.queue.entries.is_empty()
    }

    /// Where a new host begins. Every host gets the end, or it would wait for it for ever.
    pub(crate) fn restart_at(&self) -> u64 {
        self.base() - u64::from(self.has_ended())
    }

    /// Whether no message is left: at most gaps and the end of the direction.
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
        (self.queue.first_at(self.queue.cursor) - self.base()) as usize
    }

    pub(crate) fn has_untransmitted(&self) -> bool {
        self.queue.cursor < self.queue.entries.len()
    }
}
