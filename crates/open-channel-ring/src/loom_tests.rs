//! The index and wake protocols under loom: every interleaving, and every value that the memory
//! model lets a load return.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p open-channel-ring --release --lib`
//!
//! The ring is the shipped one, only smaller: a handful of words, so that records wrap at once.
//! Taking away any one of the fences, the compare-and-swap, the zero word behind a record, the
//! wake-up of a fence or the release ordering of either kind of header makes one of these fail.
//! Loom cannot see a load that returns a value which is only written later, so the release ordering
//! of the `released` index stands on the memory model alone.
#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::*;

/// A doorbell that stays rung until it is read, like an eventfd.
#[derive(Clone)]
struct LoomDoorbell(Arc<(Mutex<bool>, Condvar)>);

impl LoomDoorbell {
    fn new() -> Self {
        LoomDoorbell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn sleep(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }

    /// Sleeps level-triggered, like poll(2): what rang goes on ringing.
    fn watch(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
    }

    fn silence(&self) {
        *self.0.0.lock().unwrap() = false;
    }
}

impl Wake for LoomDoorbell {
    fn wake(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }
}

type End<T> = (T, LoomDoorbell);

fn ring(capacity: usize) -> (End<Producer<Heap, LoomDoorbell>>, End<Consumer<Heap, LoomDoorbell>>) {
    let layout = Layout::tiny(capacity);
    let region = Heap::new(layout);
    let (of_producer, of_consumer) = (LoomDoorbell::new(), LoomDoorbell::new());
    let place = layout.up_ring();
    let producer = Producer::new(region.clone(), place, of_consumer.clone());
    let consumer = Consumer::new(region, place, of_producer.clone());
    ((producer, of_producer), (consumer, of_consumer))
}

/// Sleeps until there is room, writes.
fn push((producer, doorbell): &mut End<Producer<Heap, LoomDoorbell>>, kind: u8, payload: &[u8]) {
    while let Err(error) = producer.push(kind, 0, payload) {
        let RingError::Full { wanted } = error else { panic!("{error}") };
        producer.prepare_park(wanted);
        if producer.released().unwrap() < wanted {
            doorbell.sleep();
        }
    }
}

/// Sleeps until there is a record, copies it out, does not release it.
fn pull(
    (consumer, doorbell): &mut End<Consumer<Heap, LoomDoorbell>>,
) -> Result<(u8, Vec<u8>, Position), RingError> {
    loop {
        if let Some(record) = consumer.claim()? {
            return Ok((record.kind(), record.to_vec(), record.end()));
        }
        consumer.prepare_park();
        if !consumer.is_ready() {
            doorbell.sleep();
        }
    }
}

/// [`push`] by a thread or an event loop that watches its doorbell level-triggered.
fn push_watching((producer, doorbell): &mut End<Producer<Heap, LoomDoorbell>>, kind: u8) {
    while let Err(error) = producer.push(kind, 0, &[]) {
        let RingError::Full { wanted } = error else { panic!("{error}") };
        doorbell.silence();
        producer.prepare_park(wanted);
        if producer.released().unwrap() < wanted {
            doorbell.watch();
        }
    }
}

/// [`pull`] by a thread or an event loop that watches its doorbell level-triggered.
fn pull_watching((consumer, doorbell): &mut End<Consumer<Heap, LoomDoorbell>>) -> (u8, Position) {
    loop {
        if let Some(record) = consumer.claim().unwrap() {
            return (record.kind(), record.end());
        }
        doorbell.silence();
        consumer.prepare_park();
        if !consumer.is_ready() {
            doorbell.watch();
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

/// Silenced after the announcement instead, the doorbell would lose a late ring for a record that
/// was already taken, and with it the announcement that this ring had used up.
#[test]
fn loom_a_side_that_silences_its_doorbell_does_not_sleep_for_ever() {
    for capacity in [32, 64] {
        model(move || {
            let (mut producer, mut consumer) = ring(capacity);
            let writer = thread::spawn(move || {
                for kind in 1..=5 {
                    push_watching(&mut producer, kind);
                }
            });
            for kind in 1..=5 {
                let (got, end) = pull_watching(&mut consumer);
                assert_eq!(got, kind);
                consumer.0.release(end).unwrap();
            }
            writer.join().unwrap();
        });
    }
}

/// Two records of 24 bytes fit a ring of 64; the third goes to its front, behind padding.
#[test]
fn loom_a_record_behind_padding_arrives_whole() {
    pass_on(64, |kind| vec![kind; 9]);
}

/// The fence says exactly which records the consumer got, neither more nor less; a consumer
/// asleep is woken by it.
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

/// The commit alone publishes a record that is written apart. An abandoned one was never there.
#[test]
fn loom_a_reservation_apart_arrives_whole_and_in_its_turn() {
    model(|| {
        let (mut producer, mut consumer) = ring(64);
        let writer = thread::spawn(move || {
            let mut slot = producer.0.reserve_apart(9).unwrap();
            assert_eq!(producer.0.push(9, 0, &[9]).err(), Some(RingError::Reserved));
            slot.append(&[1; 5]);
            slot.append(&[1; 4]);
            producer.0.commit(slot, 1, 0);
            if let Ok(mut slot) = producer.0.reserve_apart(9) {
                slot.append(&[7; 9]);
                assert_eq!(slot.into_vec(), [7; 9]);
                producer.0.abandon();
            }
            // Shorter than what was there before.
            push(&mut producer, 2, &[2; 3]);
        });
        for (kind, len) in [(1, 9), (2, 3)] {
            let (got, bytes, end) = pull(&mut consumer).unwrap();
            assert_eq!((got, bytes), (kind, vec![kind; len]));
            consumer.0.release(end).unwrap();
        }
        writer.join().unwrap();
    });
}

/// A side that spins on a watch finds what it was waiting for when it looks.
#[test]
fn loom_a_watch_that_is_due_is_right() {
    model(|| {
        let (mut producer, mut consumer) = ring(32);
        let writer = thread::spawn(move || {
            let end = producer.0.push(1, 0, &[1; 8]).unwrap();
            let Err(RingError::Full { wanted }) = producer.0.push(2, 0, &[2; 8]) else { return };
            assert!(wanted <= end);
            let watch = producer.0.watch(wanted);
            while !watch.is_due() {
                thread::yield_now();
            }
            producer.0.push(2, 0, &[2; 8]).unwrap();
            producer.0.fence().unwrap();
        });
        for kind in 1.. {
            let watch = consumer.0.watch();
            while !watch.is_due() {
                thread::yield_now();
            }
            match consumer.0.claim() {
                Ok(record) => {
                    let record = record.unwrap();
                    assert_eq!((record.kind(), record.to_vec()), (kind, vec![kind; 8]));
                    let end = record.end();
                    consumer.0.release(end).unwrap();
                }
                Err(error) => {
                    assert_eq!(error, RingError::Fenced);
                    break;
                }
            }
            if kind == 2 {
                break;
            }
        }
        writer.join().unwrap();
    });
}

/// One doorbell with two sleepers, each of which is woken by every ring: an eventfd that two epoll
/// instances watch.
#[derive(Clone)]
struct SharedDoorbell(Arc<(Mutex<[bool; 2]>, Condvar)>);

impl SharedDoorbell {
    fn sleep(&self, sleeper: usize) {
        let mut rung = self.0.0.lock().unwrap();
        while !rung[sleeper] {
            rung = self.0.1.wait(rung).unwrap();
        }
        rung[sleeper] = false;
    }
}

impl Wake for SharedDoorbell {
    fn wake(&self) {
        *self.0.0.lock().unwrap() = [true; 2];
        self.0.1.notify_all();
    }
}

/// Two calls of one socket wait for messages at once, behind one lock: each gets one, and neither
/// sleeps for ever.
#[test]
fn loom_two_sleepers_share_a_doorbell() {
    model(|| {
        let layout = Layout::tiny(64);
        let region = Heap::new(layout);
        let doorbell = SharedDoorbell(Arc::new((Mutex::new([false; 2]), Condvar::new())));
        let place = layout.up_ring();
        let mut producer = Producer::new(region.clone(), place, doorbell.clone());
        let consumer = Arc::new(Mutex::new(Consumer::new(region, place, LoomDoorbell::new())));
        let take = move |consumer: &Mutex<Consumer<Heap, LoomDoorbell>>,
                         doorbell: &SharedDoorbell,
                         sleeper| loop {
            let mut locked = consumer.lock().unwrap();
            if let Some(record) = locked.claim().unwrap() {
                return record.kind();
            }
            locked.prepare_park();
            let ready = locked.is_ready();
            drop(locked);
            if !ready {
                doorbell.sleep(sleeper);
            }
        };
        let other = {
            let (consumer, doorbell) = (Arc::clone(&consumer), doorbell.clone());
            thread::spawn(move || take(&consumer, &doorbell, 1))
        };
        let writer = thread::spawn(move || {
            producer.push(1, 0, &[]).unwrap();
            producer.push(2, 0, &[]).unwrap();
        });
        let kinds = [take(&consumer, &doorbell, 0), other.join().unwrap()];
        assert_eq!(kinds.iter().sum::<u8>(), 3);
        writer.join().unwrap();
    });
}

/// Pushes a third record into a ring that is full of two, waiting until everything is released,
/// although it needs less.
fn push_third(
    (mut producer, doorbell): End<Producer<Heap, LoomDoorbell>>,
) -> (thread::JoinHandle<()>, Position, Position) {
    let first = producer.push(1, 0, &[]).unwrap();
    let second = producer.push(2, 0, &[0; 8]).unwrap();
    assert!(producer.reserve(0).is_err(), "the ring is full");
    let writer = thread::spawn(move || {
        let mut known = producer.released().unwrap();
        while producer.push(3, 0, &[]).is_err() {
            producer.prepare_park(producer.tail());
            let released = producer.released().unwrap();
            if released == known {
                doorbell.sleep();
            }
            known = released;
        }
    });
    (writer, first, second)
}

/// The reader releases the first record, holds the second, and wants the third.
fn hold_one(release_first: impl Fn(u8) -> bool + Sync + Send + Copy + 'static) {
    model(move || {
        let (producer, mut consumer) = ring(32);
        let (writer, first, second) = push_third(producer);
        for kind in 1..=3 {
            assert_eq!(pull(&mut consumer).unwrap().0, kind);
            if release_first(kind) {
                consumer.0.release(first).unwrap();
            }
        }
        consumer.0.release(second).unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_release_with_nothing_left_to_read_wakes_the_producer() {
    hold_one(|read| read == 2);
}

#[test]
fn loom_an_earlier_release_wakes_the_producer_once_nothing_is_left_to_read() {
    hold_one(|read| read == 1);
}

#[test]
fn loom_claiming_the_last_record_wakes_the_producer_for_an_earlier_release() {
    model(|| {
        let (producer, (mut consumer, _)) = ring(32);
        let (writer, first, _) = push_third(producer);
        consumer.claim().unwrap().unwrap();
        consumer.release(first).unwrap();
        // The last look at the ring for a long time.
        consumer.claim().unwrap().unwrap();
        writer.join().unwrap();
    });
}
