//! The receiving half of a session: duplicates dropped, parts put together, handled messages counted.
//!
//! ```text
//!     handled_through                    next
//!   ────────┴──────────────────────────────┴───▶ sequence numbers
//!    acked or    received; each slot says       not received
//!    ackable     whether it is handled
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::frame::DataFlags;
use crate::handshake::{ATTEMPTS, VERSION_MIN};
use crate::pack::{MAX_PACK_COST, Pack, Packer};
use crate::part::{Arrival, PartKind};
mod given_back;

use given_back::GivenBack;

use crate::session::{Incoming, Limits, Received, message_cost};

/// The part of the window after which an acknowledgement no longer waits for company.
const ACK_EVERY: usize = 4;

/// Memory set aside for a message on the word of its sender alone; beyond it, memory grows with what arrives.
const MAX_RESERVE: usize = 1 << 20;

/// What was received in one piece and is not handled as a whole: a message, a pack, or the end.
#[derive(Debug)]
struct Slot {
    first: u64,
    count: u32,
    unhandled: u32,
    cost: usize,
    /// Where it ends in the link's store, which keeps it until it is handled; 0 if it came in frames.
    end: u64,
}

impl Slot {
    fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Whether it stands for nothing; or for the end, which nothing follows.
    fn is_gap(&self) -> bool {
        self.cost == 0
    }

    /// Those of its messages that are among `seqs` are handled.
    #[inline]
    fn handle(&mut self, seqs: &Range<u64>) {
        let handled = self.next().min(seqs.end).saturating_sub(self.first.max(seqs.start));
        self.unhandled = self.unhandled.saturating_sub(u32::try_from(handled).unwrap_or(u32::MAX));
    }
}

/// What the application has not taken yet.
#[derive(Debug)]
enum Ready {
    Messages(Received),
    End(u64),
}

impl Ready {
    fn first(&self) -> u64 {
        match self {
            Self::Messages(received) => received.first,
            Self::End(seq) => *seq,
        }
    }
}

#[derive(Debug)]
struct Partial {
    bytes: BytesMut,
    total: usize,
    packed: bool,
    /// Where its last part so far ends in the link's store.
    end: u64,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    first: u64,
    next: u64,
    /// Numbers that stood for nothing.
    passed_over: u64,
    /// Those of them that are not acknowledged: something before them is not handled.
    gaps: u64,
    partial: Option<Partial>,
    ready: VecDeque<Ready>,
    slots: VecDeque<Slot>,
    handled_through: u64,
    acked: u64,
    /// Cost handled since the last acknowledgement that went out.
    unacked_cost: usize,
    unhandled_cost: usize,
    ack_requested_through: u64,
    /// What the sender keeps in flight at most.
    sender_limit: usize,
    limits: Limits,
    finished: bool,
    /// Everything before it in the link's store is handled.
    releasable: u64,
    /// Of the link.
    version: u16,
    /// What the application has given back and not handled.
    given_back: GivenBack,
}

impl Partial {
    fn new(total: usize, packed: bool) -> Self {
        Self { bytes: BytesMut::with_capacity(total.min(MAX_RESERVE)), total, packed, end: 0 }
    }
}

