//! Small messages side by side, cut into packs as they come in.

use std::collections::VecDeque;
use std::{fmt, io};

use bytes::Bytes;

use crate::limits::{MAX_PACK_COST, message_cost};
use crate::pack::{PREFIX, Pack, PackIter};

/// Collects messages and cuts them into [`Pack`]s.
#[derive(Debug, Default)]
pub struct Packer {
    /// Packs that do not grow any more.
    sealed: VecDeque<Open>,
    open: Open,
    /// Memory of a pack that was sent from here.
    spare: Vec<u8>,
}

/// A pack that may still grow.
#[derive(Debug, Default)]
struct Open {
    /// Each message behind its length. Bytes behind `end` are a draft, or were one that was
    /// dropped.
    bytes: Vec<u8>,
    end: usize,
    count: u32,
    longest: usize,
}

/// A pack that still lies in its [`Packer`]; from [`Packer::peek`].
#[derive(Debug, Clone, Copy)]
pub struct PackRef<'a> {
    /// The bytes that travel.
    pub bytes: &'a [u8],
    /// How many messages it has.
    pub count: u32,
    /// Length of its longest message, in bytes.
    pub longest: usize,
    /// As [`Pack::cost`].
    pub cost: usize,
}

impl<'a> PackRef<'a> {
    /// The messages, in order.
    pub fn iter(&self) -> PackIter<'a> {
        PackIter::new(self.bytes, self.count)
    }

    /// One message.
    #[inline]
    pub fn of(message: &'a [u8]) -> Self {
        let len = message.len();
        PackRef { bytes: message, count: 1, longest: len, cost: message_cost(len) }
    }
}

impl Open {
    /// Forgets the messages and leaves the memory, which the nearest cache still has.
    fn clear(&mut self) {
        self.bytes.clear();
        (self.end, self.count, self.longest) = (0, 0, 0);
    }

    /// Where the bytes that travel begin: a single message travels without its length.
    fn start(&self) -> usize {
        if self.count == 1 { PREFIX } else { 0 }
    }

    /// As [`Pack::cost`]; each message's length counts for a part of its overhead.
    #[inline]
    fn cost(&self) -> usize {
        self.end + self.count as usize * (message_cost(0) - PREFIX)
    }

    /// Whether a message of `len` bytes belongs into the next one.
    #[inline]
    fn is_full_for(&self, len: usize) -> bool {
        self.cost() + message_cost(len) > MAX_PACK_COST
    }

    #[inline]
    fn give_draft_up(&mut self) {
        self.bytes.truncate(self.end);
    }

    /// The draft, of so many bytes, is the next message.
    #[inline]
    fn finish(&mut self, prefix: [u8; PREFIX], len: usize) {
        self.bytes[self.end..][..PREFIX].copy_from_slice(&prefix);
        self.end = self.bytes.len();
        self.count += 1;
        self.longest = self.longest.max(len);
    }
}

/// A message that is being written behind the others of a batch.
///
/// The message counts when it is [committed](Self::commit). A draft that is dropped or forgotten
/// leaves nothing but memory to be used again. The message lies where it is sent from. If it
/// becomes too long to travel with those before it, it is moved once. Its length is checked when
/// the batch is sent.
#[must_use = "a draft counts for nothing until it is committed"]
pub struct Draft<'a> {
    packer: &'a mut Packer,
}

impl Draft<'_> {
    /// Writes `bytes` behind what was written so far.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.packer.open.bytes.extend_from_slice(bytes);
    }

    /// Bytes written so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.packer.open.bytes.len() - self.packer.open.end - PREFIX
    }

    /// Whether nothing was written yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes written so far are the next message.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    #[inline]
    pub fn commit(self) {
        let len = self.len();
        let prefix = prefix(len);
        if self.packer.open.is_full_for(len) {
            self.packer.seal();
        }
        self.packer.open.finish(prefix, len);
    }
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("len", &self.len()).finish()
    }
}

