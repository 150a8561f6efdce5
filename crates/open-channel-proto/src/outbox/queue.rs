//! The accepted messages that are not acknowledged, in order, and how far they are on the link.

use std::collections::VecDeque;

use bytes::Bytes;

use super::entry::{Content, Entry};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    /// Payloads of the entries that are messages, in the same order.
    pub(super) payloads: VecDeque<Bytes>,
    /// Where the numbers began.
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) cursor: usize,
    /// Number of payloads that belong to entries before the cursor.
    pub(super) payload_cursor: usize,
    /// Bytes of the entry at the cursor that are on the link already.
    pub(super) offset: usize,
}

impl Queue {
    pub(super) fn new(first: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            payloads: VecDeque::new(),
            first,
            next: first,
            cursor: 0,
            payload_cursor: 0,
            offset: 0,
        }
    }

    #[inline]
    pub(super) fn append(&mut self, count: u32, content: Content, len: usize) -> u64 {
        let first = self.next;
        // Filled in place. An entry built elsewhere is copied in wider pieces than it was written
        // in, and such loads stall.
        debug_assert!(count <= u16::MAX.into(), "a pack holds far fewer");
        self.entries.push_back(Entry::EMPTY);
        if let Some(entry) = self.entries.back_mut() {
            entry.first = first;
            entry.count = u16::try_from(count).unwrap_or(u16::MAX);
            entry.len = len;
            entry.content = content;
        }
        self.next += u64::from(count);
        first
    }

    pub(super) fn push_end(&mut self) {
        self.append(1, Content::Fin, 0);
    }

    /// Nothing of the entry at `cursor` is on the link.
    pub(super) fn set_cursor(&mut self, cursor: usize) {
        self.cursor = cursor;
        self.payload_cursor = self.messages_before(cursor);
        self.offset = 0;
    }

    pub(super) fn messages_before(&self, end: usize) -> usize {
        self.entries.range(..end).filter(|entry| entry.content == Content::Message).count()
    }

    pub(super) fn first_at(&self, index: usize) -> u64 {
        self.entries.get(index).map_or(self.next, |entry| entry.first)
    }
}
