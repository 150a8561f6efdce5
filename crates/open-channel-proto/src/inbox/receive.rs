//! Receiving from the link, in frames or out of its store.

use bytes::{Bytes, BytesMut};

use super::Inbox;
use super::partial::Partial;
use super::ready::Ready;
use super::slot::Slot;
use crate::error::ProtocolError;
use crate::frame::DataFlags;
use crate::limits::{MAX_PACK_COST, message_cost};
use crate::message::ReceivedPack;
use crate::pack::Pack;
use crate::part::{PartKind, ReceivedPart};
use crate::version::ATTEMPTS;

impl Inbox {
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

    /// Takes a part out of the link's store. `fill` appends its bytes, once they are checked.
    pub(crate) fn part(
        &mut self,
        part: ReceivedPart,
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

    /// Whether [`part_apart`](Self::part_apart) may take a whole message of `len` bytes that is no
    /// pack. If not, [`part`](Self::part) has the reason.
    #[inline]
    pub(crate) fn may_take_apart(&self, len: usize) -> bool {
        self.ready.is_empty()
            && self.expect_part(PartKind::Whole).is_ok()
            && self.check_size(len as u64, false).is_ok()
    }

    /// Takes a whole message out of the link's store without its bytes, and past what is ready.
    /// Returns its number.
    #[inline]
    pub(crate) fn part_apart(&mut self, len: usize, end: u64) -> u64 {
        debug_assert!(self.may_take_apart(len), "it was asked before");
        let seq = self.next;
        self.arrived(1, message_cost(len), end);
        seq
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

    /// The number that is due is a gap.
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
            // Any number of gaps in a row takes the memory of one.
            Some(gap) => {
                gap.count =
                    gap.count.checked_add(1).ok_or(ProtocolError::Unexpected("too many gaps"))?;
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

    fn add(
        &mut self,
        len: usize,
        end: u64,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), ProtocolError> {
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

    fn complete(
        &mut self,
        payload: Bytes,
        packed: bool,
        attempt: u32,
        end: u64,
    ) -> Result<(), ProtocolError> {
        let pack = if packed {
            Pack::several(payload, self.limits.max_message)?
        } else {
            Pack::one(payload)
        };
        let (count, cost) = (pack.count(), pack.cost());
        self.check_window(cost)?;
        self.ready.push_back(Ready::Messages(ReceivedPack { first: self.next, pack, attempt }));
        self.arrived(count, cost, end);
        Ok(())
    }

    #[inline]
    fn arrived(&mut self, count: u32, cost: usize, end: u64) {
        self.slots.push_back(Slot { first: self.next, count, unhandled: count, cost, end });
        self.next += u64::from(count);
        self.unhandled_cost += cost;
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

    /// Length and window are checked before memory is allocated.
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
}
