//! Several small messages in one piece, so that what a piece costs on its way is paid once for all of them.
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
//! A pack is sent, stored, received, acknowledged and sent again as a whole; each message in it has its own sequence
//! number, and the pack is acknowledged when all of them are handled.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::session::{ProtocolError, message_cost};

/// Most that the messages of one pack cost together; a message that alone costs more is a pack of its own.
pub const MAX_PACK_COST: usize = 32 * 1024;

/// Length of the number before each message of several.
const PREFIX: usize = 4;

/// One message, or several small ones in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    bytes: Bytes,
    count: u32,
    longest: usize,
}

/// What several messages of `len` bytes together, lengths included, cost.
pub(crate) fn pack_cost(len: usize, count: u32) -> usize {
    let extra = count.saturating_sub(1) as usize;
    match count {
        0 | 1 => message_cost(len),
        // Each message's length stands in for a part of its overhead.
        _ => message_cost(len - PREFIX).saturating_add(extra * (message_cost(0) - PREFIX)),
    }
}

/// Whether these bytes are so many messages, whatever they say.
pub(crate) fn is_of(bytes: &Bytes, count: u32) -> bool {
    count == 1 || Pack::several(bytes.clone(), usize::MAX).is_ok_and(|pack| pack.count() == count)
}

impl Pack {
    /// A single message.
    pub fn one(message: Bytes) -> Self {
        Self { longest: message.len(), bytes: message, count: 1 }
    }

    /// Several messages as they came in.
    ///
    /// # Errors
    /// When they are not what a pack may be: fewer than two, lengths that do not add up, a message of more than
    /// `max_message` bytes, more than [`MAX_PACK_COST`] together.
    pub(crate) fn several(bytes: Bytes, max_message: usize) -> Result<Self, ProtocolError> {
        let (mut rest, mut count, mut longest) = (&bytes[..], 0_u32, 0);
        while !rest.is_empty() {
            let (message, after) =
                split_first(rest).ok_or(ProtocolError::Unexpected("a pack whose lengths do not add up"))?;
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

    /// How many messages it has; never 0.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Length of its longest message.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// What it costs in windows and outboxes: as much as its messages one by one.
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
    pub fn iter(&self) -> Messages<'_> {
        Messages { bytes: &self.bytes, left: self.count, raw: self.count == 1 }
    }

    /// Takes the first message out, and says whether that was the last one.
    pub(crate) fn pop_front(&mut self) -> (Bytes, bool) {
        if self.count == 1 {
            return (std::mem::take(&mut self.bytes), true);
        }
        // Copied, so that a small message that is kept does not keep the whole pack.
        let first = split_first(&self.bytes).map_or(Bytes::new(), |(first, _)| Bytes::copy_from_slice(first));
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

    /// Length of its longest message, when none is longer than `most`: looks no further than one of that length.
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

/// The messages of a [`Pack`]; from [`Pack::iter`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    left: u32,
    raw: bool,
}

impl<'a> Iterator for Messages<'a> {
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

impl ExactSizeIterator for Messages<'_> {}

#[inline]
fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Messages side by side, cut into [`Pack`]s as they come in.
#[derive(Debug, Default)]
pub struct Packer {
    /// Each message behind its length, those of one pack after those of the one before.
    bytes: BytesMut,
    packs: std::collections::VecDeque<Mark>,
    count: usize,
}

/// Where a pack ends, counted from where it begins, and what it is.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    len: usize,
    count: u32,
    longest: usize,
}

impl Mark {
    /// The bytes that travel, of those that lie in the packer.
    fn travels(self) -> std::ops::Range<usize> {
        if self.count == 1 { PREFIX..self.len } else { 0..self.len }
    }
}

/// A pack that still lies in its [`Packer`].
#[derive(Debug, Clone, Copy)]
pub struct Next<'a> {
    /// The bytes that travel.
    pub bytes: &'a [u8],
    /// How many messages it has.
    pub count: u32,
    /// Length of its longest message.
    pub longest: usize,
}

impl Next<'_> {
    /// As [`Pack::cost`].
    pub fn cost(&self) -> usize {
        pack_cost(self.bytes.len(), self.count)
    }
}

impl Packer {
    /// Copies a message behind the others.
    ///
    /// # Panics
    /// If it is longer than `u32::MAX` bytes.
    #[inline]
    pub fn push(&mut self, message: &[u8]) {
        let len = u32::try_from(message.len()).expect("a message is shorter than 4 GiB");
        self.bytes.reserve(PREFIX + message.len());
        self.bytes.put_u32_le(len);
        self.bytes.extend_from_slice(message);
        self.mark(message.len());
    }

    #[inline]
    fn mark(&mut self, len: usize) {
        self.count += 1;
        let longer = PREFIX + len;
        if let Some(last) = self.packs.back_mut()
            && pack_cost(last.len + longer, last.count + 1) <= MAX_PACK_COST
        {
            last.len += longer;
            last.count += 1;
            last.longest = last.longest.max(len);
            return;
        }
        self.packs.push_back(Mark { len: longer, count: 1, longest: len });
    }

