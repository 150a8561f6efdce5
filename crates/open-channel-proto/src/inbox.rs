//! The receiving half of a session: duplicates dropped, parts put together, handled messages counted.
//!
//! ```text
//!     handled_through                    next
//!   ────────┴──────────────────────────────┴───▶ sequence numbers
//!    acked or    received; each slot says       not received
//!    ackable     whether it is handled
//! ```

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::frame::DataFlags;
use crate::session::{Incoming, Limits, ProtocolError, message_cost};

/// The part of the window after which an acknowledgement no longer waits for company.
const ACK_EVERY: usize = 4;

/// Memory set aside for a message on the word of its sender alone; beyond it, memory grows with what arrives.
const MAX_RESERVE: usize = 1 << 20;

#[derive(Debug)]
struct Slot {
    cost: usize,
    handled: bool,
}

#[derive(Debug)]
struct Partial {
    bytes: BytesMut,
    total: usize,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    first: u64,
    next: u64,
    partial: Option<Partial>,
    ready: VecDeque<Incoming>,
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
}

impl Inbox {
    pub(crate) fn new(first: u64, limits: Limits) -> Self {
        Self {
            first,
            next: first,
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
    pub(crate) fn attach(&mut self, sender_outbox: u64) {
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
        if seq < self.next {
            return Ok(());
        }
        self.expect(seq)?;
        if flags.first {
            if self.partial.is_some() {
                return Err(ProtocolError::Unexpected("a message that begins inside another"));
            }
            let total = self.check_size(total)?;
            if flags.last {
                return self.complete(Bytes::copy_from_slice(payload), flags.redelivered);
            }
            self.partial = Some(Partial { bytes: BytesMut::with_capacity(total.min(MAX_RESERVE)), total });
        }
        let Some(partial) = &mut self.partial else {
            return Err(ProtocolError::Unexpected("a part of a message that never began"));
        };
        if payload.is_empty() || partial.bytes.len() + payload.len() > partial.total {
            return Err(ProtocolError::Unexpected("parts that do not add up to their message"));
        }
        partial.bytes.extend_from_slice(payload);
        if !flags.last {
            return Ok(());
        }
        match self.partial.take() {
            Some(whole) if whole.bytes.len() == whole.total => {
                self.complete(whole.bytes.freeze(), flags.redelivered)
            }
            _ => Err(ProtocolError::Unexpected("parts that do not add up to their message")),
        }
    }

    pub(crate) fn fin(&mut self, seq: u64) -> Result<(), ProtocolError> {
        if seq < self.next {
            return Ok(());
        }
        self.expect(seq)?;
        if self.partial.is_some() {
            return Err(ProtocolError::Unexpected("an end inside a message"));
        }
        self.next += 1;
        self.finished = true;
        self.slots.push_back(Slot { cost: 0, handled: false });
        self.ready.push_back(Incoming::End { seq });
        Ok(())
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
    fn check_size(&self, total: u64) -> Result<usize, ProtocolError> {
        let max = self.limits.max_message;
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if total > max {
            return Err(ProtocolError::MessageTooLarge { len: total, max });
        }
        let held = self.unhandled_cost;
        if held > 0 && held.saturating_add(message_cost(total)) > self.limits.window {
            return Err(ProtocolError::WindowExceeded { window: self.limits.window });
        }
        Ok(total)
    }

    fn complete(&mut self, payload: Bytes, redelivered: bool) -> Result<(), ProtocolError> {
        let cost = message_cost(payload.len());
        let seq = self.next;
        self.next += 1;
        self.unhandled_cost += cost;
        self.slots.push_back(Slot { cost, handled: false });
        self.ready.push_back(Incoming::Message { seq, payload, redelivered });
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Option<Incoming> {
        self.ready.pop_front()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Drops what the application will not take any more.
    pub(crate) fn discard(&mut self) {
        self.ready.clear();
        self.partial = None;
    }

    pub(crate) fn handled(&mut self, seq: u64) {
        let Some(index) = seq.checked_sub(self.handled_through + 1) else { return };
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.handled = true;
        while self.slots.front().is_some_and(|slot| slot.handled) {
            let Some(front) = self.slots.pop_front() else { break };
            self.handled_through += 1;
            self.unhandled_cost -= front.cost;
            self.unacked_cost += front.cost;
        }
    }

    /// The sender waits for an acknowledgement of what it has sent.
    pub(crate) fn request_ack(&mut self) {
        self.ack_requested_through = self.next - 1;
    }

    pub(crate) fn ack_pending(&self) -> bool {
        self.handled_through > self.acked
    }

    /// Whether the sender needs the acknowledgement now.
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
        assert_eq!(self.next, self.handled_through + 1 + self.slots.len() as u64);
    }
}