/// Never fails and never writes less than asked for.
impl io::Write for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[inline]
fn prefix(len: usize) -> [u8; PREFIX] {
    u32::try_from(len).expect("a message is shorter than 4 GiB").to_le_bytes()
}

impl Packer {
    /// Copies a message behind the others.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    #[inline]
    pub fn push(&mut self, message: &[u8]) {
        let prefix = prefix(message.len());
        self.open.give_draft_up();
        if self.open.is_full_for(message.len()) {
            self.seal();
        }
        self.draft().append(message);
        self.open.finish(prefix, message.len());
    }

    /// An empty message behind the others, to be written.
    #[inline]
    pub fn draft(&mut self) -> Draft<'_> {
        self.open.give_draft_up();
        if self.open.is_full_for(0) {
            self.seal();
        }
        self.open.bytes.extend_from_slice(&[0; PREFIX]);
        Draft { packer: self }
    }

    /// The open pack takes no more messages. A draft goes into the next one.
    #[cold]
    fn seal(&mut self) {
        if self.open.count > 0 {
            let mut pack = self.replace_open();
            self.open.bytes.extend_from_slice(&pack.bytes[pack.end..]);
            pack.give_draft_up();
            // The draft may have been much longer than the pack, which may live long.
            pack.bytes.shrink_to(2 * MAX_PACK_COST);
            self.sealed.push_back(pack);
        }
    }

    fn replace_open(&mut self) -> Open {
        let next = Open { bytes: std::mem::take(&mut self.spare), ..Open::default() };
        std::mem::replace(&mut self.open, next)
    }

    /// Forgets all messages, but not the memory of those that were pushed last.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.open.clear();
    }

    /// Number of messages in it.
    pub fn count(&self) -> usize {
        self.sealed.iter().chain([&self.open]).map(|pack| pack.count as usize).sum()
    }

    /// Whether it has no messages.
    pub fn is_empty(&self) -> bool {
        self.open.count == 0 && self.sealed.is_empty()
    }

    /// Whether the first pack is as large as it gets, if the next message is no smaller than those
    /// in it.
    #[inline]
    pub fn is_full(&self) -> bool {
        !self.sealed.is_empty() || self.open.is_full_for(self.open.longest)
    }

    /// Cost of its messages together in windows and outboxes, in bytes.
    pub fn cost(&self) -> usize {
        self.sealed.iter().chain([&self.open]).map(Open::cost).sum()
    }

    /// The first pack, where it lies; followed by [`skip`](Self::skip).
    pub fn peek(&self) -> Option<PackRef<'_>> {
        let pack = self.sealed.front().unwrap_or(&self.open);
        let Open { ref bytes, end, count, longest } = *pack;
        (count > 0).then(|| PackRef {
            bytes: &bytes[pack.start()..end],
            count,
            longest,
            cost: pack.cost(),
        })
    }

    /// Forgets the first pack.
    pub fn skip(&mut self) {
        match self.sealed.pop_front() {
            Some(mut pack) => {
                pack.bytes.clear();
                self.spare = pack.bytes;
            }
            None => self.open.clear(),
        }
    }

    /// Takes the first pack out.
    pub fn pop(&mut self) -> Option<Pack> {
        let mut pack = self.sealed.pop_front().unwrap_or_else(|| self.replace_open());
        pack.give_draft_up();
        pack.bytes.shrink_to(2 * MAX_PACK_COST);
        let (start, Open { bytes, count, longest, .. }) = (pack.start(), pack);
        (count > 0).then(|| Pack::from_packer(Bytes::from(bytes).slice(start..), count, longest))
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
        let mut pack =
            packed(&[b"long", b"longer", b"x", b"longer", b"", b"xy"]).pop().expect("a pack");
        let longest: Vec<usize> = std::iter::from_fn(|| {
            let longest = pack.longest();
            (!pack.pop_front().1).then_some(longest)
        })
        .collect();
        assert_eq!(longest, [6, 6, 6, 6, 2]);
        assert_eq!(pack.longest(), 2);
    }

    fn drafted(packer: &mut Packer, message: &[u8]) {
        let mut draft = packer.draft();
        message.chunks(1000).for_each(|bytes| draft.append(bytes));
        assert_eq!(draft.len(), message.len());
        draft.commit();
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let mut packer = packed(&[b"a"]);
        packer.draft().append(b"dropped");
        assert_eq!(packer.peek().map(|next| next.bytes), Some(&b"a"[..]));
        assert_eq!((packer.count(), packer.cost()), (1, message_cost(1)));
        drafted(&mut packer, b"longer");
        packer.draft().append(b"dropped");
        packer.push(&[3; MAX_PACK_COST]);
        packer.draft().append(b"dropped");
        assert_eq!(packer.pop(), packed(&[b"a", b"longer"]).pop());
        packer.skip();
        assert!(packer.is_empty() && packer.pop().is_none());
    }

    #[test]
    fn drafts_are_cut_into_packs_as_other_messages_are() {
        let lens = [
            0,
            1,
            100,
            5000,
            MAX_PACK_COST / 2,
            MAX_PACK_COST / 2,
            MAX_PACK_COST,
            3,
            MAX_PACK_COST + 1,
            4,
        ];
        let messages: Vec<Vec<u8>> =
            lens.iter().zip(0..).map(|(len, fill)| vec![fill; *len]).collect();
        let pushed = &mut packed(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut packer = Packer::default();
        for _ in 0..2 {
            messages.iter().for_each(|message| drafted(&mut packer, message));
            packer.skip();
        }
        packer.clear();
        messages.iter().for_each(|message| drafted(&mut packer, message));
        let all = |packer: &mut Packer| std::iter::from_fn(|| packer.pop()).collect::<Vec<_>>();
        assert_eq!(all(&mut packer), all(pushed));
    }

    #[test]
    fn a_short_message_does_not_keep_the_memory_of_a_long_draft() {
        let mut packer = packed(&[b"short"]);
        drafted(&mut packer, &vec![1; 100 * MAX_PACK_COST]);
        assert!(packer.sealed[0].bytes.capacity() <= 2 * MAX_PACK_COST);
        let mut packer = packed(&[b"short"]);
        packer.draft().append(&vec![1; 100 * MAX_PACK_COST]);
        let pack = packer.pop().map(Pack::into_bytes).and_then(|bytes| bytes.try_into_mut().ok());
        assert!(pack.is_some_and(|bytes| bytes.capacity() <= 2 * MAX_PACK_COST));
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
        let counts: Vec<u32> =
            std::iter::from_fn(|| packer.pop()).map(|pack| pack.count()).collect();
        assert_eq!(counts, [64, 1, 1, 1]);
        assert!(packer.is_empty() && packer.cost() == 0);
    }

    #[test]
    fn no_bytes_from_outside_make_a_wrong_pack() {
        let several = |bytes: &[u8]| Pack::several(Bytes::copy_from_slice(bytes), 8);
        assert!(several(b"").is_err(), "none");
        assert!(several(b"\x01\0\0\0a").is_err(), "one");
        assert!(several(b"\x01\0\0\0a\x02\0\0\0b").is_err(), "cut short");
        assert!(several(b"\x01\0\0\0a\0\0").is_err(), "half a length");
        assert!(several(b"\xff\xff\xff\xffa").is_err(), "four gigabytes");
        assert!(
            several(&[[9, 0, 0, 0].as_slice(), &[0; 9], &[0; 4]].concat()).is_err(),
            "too long"
        );
        assert!(
            several(&vec![0; 4 * (MAX_PACK_COST / message_cost(0))]).is_ok(),
            "as many as may be"
        );
        assert!(several(&vec![0; 4 * (MAX_PACK_COST / message_cost(0) + 1)]).is_err(), "too many");
    }
}