    /// Messages in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether it has no messages.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that the messages take here, lengths included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The first pack, to be taken from where it lies; followed by [`skip`](Self::skip).
    pub fn peek(&self) -> Option<Next<'_>> {
        let mark = self.packs.front()?;
        Some(Next { bytes: &self.bytes[mark.travels()], count: mark.count, longest: mark.longest })
    }

    /// Forgets the first pack.
    pub fn skip(&mut self) {
        if let Some(mark) = self.packs.pop_front() {
            self.count -= mark.count as usize;
            self.bytes.advance(mark.len);
        }
    }

    /// Takes the first pack out.
    pub fn pop(&mut self) -> Option<Pack> {
        let mark = self.packs.pop_front()?;
        self.count -= mark.count as usize;
        let bytes = self.bytes.split_to(mark.len).freeze().slice(mark.travels());
        Some(Pack { bytes, count: mark.count, longest: mark.longest })
    }

    /// Forgets all messages, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.packs.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(messages: &[&[u8]]) -> Packer {
        let mut packer = Packer::default();
        messages.iter().for_each(|message| packer.push(message));
        packer
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let messages: [&[u8]; 4] = [b"a", b"", b"longer", b""];
        let pack = packed(&messages).pop().expect("a pack");
        assert_eq!(pack.iter().collect::<Vec<_>>(), messages);
        let checked = Pack::several(pack.bytes().clone(), 6).expect("what a packer makes is right");
        assert_eq!(checked, pack);
    }

    #[test]
    fn messages_are_taken_out_one_by_one() {
        let mut pack = packed(&[b"a", b"", b"longer"]).pop().expect("a pack");
        assert_eq!(pack.pop_front(), (Bytes::from_static(b"a"), false));
        assert_eq!(pack.iter().collect::<Vec<_>>(), [&b""[..], b"longer"]);
        assert_eq!(pack.pop_front(), (Bytes::new(), false));
        assert_eq!(pack.iter().collect::<Vec<_>>(), [b"longer"]);
        assert_eq!(pack.pop_front(), (Bytes::from_static(b"longer"), true));
    }

    #[test]
    fn what_is_left_of_a_pack_is_as_long_as_its_longest_message() {
        let mut pack = packed(&[b"long", b"longer", b"x", b"longer", b"", b"xy"]).pop().expect("a pack");
        let longest: Vec<usize> = std::iter::from_fn(|| {
            let longest = pack.longest();
            (!pack.pop_front().1).then_some(longest)
        })
        .collect();
        assert_eq!(longest, [6, 6, 6, 6, 2]);
        assert_eq!(pack.longest(), 2);
    }

    #[test]
    fn one_message_travels_bare() {
        assert_eq!(packed(&[b"alone"]).pop(), Some(Pack::one(Bytes::from_static(b"alone"))));
        let packer = packed(&[b"alone"]);
        assert_eq!(packer.peek().map(|next| next.bytes), Some(&b"alone"[..]));
    }

    #[test]
    fn a_pack_costs_what_its_messages_cost() {
        let pack = packed(&[b"a", b"", b"longer"]).pop().expect("a pack");
        assert_eq!(pack.cost(), message_cost(1) + message_cost(0) + message_cost(6));
        assert_eq!(Pack::one(Bytes::new()).cost(), message_cost(0));
    }

    #[test]
    fn packs_are_cut_at_their_limit() {
        let mut packer = Packer::default();
        let each = 512 - message_cost(0);
        for _ in 0..MAX_PACK_COST / 512 + 1 {
            packer.push(&vec![1; each]);
        }
        packer.push(&vec![2; MAX_PACK_COST]);
        packer.push(b"3");
        let counts: Vec<u32> = std::iter::from_fn(|| packer.pop()).map(|pack| pack.count()).collect();
        assert_eq!(counts, [64, 1, 1, 1]);
        assert_eq!((packer.is_empty(), packer.len()), (true, 0));
    }

    #[test]
    fn no_bytes_from_outside_make_a_wrong_pack() {
        let several = |bytes: &[u8]| Pack::several(Bytes::copy_from_slice(bytes), 8);
        assert!(several(b"").is_err(), "none");
        assert!(several(b"\x01\0\0\0a").is_err(), "one");
        assert!(several(b"\x01\0\0\0a\x02\0\0\0b").is_err(), "cut short");
        assert!(several(b"\x01\0\0\0a\0\0").is_err(), "half a length");
        assert!(several(b"\xff\xff\xff\xffa").is_err(), "four gigabytes");
        assert!(several(&[[9, 0, 0, 0].as_slice(), &[0; 9], &[0; 4]].concat()).is_err(), "too long");
        assert!(several(&vec![0; 4 * (MAX_PACK_COST / message_cost(0))]).is_ok(), "as many as may be");
        assert!(several(&vec![0; 4 * (MAX_PACK_COST / message_cost(0) + 1)]).is_err(), "too many");
    }
}
