//! Received messages that are read where they arrived.

use std::fmt;
use std::io;
use std::slice::ChunksExact;
use std::sync::Arc;
use std::time::Duration;

use open_channel_ring::{ClaimedRecord, Mapped, Record};

use crate::connection::Connection;
use crate::connection::received::InPlace;
use crate::socket::message::{Message, MessageId};

/// A received message to read piece by piece, from
/// [`Socket::recv_reader`](crate::Socket::recv_reader).
///
/// On a ring, a message that fits in one record stays where its sender wrote it.
/// [`read`](io::Read::read) copies from there into the caller's buffer: nothing is allocated, and
/// bytes that are not read are not copied. Each byte is read once. The message cannot be borrowed,
/// because the other process could change it meanwhile.
///
/// Other messages were copied before, as for [`recv`](crate::Socket::recv): those that came over
/// another link, in parts, in a batch, or for a second time.
///
/// [`ack`](Self::ack) acknowledges the message, whether it was read to its end or not. Dropped
/// otherwise, it is given back, as a [`Message`] is. It takes up its place in the ring until it is
/// acknowledged.
#[must_use = "a message that is not acknowledged with `ack` is delivered again"]
pub struct MessageReader {
    /// Empty, if the message is still in the ring.
    message: Message,
    claimed: Option<ClaimedRecord<Mapped>>,
    /// Bytes of it that were read.
    at: usize,
}

impl MessageReader {
    #[inline]
    pub(crate) fn new(connection: &Arc<Connection>, received: InPlace) -> Self {
        let InPlace { message, claimed } = received;
        Self { message: Message::new(connection, message), claimed, at: 0 }
    }

    /// The message's length in bytes.
    pub fn len(&self) -> usize {
        self.claimed.as_ref().map_or(self.message.len(), |claimed| claimed.record().len())
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that were not read yet.
    pub fn remaining(&self) -> usize {
        self.len() - self.at
    }

    /// Whether the message is read in place, from memory that the other side wrote.
    pub fn is_in_place(&self) -> bool {
        self.claimed.is_some()
    }

    /// The message's stable identity.
    pub fn id(&self) -> MessageId {
        self.message.id()
    }

    /// As [`Message::redelivered`].
    pub fn redelivered(&self) -> bool {
        self.message.redelivered()
    }

    /// As [`Message::attempt`].
    pub fn attempt(&self) -> u32 {
        self.message.attempt()
    }

    /// Reads the rest of the message in blocks of 64 bytes. A last piece that is shorter than a
    /// block stays unread. The blocks count as read at once, whether they are taken or not.
    ///
    /// In place, a block is loaded into the processor's registers, and is never copied to other
    /// memory. This is fastest when a multiple of eight bytes was read before. A forked child gets
    /// no block of its parent's message.
    #[inline]
    pub fn blocks(&mut self) -> impl Iterator<Item = [u8; 64]> + '_ {
        let inherited = self.message.check_process().is_err();
        let (at, count) = (self.at, if inherited { 0 } else { self.remaining() / 64 });
        self.at += count * 64;
        match &self.claimed {
            _ if inherited => Blocks::Bytes([].chunks_exact(64)),
            Some(claimed) if at.is_multiple_of(8) => {
                Blocks::InPlace(claimed.record().blocks_at(at))
            }
            Some(claimed) => Blocks::Copied { record: claimed.record(), at, count },
            None => Blocks::Bytes(self.message[at..].chunks_exact(64)),
        }
    }

    /// Acknowledges the message: it is handled, and never delivered again.
    #[inline]
    pub fn ack(mut self) {
        self.message.acknowledge();
    }

    /// As [`Message::nack`]. Bytes that were read are delivered again, too.
    pub fn nack(self) {
        self.nack_after(Duration::ZERO);
    }

    /// As [`Message::nack_after`]. Bytes that were read are delivered again, too.
    pub fn nack_after(mut self, pause: Duration) {
        self.copy_out();
        self.message.give_back(pause);
    }

    /// As [`Message::reject`].
    pub fn reject(mut self, reason: &str) {
        self.message.give_up(reason);
    }

    /// Copies the message out of the ring, from where it cannot be delivered again.
    fn copy_out(&mut self) {
        // A forked child does not read its parent's ring.
        if self.message.check_process().is_ok()
            && let Some(claimed) = self.claimed.take()
        {
            self.message.set_payload(claimed.record().to_vec().into());
        }
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        // The message gives itself back, and needs its bytes for that.
        if !self.message.is_done() {
            self.copy_out();
        }
    }
}

enum Blocks<'a> {
    InPlace(open_channel_ring::Blocks<'a>),
    /// In place, but not at a word boundary.
    Copied {
        record: Record<'a>,
        at: usize,
        count: usize,
    },
    Bytes(ChunksExact<'a, u8>),
}

impl Iterator for Blocks<'_> {
    type Item = [u8; 64];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::InPlace(blocks) => blocks.next(),
            Self::Copied { record, at, count } => {
                *count = count.checked_sub(1)?;
                let mut block = [0; 64];
                record.read_at(*at, &mut block);
                *at += 64;
                Some(block)
            }
            Self::Bytes(blocks) => blocks.next()?.first_chunk().copied(),
        }
    }

    /// `for_each` and `sum` use this: it matches once, not for every block.
    #[inline]
    fn fold<T, F: FnMut(T, Self::Item) -> T>(self, first: T, mut f: F) -> T {
        match self {
            Self::InPlace(blocks) => blocks.fold(first, f),
            others => {
                let mut folded = first;
                for block in others {
                    folded = f(folded, block);
                }
                folded
            }
        }
    }
}

/// Never waits: the message is here. Fails only in a forked child, with
/// [`Error::Forked`](crate::Error::Forked): the parent may have let go of the memory.
impl io::Read for MessageReader {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.message.check_process()?;
        let len = out.len().min(self.remaining());
        let out = &mut out[..len];
        match &self.claimed {
            Some(claimed) => claimed.record().read_at(self.at, out),
            None => out.copy_from_slice(&self.message[self.at..self.at + len]),
        }
        self.at += len;
        Ok(len)
    }
}

impl fmt::Debug for MessageReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("id", &format_args!("{}", self.id()))
            .field("len", &self.len())
            .field("read", &self.at)
            .field("attempt", &self.attempt())
            .finish()
    }
}
