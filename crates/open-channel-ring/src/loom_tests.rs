//! The index and wake protocols under loom: every interleaving, and every value that the memory model
//! lets a load return. `RUSTFLAGS="--cfg loom" cargo test -p open-channel-ring --release --lib`
//!
//! The ring is the shipped one, only smaller: a handful of words, so that records wrap at once. Taking
//! away any one of the fences, the compare-and-swap, the zero word behind a record, the wake-up of a
//! fence or the release ordering of either kind of header makes one of these fail. What loom cannot
//! see is a load that returns what is only written later, so the release ordering of the `released`
//! index stands on the memory model alone.
#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::*;

/// A bell that remembers a ring until it is heard, like an eventfd.
#[derive(Clone)]
struct LoomBell(Arc<(Mutex<bool>, Condvar)>);

impl LoomBell {
    fn new() -> Self {
        LoomBell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn sleep(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Wake for LoomBell {
    fn wake(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

type End<T> = (T, LoomBell);

fn ring(capacity: usize) -> (End<Producer<Heap, LoomBell>>, End<Consumer<Heap, LoomBell>>) {
    let layout = Layout::tiny(capacity);
    let region = Heap::new(layout);
    let (of_producer, of_consumer) = (LoomBell::new(), LoomBell::new());
    let place = layout.up_ring();
    let producer = Producer::new(region.clone(), place, of_consumer.clone());
    let consumer = Consumer::new(region, place, of_producer.clone());
    ((producer, of_producer), (consumer, of_consumer))
}

/// Sleeps until there is room, writes.
fn push((producer, bell): &mut End<Producer<Heap, LoomBell>>, kind: u8, payload: &[u8]) {
    while let Err(error) = producer.push(kind, 0, payload) {
        let RingError::Full { wanted } = error else { panic!("{error}") };
        producer.prepare_park(wanted);
        match producer.is_released(wanted).unwrap() {
            true => producer.cancel_park(),
            false => bell.sleep(),
        }
    }
}

/// Sleeps until there is a record, copies it out, does not release it.
fn pull((consumer, bell): &mut End<Consumer<Heap, LoomBell>>) -> Result<(u8, Vec<u8>, Position), RingError> {
    loop {
        if let Some(record) = consumer.claim()? {
            return Ok((record.kind(), record.to_vec(), record.end()));
        }
        consumer.prepare_park();
        match consumer.is_ready() {
            true => consumer.cancel_park(),
            false => bell.sleep(),
        }
    }
}

fn payload(kind: u8) -> Vec<u8> {
    vec![kind; usize::from(kind) * 5 % 9]
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // More preemptions than this multiply the time and, in the literature, hardly the bugs found.
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(test);
}

fn pass_on(capacity: usize, payload: fn(u8) -> Vec<u8>) {
    model(move || {
        let (mut producer, mut consumer) = ring(capacity);
        let writer = thread::spawn(move || {
            for kind in 1..=3 {
                push(&mut producer, kind, &payload(kind));
            }
        });
        for kind in 1..=3 {
            let (got, bytes, end) = pull(&mut consumer).unwrap();
            assert_eq!((got, bytes), (kind, payload(kind)));
            consumer.0.release(end).unwrap();
        }
        writer.join().unwrap();
    });
}

/// Both wake-ups and the reuse of released space: a ring of 32 bytes holds one such record.
#[test]
fn loom_records_arrive_whole_and_in_order_and_nobody_sleeps_for_ever() {
    pass_on(32, payload);
}

/// Two records of 24 bytes fit a ring of 64; the third goes to its front, behind padding.
#[test]
fn loom_a_record_behind_padding_arrives_whole() {
    pass_on(64, |kind| vec![kind; 9]);
}

/// What the fence says was claimed is what the consumer got, neither more nor less; a consumer asleep
/// is woken by it.
#[test]
fn loom_a_fence_is_exact() {
    model(|| {
        let (mut producer, mut consumer) = ring(64);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            loop {
                match pull(&mut consumer) {
                    Ok((kind, bytes, end)) => {
                        assert_eq!(bytes, payload(kind));
                        got.push(kind);
                        if kind == 1 {
                            consumer.0.release(end).unwrap();
                        }
                    }
                    Err(error) => {
                        assert_eq!(error, RingError::Fenced);
                        assert_eq!(consumer.0.claim().err(), Some(RingError::Fenced));
                        return got;
                    }
                }
            }
        });
        push(&mut producer, 1, &payload(1));
        push(&mut producer, 2, &payload(2));
        producer.0.fence().unwrap();
        let stored: Vec<_> = producer
            .0
            .unreleased()
            .map(|stored| stored.unwrap())
            .map(|stored| {
                assert_eq!(stored.record.to_vec(), payload(stored.record.kind()));
                (stored.record.kind(), stored.maybe_claimed)
            })
            .collect();
        assert_eq!(producer.0.push(3, 0, &[]).err(), Some(RingError::Fenced));
        let got = reader.join().unwrap();
        assert!(matches!(stored.last(), Some((2, _))), "an unreleased record is gone");
        for (kind, maybe_claimed) in stored {
            assert_eq!(maybe_claimed, got.contains(&kind), "the fence and the consumer disagree");
        }
        assert!(got.is_sorted());
    });
}
