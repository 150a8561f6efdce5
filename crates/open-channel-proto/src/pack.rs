//! Several small messages in one piece, so that the cost of a piece on its way is paid once.
//!
//! ```text
//!   one message        ┌─────────┐
//!                      │  bytes  │
//!                      └─────────┘
//!   several messages   ┌────────────┬─────────┬────────────┬─────────┐
//!                      │ length u32 │  bytes  │ length u32 │  bytes  │ ...
//!                      └────────────┴─────────┴────────────┴─────────┘
//! ```
//!
//! A pack is sent, stored, received, acknowledged and sent again as a whole. Each message in it has
//! its own sequence number, and the pack is acknowledged when all of them are handled.

use bytes::{Buf, Bytes};

use crate::error::ProtocolError;
use crate::limits::{MAX_PACK_COST, message_cost};

/// Length of the number before each message of several.
pub(crate) const PREFIX: usize = 4;

/// One message, or several small ones in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    bytes: Bytes,
    count: u32,
    longest: usize,
}

impl Pack {
    /// A single message.
    pub fn one(message: Bytes) -> Self {
        Self { longest: message.len(), bytes: message, count: 1 }
    }

    /// Several messages as they came in.
    ///
    /// # Errors
    /// If they are no pack: fewer than two messages, lengths that do not add up, a message of more
    /// than `max_message` bytes, more than [`MAX_PACK_COST`] together.
    pub(crate) fn several(bytes: Bytes, max_message: usize) -> Result<Self, ProtocolError> {
        let (mut rest, mut count, mut longest) = (&bytes[..], 0_u32, 0);
        while !rest.is_empty() {
            let (message, after) = split_first(rest)
                .ok_or(ProtocolError::Unexpected("a pack whose lengths do not add up"))?;
            longest = longest.max(message.len());
            count += 1;
            rest = after;
        }
        if count < 2 {
            return Err(ProtocolError::Unexpected("a pack of fewer than two messages"));
        }
        if longest > max_message {
            return Err(ProtocolError::MessageTooLarge { len: longest, max: max_message });
        }
        let pack = Self { bytes, count, longest };
        if pack.cost() > MAX_PACK_COST {
            return Err(ProtocolError::Unexpected("a pack that is too large"));
        }
        Ok(pack)
    }

    /// The messages of a packer, which has counted and measured them.
    pub(crate) fn from_packer(bytes: Bytes, count: u32, longest: usize) -> Self {
        Self { bytes, count, longest }
    }

    /// Several messages that this side has packed itself, or checked before.
    pub(crate) fn of_own(bytes: Bytes, count: u32) -> Self {
        Self { longest: bytes.len(), bytes, count }
    }

    /// Each of its messages by itself, without a copy.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        let messages: Vec<Bytes> =
            self.iter().map(|message| self.bytes.slice_ref(message)).collect();
        messages.into_iter()
    }

    /// How many messages it has; never 0.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Length of its longest message, in bytes.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Its cost in windows and outboxes, in bytes: as much as its messages one by one.
    pub fn cost(&self) -> usize {
        pack_cost(self.bytes.len(), self.count)
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The only message's bytes, or all messages with their lengths.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The messages, in order.
    pub fn iter(&self) -> PackIter<'_> {
        PackIter::new(&self.bytes, self.count)
    }

    /// Takes the first message out, and says whether that was the last one.
    pub(crate) fn pop_front(&mut self) -> (Bytes, bool) {
        if self.count == 1 {
            return (std::mem::take(&mut self.bytes), true);
        }
        // A copy, so that a small message that lives long does not hold the memory of the whole
        // pack.
        let first = split_first(&self.bytes)
            .map_or(Bytes::new(), |(first, _)| Bytes::copy_from_slice(first));
        self.bytes.advance((PREFIX + first.len()).min(self.bytes.len()));
        self.count -= 1;
        if self.count == 1 {
            self.bytes.advance(PREFIX.min(self.bytes.len()));
        }
        if first.len() == self.longest {
            self.longest = self.longest_up_to(first.len());
        }
        (first, false)
    }

    /// Length of its longest message, if none is longer than `most`. The search stops at the first
    /// one of that length.
    fn longest_up_to(&self, most: usize) -> usize {
        let mut longest = 0;
        for message in self.iter() {
            longest = longest.max(message.len());
            if longest == most {
                break;
            }
        }
        longest
    }
}

/// The messages of a [`Pack`]; from [`Pack::iter`] or [`PackRef::iter`](crate::PackRef::iter).
#[derive(Debug, Clone)]
pub struct PackIter<'a> {
    bytes: &'a [u8],
    left: u32,
    raw: bool,
}

impl<'a> PackIter<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u32) -> Self {
        Self { bytes, left: count, raw: count == 1 }
    }
}

impl<'a> Iterator for PackIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        if self.raw {
            return Some(self.bytes);
        }
        let (message, rest) = split_first(self.bytes)?;
        self.bytes = rest;
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for PackIter<'_> {}

#[inline]
fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Cost of several messages of `len` bytes together, lengths included.
pub(crate) fn pack_cost(len: usize, count: u32) -> usize {
    let extra = count.saturating_sub(1) as usize;
    match count {
        0 | 1 => message_cost(len),
        // Each message's length counts for a part of its overhead.
        _ => message_cost(len - PREFIX).saturating_add(extra * (message_cost(0) - PREFIX)),
    }
}

/// Whether these bytes are so many messages, of any content.
pub(crate) fn is_of(bytes: &Bytes, count: u32) -> bool {
    count == 1 || Pack::several(bytes.clone(), usize::MAX).is_ok_and(|pack| pack.count() == count)
}
