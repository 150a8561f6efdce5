//! A search for single records, as by a sender that takes many messages back.

use bytes::Bytes;
use open_channel_proto::PartKind;
use open_channel_ring::{Producer, Region, Wake};

/// Records that a search may pass before all are copied.
const FEW: usize = 256;

/// Copies of the records that are not released. A ring can only be read from its oldest record on.
/// A search for each of many records takes a time that grows with the square of their number.
///
/// Takes at most the ring's capacity, and nothing until many records were passed.
#[derive(Debug, Default)]
pub(super) struct Copies {
    payloads: Vec<u8>,
    /// For each record, in order: where it ends in the ring and in `payloads`.
    ends: Vec<(u64, usize)>,
    /// Records passed since the copies were made.
    passed: usize,
    #[cfg(test)]
    steps: usize,
}

impl Copies {
    /// The record that ends at `end`, if it is not released.
    pub(super) fn find<R: Region, W: Wake>(
        &mut self,
        producer: &mut Producer<R, W>,
        end: u64,
    ) -> Option<Bytes> {
        if producer.released().is_ok_and(|released| released.bytes() >= end) {
            return None;
        }
        if let Some(copy) = self.copy(end) {
            return Some(copy);
        }
        let mut found = None;
        for stored in producer.unreleased().map_while(Result::ok) {
            self.step();
            if stored.record.end().bytes() == end {
                found = Some(stored.record.to_vec().into());
                break;
            }
        }
        if self.passed >= FEW {
            self.renew(producer);
        }
        found
    }

    /// Everything before this position is released.
    pub(super) fn released(&mut self, position: u64) {
        if self.ends.last().is_some_and(|(end, _)| *end <= position) {
            *self = Self::default();
        }
    }

    fn copy(&self, end: u64) -> Option<Bytes> {
        let index = self.ends.binary_search_by_key(&end, |(end, _)| *end).ok()?;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some(Bytes::copy_from_slice(&self.payloads[begin..self.ends[index].1]))
    }

    fn renew<R: Region, W: Wake>(&mut self, producer: &mut Producer<R, W>) {
        self.payloads.clear();
        self.ends.clear();
        for stored in producer.unreleased().map_while(Result::ok) {
            self.step();
            let record = stored.record;
            // The outbox has the bytes of a longer message.
            if PartKind::from_bits(record.kind()) == Some(PartKind::Whole) {
                let begin = self.payloads.len();
                self.payloads.resize(begin + record.len(), 0);
                record.read_at(0, &mut self.payloads[begin..]);
                self.ends.push((record.end().bytes(), self.payloads.len()));
            }
        }
        self.passed = 0;
    }

    fn step(&mut self) {
        self.passed += 1;
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use open_channel_ring::{Heap, Layout, RingEnds};

    const RECORDS: usize = 16_000;

    #[derive(Clone)]
    struct Asleep;

    impl Wake for Asleep {
        fn wake(&self) {}
    }

    /// In memory of this process, which every system has.
    fn ring() -> (RingEnds<Heap, Asleep>, Vec<u64>) {
        let layout = Layout::new(1 << 20, 1 << 20).expect("a size");
        let mut link = RingEnds::offering(Heap::new(layout), layout, Asleep, Asleep);
        let push = |number: usize| {
            let payload = format!("{number}");
            link.producer
                .push(PartKind::Whole.to_bits(), 0, payload.as_bytes())
                .expect("room")
                .bytes()
        };
        let ends = (0..RECORDS).map(push).collect();
        (link, ends)
    }

    #[test]
    fn many_records_are_found_in_any_order_in_a_time_that_grows_with_their_number() {
        let orders: [fn(usize) -> usize; 3] =
            [|number| number, |number| RECORDS - 1 - number, |number| number * 7919 % RECORDS];
        for order in orders {
            let (mut link, ends) = ring();
            let mut copies = Copies::default();
            for number in (0..RECORDS).map(order) {
                let found = copies.find(&mut link.producer, ends[number]).expect("it is there");
                assert_eq!(found, number.to_string());
            }
            assert!(copies.steps <= 3 * RECORDS, "{} steps", copies.steps);
        }
    }

    #[test]
    fn copies_are_bounded_by_what_is_not_released_and_go_with_it() {
        let (mut link, ends) = ring();
        let mut copies = Copies::default();
        let last = *ends.last().expect("there are some");
        assert!(copies.find(&mut link.producer, last).is_some());
        assert_eq!(copies.ends.len(), RECORDS);
        assert!(copies.payloads.len() < link.producer.capacity());
        copies.released(last - 8);
        assert!(copies.find(&mut link.producer, last).is_some(), "it is not released");
        copies.released(last);
        assert!(copies.ends.is_empty() && copies.payloads.capacity() == 0);
        // A single record, or one of the first, is found without a copy.
        assert!(copies.find(&mut link.producer, ends[0]).is_some());
        assert!(copies.find(&mut link.producer, 4).is_none(), "no record ends there");
    }
}
