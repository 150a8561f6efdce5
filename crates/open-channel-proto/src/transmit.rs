//! Bytes on their way to a link: small frames side by side, large payloads by reference.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// Payloads of at least this many bytes are referenced, smaller ones are copied. Below it, one
/// contiguous write is cheaper than one more entry in a vectored write.
const BY_REFERENCE: usize = 4 * 1024;

/// Bytes that a [`Session`](crate::Session) wants on its link, in order.
#[derive(Debug, Default)]
pub struct TransmitBuffer {
    sealed: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl TransmitBuffer {
    /// A session stops filling the buffer when it holds this many bytes.
    pub const HIGH_WATER: usize = 192 * 1024;

    /// Bytes not yet written to the link.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything: the link it was meant for is gone.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.tail.clear();
        self.len = 0;
    }

    /// Fills `slices` with the bytes to write next and returns how many slices were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.sealed.iter().map(|part| &part[..]).chain(std::iter::once(&self.tail[..]));
        let mut used = 0;
        for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = IoSlice::new(part);
            used += 1;
        }
        used
    }

    /// Forgets the first `written` bytes: the link has taken them.
    ///
    /// # Panics
    /// If `written` is larger than [`len`](Self::len).
    pub fn advance(&mut self, mut written: usize) {
        assert!(written <= self.len, "a link cannot take more than it was given");
        self.len -= written;
        while let Some(front) = self.sealed.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.sealed.pop_front();
        }
        self.tail.advance(written);
        if self.tail.is_empty() {
            self.tail.clear();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len >= Self::HIGH_WATER
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(crate) fn put_payload(&mut self, message: &Bytes, part: Range<usize>) {
        if part.len() < BY_REFERENCE {
            return self.put(&message[part]);
        }
        self.len += part.len();
        if !self.tail.is_empty() {
            self.sealed.push_back(self.tail.split().freeze());
        }
        self.sealed.push_back(message.slice(part));
    }
}
