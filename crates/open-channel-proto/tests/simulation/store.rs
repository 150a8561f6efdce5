//! A link's store without the memory: one ring as its two ends see it, records that stay until they
//! are released.
//!
//! ```text
//!   released        claimed          tail
//!      | may have been | nobody has    |
//!      | seen          | seen          |
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use open_channel_proto::{Part, PartFlags, PartKind, ReceivedPart, StoredPart};

/// Bytes of a record besides its payload, and of the length that a first part begins with.
const OVERHEAD: usize = 8;

struct Record {
    kind: PartKind,
    flags: PartFlags,
    total: u64,
    payload: Bytes,
    end: u64,
}

/// The producer has fenced the store: nothing can be claimed any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Fenced;

pub struct Store {
    capacity: usize,
    /// Records that are not released, oldest first.
    records: VecDeque<Record>,
    /// How many of them are claimed.
    seen: usize,
    tail: u64,
    claimed: u64,
    released: u64,
    /// The claimed position when the producer fenced it.
    fence: Option<u64>,
}

impl Store {
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= 64);
        Self {
            capacity,
            records: VecDeque::new(),
            seen: 0,
            tail: 0,
            claimed: 0,
            released: 0,
            fence: None,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The longest part: half the store, so that it fits wherever the last one ended.
    pub fn longest(&self) -> usize {
        self.capacity / 2 - 2 * OVERHEAD
    }
}

/// The producer's end.
impl Store {
    /// Puts a part in, if there is room, and says where it ends.
    pub fn push(&mut self, part: &Part<'_>) -> Option<u64> {
        assert!(self.fence.is_none(), "something is put into a store that was given up");
        assert!(part.payload.len() <= self.longest(), "a part of {} bytes", part.payload.len());
        let announced = if part.kind == PartKind::First { OVERHEAD } else { 0 };
        let bytes = (OVERHEAD + (announced + part.payload.len()).next_multiple_of(8)) as u64;
        let capacity = self.capacity as u64;
        let rest = capacity - self.tail % capacity;
        let start = if bytes <= rest { self.tail } else { self.tail + rest };
        if start + bytes - self.released > capacity - 8 {
            return None;
        }
        self.tail = start + bytes;
        self.records.push_back(Record {
            kind: part.kind,
            flags: part.flags,
            total: if part.kind == PartKind::First { part.total as u64 } else { 0 },
            payload: Bytes::copy_from_slice(part.payload),
            end: self.tail,
        });
        Some(self.tail)
    }

    pub fn released(&self) -> u64 {
        self.released
    }

    /// The record that ends there and is not released.
    pub fn at(&self, end: u64) -> Option<Bytes> {
        let found = self.records.iter().find(|record| record.end == end)?;
        Some(found.payload.clone())
    }

    /// From here on the consumer can claim nothing more.
    pub fn fence(&mut self) {
        self.fence.get_or_insert(self.claimed);
    }

    /// Records that complete something and are not released.
    pub fn unreleased(&self) -> Vec<StoredPart> {
        let claimed = self.fence.expect("nothing is taken back before the fence");
        let complete = self.records.iter().filter(|record| record.kind.completes());
        complete
            .map(|record| StoredPart {
                end: record.end,
                claimed: record.end <= claimed,
                payload: record.payload.clone(),
            })
            .collect()
    }
}

/// The consumer's end.
impl Store {
    pub fn claim(&mut self) -> Result<Option<(ReceivedPart, Bytes)>, Fenced> {
        if self.fence.is_some() {
            return Err(Fenced);
        }
        let Some(record) = self.records.get(self.seen) else { return Ok(None) };
        self.seen += 1;
        self.claimed = record.end;
        let &Record { kind, flags, total, ref payload, end } = record;
        let arrival = ReceivedPart { kind, flags, total, len: payload.len(), end };
        Ok(Some((arrival, payload.clone())))
    }

    /// Everything before `upto` is handled. Possible after the fence, for what was claimed before
    /// it.
    pub fn release(&mut self, upto: u64) {
        assert!(upto <= self.claimed, "{upto} is released and only {} is claimed", self.claimed);
        while self.records.front().is_some_and(|record| record.end <= upto) {
            let front = self.records.pop_front().expect("there is one");
            self.seen -= 1;
            self.released = front.end;
        }
        assert!(upto <= self.released, "{upto} is released and no record ends there");
    }
}

impl Store {
    /// Nothing is claimed after the fence.
    pub fn check(&self) {
        assert!(self.released <= self.claimed && self.claimed <= self.tail);
        assert!(
            self.fence.is_none_or(|fence| fence == self.claimed),
            "something was claimed after the fence"
        );
    }
}