impl Inbox {
    pub(crate) fn new(first: u64, limits: Limits) -> Self {
        Self {
            first,
            next: first,
            passed_over: 0,
            gaps: 0,
            partial: None,
            ready: VecDeque::new(),
            slots: VecDeque::new(),
            handled_through: first - 1,
            acked: first - 1,
            unacked_cost: 0,
            unhandled_cost: 0,
            ack_requested_through: 0,
            sender_limit: limits.window,
            limits,
            finished: false,
            releasable: 0,
            version: VERSION_MIN,
            given_back: GivenBack::default(),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn handled_through(&self) -> u64 {
        self.handled_through
    }

    pub(crate) fn unhandled_cost(&self) -> usize {
        self.unhandled_cost
    }

    /// Messages received so far.
    pub(crate) fn received(&self) -> u64 {
        self.messages_end() - self.first - self.passed_over
    }

    /// Those of them from the oldest on that is not handled.
    pub(crate) fn unhandled(&self) -> u64 {
        let open = self.next - 1 - self.handled_through;
        open - self.gaps - u64::from(self.finished && open > 0)
    }

    /// Behind the last message received; the end of the direction is none.
    pub(crate) fn messages_end(&self) -> u64 {
        self.next - u64::from(self.finished)
    }

    /// Whether nothing has ever been received.
    pub(crate) fn is_untouched(&self) -> bool {
        self.next == self.first && self.partial.is_none()
    }

    /// Whether the sender has ended its direction.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// A new link: parts of a message start over. What was acknowledged stays as it is: the application may have
    /// handled more since the handshake began, and nobody has told the sender.
    pub(crate) fn attach(&mut self, version: u16, sender_outbox: u64) {
        self.version = version;
        self.given_back.attach();
        self.partial = None;
        self.ack_requested_through = 0;
        self.sender_limit = self.limits.window.min(usize::try_from(sender_outbox).unwrap_or(usize::MAX));
    }

    /// The welcome that goes out now tells the sender everything.
    pub(crate) fn acknowledged_by_handshake(&mut self) {
        self.acked = self.handled_through;
        self.unacked_cost = 0;
    }

    pub(crate) fn data(
        &mut self,
        seq: u64,
        flags: DataFlags,
        total: u64,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let attempt = flags.attempt_in(self.version)?;
        if seq < self.next {
            return Ok(());
        }
        self.expect(seq)?;
        if flags.first {
            if self.partial.is_some() {
                return Err(ProtocolError::Unexpected("a message that begins inside another"));
            }
            let total = self.check_size(total, flags.packed)?;
            if flags.last {
                let payload = Bytes::copy_from_slice(payload);
                return self.complete(payload, flags.packed, attempt, 0);
            }
            self.partial = Some(Partial::new(total, flags.packed));
        }
        self.add(payload.len(), 0, |bytes| bytes.extend_from_slice(payload))?;
        if flags.last { self.conclude(attempt) } else { Ok(()) }
    }

    /// Takes a part out of the link's store. `fill` appends its bytes, once they are found to be welcome.
    pub(crate) fn part(
        &mut self,
        part: Arrival,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), ProtocolError> {
        self.expect_part(part.kind)?;
        let (attempt, packed) = (part.flags.attempt_in(self.version)?, part.flags.is_packed());
        match part.kind {
            PartKind::End => self.ends(part.end),
            PartKind::Skip => return self.passes_over(part.end),
            PartKind::Whole => {
                self.check_size(part.len as u64, packed)?;
                let mut bytes = BytesMut::with_capacity(part.len);
                fill(&mut bytes);
                return self.complete(bytes.freeze(), packed, attempt, part.end);
            }
            PartKind::First => {
                self.partial = Some(Partial::new(self.check_size(part.total, packed)?, packed));
                self.add(part.len, part.end, fill)?;
            }
            PartKind::Middle => self.add(part.len, part.end, fill)?,
            PartKind::Last => {
                self.add(part.len, part.end, fill)?;
                return self.conclude(attempt);
            }
        }
        self.release_partial();
        Ok(())
    }

    /// Whether a whole message of `len` bytes, and no pack, may be taken by [`part_apart`](Self::part_apart); if not,
    /// [`part`](Self::part) knows why.
    #[inline]
    pub(crate) fn may_take_apart(&self, len: usize) -> bool {
        self.ready.is_empty()
            && self.expect_part(PartKind::Whole).is_ok()
            && self.check_size(len as u64, false).is_ok()
    }

    /// Takes a whole message out of the link's store without its bytes, and past what is ready: its number.
    #[inline]
    pub(crate) fn part_apart(&mut self, len: usize, end: u64) -> u64 {
        debug_assert!(self.may_take_apart(len), "it was asked before");
        let seq = self.next;
        self.arrived(1, message_cost(len), end);
        seq
    }

    #[inline]
    fn expect_part(&self, kind: PartKind) -> Result<(), ProtocolError> {
        if self.finished {
            return Err(ProtocolError::Unexpected("a part after the end"));
        }
        if self.partial.is_some() != matches!(kind, PartKind::Middle | PartKind::Last) {
            return Err(ProtocolError::Unexpected("a part that does not follow the one before"));
        }
        Ok(())
    }

    fn add(&mut self, len: usize, end: u64, fill: impl FnOnce(&mut BytesMut)) -> Result<(), ProtocolError> {
        let Some(partial) = &mut self.partial else {
            return Err(ProtocolError::Unexpected("a part of a message that never began"));
        };
        if len == 0 || partial.bytes.len() + len > partial.total {
            return Err(ProtocolError::Unexpected("parts that do not add up to their message"));
        }
        fill(&mut partial.bytes);
        partial.end = end;
        Ok(())
    }

    fn conclude(&mut self, attempt: u32) -> Result<(), ProtocolError> {
        match self.partial.take() {
            Some(whole) if whole.bytes.len() == whole.total => {
                self.complete(whole.bytes.freeze(), whole.packed, attempt, whole.end)
            }
            _ => Err(ProtocolError::Unexpected("parts that do not add up to their message")),
        }
    }

    /// The parts of an unfinished message are copied already, so that one longer than the store can pass through it;
    /// they can go once nothing before them is kept.
    fn release_partial(&mut self) {
        if self.slots.is_empty()
            && let Some(partial) = &self.partial
        {
            self.releasable = self.releasable.max(partial.end);
        }
    }

    /// Everything before this position in the link's store is handled.
    pub(crate) fn releasable(&self) -> u64 {
        self.releasable
    }

    /// The link's store is no more: what it held is acknowledged by the handshake or by frames.
    pub(crate) fn forget_store(&mut self) {
        self.releasable = 0;
        self.partial = None;
        self.slots.iter_mut().for_each(|slot| slot.end = 0);
    }

    pub(crate) fn fin(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq < self.next {
            return Ok(());
        }
        self.expect(seq)?;
        if self.partial.is_some() {
            return Err(ProtocolError::Unexpected("an end inside a message"));
        }
        self.ends(0);
        Ok(())
    }

    /// The number that is due stands for nothing.
    pub(crate) fn skip(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq < self.next {
            return Ok(());
        }
        self.expect(seq)?;
        if self.partial.is_some() {
            return Err(ProtocolError::Unexpected("a number passed over inside a message"));
        }
        self.passes_over(0)
    }

    fn passes_over(&mut self, end: u64) -> Result<(), ProtocolError> {
        if self.version < ATTEMPTS {
            return Err(ProtocolError::Unexpected("a number passed over, on a link that cannot"));
        }
        match self.slots.back_mut().filter(|slot| slot.is_gap()) {
            // Any number of them takes no more memory than what is before them.
            Some(gap) => {
                gap.count = gap.count.checked_add(1).ok_or(ProtocolError::Unexpected("too many gaps"))?;
                gap.end = gap.end.max(end);
                self.next += 1;
                self.gaps += 1;
            }
            None => {
                self.arrived(1, 0, end);
                self.gaps += 1;
                self.handled(self.next - 1..self.next);
            }
        }
        self.passed_over += 1;
        Ok(())
    }

    fn ends(&mut self, end: u64) {
        self.ready.push_back(Ready::End(self.next));
        self.arrived(1, 0, end);
        self.finished = true;
    }

    fn expect(&self, seq: u64) -> Result<(), ProtocolError> {
        if self.finished {
            return Err(ProtocolError::Unexpected("a frame after the end"));
        }
        if seq > self.next {
            return Err(ProtocolError::Gap { expected: self.next, got: seq });
        }
        Ok(())
    }

    /// Length and window are checked before any memory is set aside.
    #[inline]
    fn check_size(&self, total: u64, packed: bool) -> Result<usize, ProtocolError> {
        let max = if packed { MAX_PACK_COST } else { self.limits.max_message };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if total > max {
            return Err(ProtocolError::MessageTooLarge { len: total, max });
        }
        self.check_window(message_cost(total))?;
        Ok(total)
    }

    #[inline]
    fn check_window(&self, cost: usize) -> Result<(), ProtocolError> {
        let held = self.unhandled_cost;
        if held > 0 && held.saturating_add(cost) > self.limits.window {
            return Err(ProtocolError::WindowExceeded { window: self.limits.window });
        }
        Ok(())
    }

    fn complete(
        &mut self,
        payload: Bytes,
        packed: bool,
        attempt: u32,
        end: u64,
    ) -> Result<(), ProtocolError> {
        let pack = if packed { Pack::several(payload, self.limits.max_message)? } else { Pack::one(payload) };
        let (count, cost) = (pack.count(), pack.cost());
        self.check_window(cost)?;
        self.ready.push_back(Ready::Messages(Received { first: self.next, pack, attempt }));
        self.arrived(count, cost, end);
        Ok(())
    }

    #[inline]
    fn arrived(&mut self, count: u32, cost: usize, end: u64) {
        self.slots.push_back(Slot { first: self.next, count, unhandled: count, cost, end });
        self.next += u64::from(count);
        self.unhandled_cost += cost;
    }

    pub(crate) fn take(&mut self) -> Option<Incoming> {
        match self.ready.front_mut()? {
            // What was sent before it and given back comes before it again.
            Ready::End(_) if self.given_back.is_pausing() => None,
            Ready::End(seq) => {
                let seq = *seq;
                self.ready.pop_front();
                Some(Incoming::End { seq })
            }
            Ready::Messages(received) => {
                let Received { first: seq, attempt, .. } = *received;
                let (payload, last) = received.pack.pop_front();
                received.first += 1;
                if last {
                    self.ready.pop_front();
                }
                Some(Incoming::Message { seq, payload, attempt })
            }
        }
    }

    /// As many messages as are here and make one pack; none when the end comes next.
    pub(crate) fn take_many(&mut self) -> Option<Received> {
        if !matches!(self.ready.front(), Some(Ready::Messages(_))) {
            return None;
        }
        let Some(Ready::Messages(first)) = self.ready.pop_front() else { return None };
        let mut cost = first.pack.cost();
        if !self.joins(&first, cost, first.pack.count().into()) {
            return Some(first);
        }
        let mut packer = Packer::default();
        first.pack.iter().for_each(|message| packer.push(message));
        while self.joins(&first, cost, packer.count() as u64)
            && let Some(Ready::Messages(next)) = self.ready.pop_front()
        {
            cost += next.pack.cost();
            next.pack.iter().for_each(|message| packer.push(message));
        }
        packer.pop().map(|pack| Received { pack, ..first })
    }

    /// Whether what comes next makes one pack with `first` and what was joined to it already.
    fn joins(&self, first: &Received, cost: usize, count: u64) -> bool {
        self.ready.front().is_some_and(|next| match next {
            Ready::Messages(next) => {
                next.first == first.first + count
                    && next.attempt == first.attempt
                    && cost + next.pack.cost() <= MAX_PACK_COST
            }
            Ready::End(_) => false,
        })
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        match self.ready.front() {
            None => false,
            Some(Ready::Messages(_)) => true,
            Some(Ready::End(_)) => !self.given_back.is_pausing(),
        }
    }

    /// Drops what the application will not take any more.
    pub(crate) fn discard(&mut self) {
        self.ready.clear();
        self.partial = None;
    }

    /// The application has handled the messages (or the end) of these numbers, in any order, each once.
    #[inline]
    pub(crate) fn handled(&mut self, seqs: Range<u64>) {
        match self.slots.front_mut() {
            // In order, as most are.
            Some(front) if seqs.start >= front.first && seqs.end <= front.next() => front.handle(&seqs),
            _ => {
                let before = self.slots.partition_point(|slot| slot.next() <= seqs.start);
                let slots = self.slots.range_mut(before..).take_while(|slot| slot.first < seqs.end);
                slots.for_each(|slot| slot.handle(&seqs));
            }
        }
        while self.slots.front().is_some_and(|slot| slot.unhandled == 0) {
            let Some(front) = self.slots.pop_front() else { break };
            self.handled_through = front.next() - 1;
            self.unhandled_cost -= front.cost;
            if front.is_gap() && !(self.finished && front.next() == self.next) {
                self.gaps -= u64::from(front.count);
            }
            if front.end == 0 {
                self.unacked_cost += front.cost;
            } else {
                // Releasing it acknowledges it and all before it.
                self.releasable = front.end;
                self.acked = self.handled_through;
                self.unacked_cost = 0;
            }
        }
        self.release_partial();
        self.given_back.forget(self.handled_through);
    }

    /// The sender waits for an acknowledgement of what it has sent.
    pub(crate) fn request_ack(&mut self) {
        self.ack_requested_through = self.next - 1;
    }

    #[inline]
    pub(crate) fn ack_pending(&self) -> bool {
        self.handled_through > self.acked
    }

    /// Whether the sender needs the acknowledgement now.
    #[inline]
    pub(crate) fn ack_urgent(&self) -> bool {
        self.ack_pending()
            && (self.unacked_cost >= self.sender_limit / ACK_EVERY
                || self.ack_requested_through > self.acked
                    && self.handled_through >= self.ack_requested_through
                || self.finished && self.handled_through + 1 == self.next)
    }

    pub(crate) fn take_ack(&mut self) -> u64 {
        self.acked = self.handled_through;
        self.unacked_cost = 0;
        self.acked
    }

    /// The window invariant, seen from the receiver.
    pub(crate) fn assert_credit_is_conserved(&self) {
        assert_eq!(self.unhandled_cost, self.slots.iter().map(|slot| slot.cost).sum::<usize>());
        let end = self.finished.then(|| self.next - 1);
        let gaps = self.slots.iter().filter(|slot| slot.is_gap() && Some(slot.first) != end);
        assert_eq!(self.gaps, gaps.map(|slot| u64::from(slot.count)).sum::<u64>());
        let received: u64 = self.slots.iter().map(|slot| u64::from(slot.count)).sum();
        assert_eq!(self.next, self.handled_through + 1 + received);
    }
}
