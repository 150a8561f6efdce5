//! The ring by itself, in one process. Two processes: `tests/ring.rs`; every interleaving: loom.
#![allow(clippy::unwrap_used)] // a test may panic

use super::*;

#[derive(Clone, Default)]
struct Quiet;

impl Wake for Quiet {
    fn wake(&self) {}
}

type Pair = (Producer<Heap, Quiet>, Consumer<Heap, Quiet>, Heap);

fn ring(capacity: usize) -> Pair {
    let layout = Layout::tiny(capacity);
    let region = Heap::new(layout);
    let place = layout.up_ring();
    let producer = Producer::new(region.clone(), place, Quiet);
    let consumer = Consumer::new(region.clone(), place, Quiet);
    (producer, consumer, region)
}

/// A small generator with a seed, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[test]
fn a_record_can_be_read_from_anywhere_and_apart_from_its_ring() {
    let (mut producer, mut consumer, _) = ring(1024);
    for len in [0, 1, 7, 8, 9, 63, 64, 65, 100, 250] {
        let bytes: Vec<u8> = (0..len).map(|n| n as u8 ^ 0x5A).collect();
        let end = producer.push(1, 0, &bytes).unwrap();
        let claimed = consumer.claim_if(|_, _, _| true).unwrap().unwrap();
        let claimed = consumer.detach(claimed);
        assert!(consumer.claim_if(|_, _, _| true).unwrap().is_none());
        for at in 0..=len {
            for upto in at..=len {
                let mut out = vec![0xEE; upto - at + 1];
                claimed.record().read_at(at, &mut out[..upto - at]);
                assert_eq!(out[..upto - at], bytes[at..upto], "{at}..{upto} of {len}");
                assert_eq!(out[upto - at], 0xEE);
            }
        }
        consumer.release(end).unwrap();
    }
}

#[test]
fn a_record_that_is_not_wanted_stays_unclaimed() {
    let (mut producer, mut consumer, _) = ring(1024);
    producer.push(3, 2, b"unwanted").unwrap();
    let mut seen = None;
    let mut refuse = |kind, flags, len| {
        seen = Some((kind, flags, len));
        false
    };
    assert!(consumer.claim_if(&mut refuse).unwrap().is_none());
    assert!(consumer.claim_if(&mut refuse).unwrap().is_none());
    assert_eq!(seen, Some((3, 2, 8)));
    assert!(producer.unreleased().all(|stored| !stored.unwrap().maybe_claimed));
    let claim = consumer.claim_if(|kind, _, _| kind == 3).unwrap().unwrap();
    assert_eq!(consumer.record(claim).to_vec(), b"unwanted");
    assert!(producer.unreleased().all(|stored| stored.unwrap().maybe_claimed));

    producer.push(4, 0, b"late").unwrap();
    assert!(consumer.claim_if(|_, _, _| false).unwrap().is_none());
    producer.fence().unwrap();
    assert!(matches!(consumer.claim_if(|_, _, _| true), Err(RingError::Fenced)));
    let claimed: Vec<_> =
        producer.unreleased().map(|stored| stored.unwrap().maybe_claimed).collect();
    assert_eq!(claimed, [true, false]);
}

#[test]
fn a_watch_can_be_used_again_for_the_other_ring() {
    let layout = Layout::tiny(1024);
    let region = Heap::new(layout);
    let mut up = Producer::new(region.clone(), layout.up_ring(), Quiet);
    let mut down = Producer::new(region.clone(), layout.down_ring(), Quiet);
    let mut arriving = Consumer::new(region, layout.down_ring(), Quiet);
    let end = up.push(1, 0, b"sent").unwrap();
    let watch = up.watch(end);
    assert!(!watch.is_due());
    let watch = arriving.watch_again(watch);
    up.push(1, 0, b"of no interest").unwrap();
    assert!(!watch.is_due());
    down.push(1, 0, b"answer").unwrap();
    assert!(watch.is_due());
    arriving.claim().unwrap().unwrap();
    let watch = arriving.watch_again(watch);
    assert!(!watch.is_due());
    down.push(1, 0, b"another").unwrap();
    assert!(watch.is_due());
}

#[test]
fn blocks_can_be_written_and_read_behind_any_bytes() {
    let bytes: Vec<u8> = (0..400).map(|n| (n * 7) as u8).collect();
    let block = |at: usize| <[u8; 64]>::try_from(&bytes[at..at + 64]).unwrap();
    for (before, count, after) in
        [(0, 0, 0), (0, 1, 0), (0, 5, 3), (8, 2, 0), (3, 2, 1), (13, 4, 60), (64, 1, 64)]
    {
        let (mut producer, mut consumer, _) = ring(1024);
        let len = before + count * 64 + after;
        let mut slot = producer.reserve_apart(len).unwrap();
        slot.append(&bytes[..before]);
        slot.append_blocks((0..count).map(|n| block(before + n * 64)));
        slot.append(&bytes[before + count * 64..len]);
        let end = producer.commit(slot, 1, 0);
        let record = consumer.claim().unwrap().unwrap();
        assert_eq!(record.to_vec(), bytes[..len], "{before} bytes, {count} blocks, {after} bytes");
        for at in (0..=len).step_by(8) {
            let blocks: Vec<_> = record.blocks_at(at).collect();
            assert_eq!(blocks.concat(), bytes[at..at + (len - at) / 64 * 64]);
        }
        consumer.release(end).unwrap();
    }
}

#[test]
#[should_panic(expected = "more bytes than were reserved")]
fn blocks_that_do_not_fit_are_refused() {
    let (mut producer, ..) = ring(1024);
    producer.reserve_apart(200).unwrap().append_blocks([[1; 64]; 4].into_iter());
}

#[test]
#[should_panic(expected = "the record ends before")]
fn nothing_is_read_behind_the_end_of_a_record() {
    let (mut producer, mut consumer, _) = ring(1024);
    producer.push(1, 0, &[1; 10]).unwrap();
    consumer.claim().unwrap().unwrap().read_at(3, &mut [0; 8]);
}

#[test]
fn a_slot_can_be_filled_in_pieces_and_committed_short() {
    let (mut producer, mut consumer, _) = ring(1024);
    let text: Vec<u8> = (0..100).collect();
    for pieces in 1..30 {
        let mut slot = producer.reserve(200).unwrap();
        for piece in text.chunks(pieces) {
            slot.append(piece);
            slot.append(&[]);
        }
        let end = slot.commit(7, 9);
        if let Ok(mut slot) = producer.reserve(300) {
            slot.append(&[0xFF; 300]);
        }
        let record = consumer.claim().unwrap().unwrap();
        assert_eq!((record.kind(), record.flags(), record.to_vec()), (7, 9, text.clone()));
        assert_eq!(record.end(), end);
        assert!(consumer.claim().unwrap().is_none(), "an abandoned slot is not a record");
        consumer.release(end).unwrap();
    }
}

#[test]
fn the_longest_record_fits_wherever_the_last_one_ended() {
    // In the larger ring it is one that ends at a cache line.
    for (start, capacity) in (0..64).map(|n| (n, 512)).chain((0..512).map(|n| (n, 4096))) {
        let (mut producer, mut consumer, _) = ring(capacity);
        for _ in 0..start {
            let end = producer.push(0, 0, &[]).unwrap();
            consumer.claim().unwrap().unwrap();
            consumer.release(end).unwrap();
        }
        let longest = vec![5; producer.max_payload()];
        producer.push(1, 0, &longest).unwrap();
        assert_eq!(consumer.claim().unwrap().unwrap().to_vec(), longest);
        let max = producer.max_payload();
        assert_eq!(
            producer.reserve(max + 1).err(),
            Some(RingError::TooLarge { len: max + 1, max })
        );
    }
}

#[test]
fn the_payload_behind_a_long_record_starts_a_cache_line() {
    for place in
        [Layout::new(4096, 8192).unwrap().up_ring(), Layout::new(4096, 8192).unwrap().down_ring()]
    {
        for before in (0..200).step_by(8) {
            for len in [1024, 1025, 1087, 1088, 1500] {
                let end = header::record_end(before, len);
                assert_eq!((place.word(end) + 1) % 8, 0, "{len} bytes at {before}");
            }
        }
    }
    // By docs/PROTOCOL.md.
    let ends = [(0, 0), (0, 1), (0, 1023), (8, 1016), (0, 1024), (8, 1024), (0, 1080), (0, 1081)];
    let ends = ends.map(|(start, len)| header::record_end(start, len));
    assert_eq!(ends, [8, 16, 1032, 1032, 1088, 1088, 1088, 1152]);
}

#[test]
fn a_long_reservation_may_be_committed_short() {
    for before in (0..4096).step_by(136) {
        let (mut producer, mut consumer, _) = ring(4096);
        while producer.tail().bytes() < before {
            let end = producer.push(0, 0, &[1; 128]).unwrap();
            consumer.claim().unwrap().unwrap();
            consumer.release(end).unwrap();
        }
        for len in [0, 5, 1023, 1024, 1500] {
            let mut reservation = producer.reserve_apart(2040).unwrap();
            reservation.append(&vec![7; len]);
            let end = producer.commit(reservation, 1, 0);
            assert_eq!(producer.unreleased().count(), 1);
            let record = consumer.claim().unwrap().unwrap();
            assert_eq!((record.to_vec(), record.end()), (vec![7; len], end));
            consumer.release(end).unwrap();
        }
    }
}

#[test]
fn full_says_what_to_wait_for_and_that_is_enough() {
    let (mut producer, mut consumer, _) = ring(256);
    let mut ends = Vec::new();
    let wanted = loop {
        match producer.push(0, 0, &[1; 20]) {
            Ok(end) => ends.push(end),
            Err(RingError::Full { wanted }) => break wanted,
            Err(error) => panic!("{error}"),
        }
    };
    for end in ends {
        let released = producer.released().unwrap() >= wanted;
        assert_eq!(released, producer.push(0, 0, &[1; 20]).is_ok());
        if released {
            return;
        }
        consumer.claim().unwrap().unwrap();
        consumer.release(end).unwrap();
    }
    panic!("never enough");
}

/// A queue of vectors does the same; thousands of steps, and the unreleased records at each of
/// them.
#[test]
fn the_ring_behaves_like_a_queue_that_forgets_nothing_unreleased() {
    for seed in 1..=if cfg!(miri) { 6 } else { 300 } {
        let mut random = Random(seed);
        let (mut producer, mut consumer, _) = ring([256, 512, 8192][seed as usize / 2 % 3]);
        let mut written: Vec<(u8, Vec<u8>, Position)> = Vec::new();
        let (mut read, mut released) = (0, 0);
        for _ in 0..if cfg!(miri) { 100 } else { 500 } {
            let upto = written.get(released..).and_then(|left| left.last());
            let halfway = producer.halfway();
            assert!(upto.is_none_or(|(.., last)| halfway <= *last), "seed {seed}");
            match random.below(10) {
                8 => change_lap(&mut producer, &mut random),
                9 => producer.give_back(),
                0..4 => {
                    let len = random.below(producer.max_payload() as u64 / 2) as usize;
                    let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
                    let kind = random.next() as u8;
                    match producer.push(kind, 0, &bytes) {
                        Ok(end) => written.push((kind, bytes, end)),
                        Err(RingError::Full { .. }) => assert!(released < written.len()),
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
                4..6 => match consumer.claim().unwrap() {
                    Some(record) => {
                        let (kind, bytes, end) = &written[read];
                        assert_eq!(
                            (record.kind(), &record.to_vec(), record.end()),
                            (*kind, bytes, *end)
                        );
                        read += 1;
                    }
                    None => assert_eq!(read, written.len()),
                },
                6 if released < read => {
                    released += 1 + random.below((read - released) as u64) as usize;
                    consumer.release(written[released - 1].2).unwrap();
                }
                _ => {
                    let stored: Vec<_> = producer.unreleased().map(Result::unwrap).collect();
                    assert_eq!(stored.len(), written.len() - released, "seed {seed}");
                    for (index, (stored, expected)) in
                        stored.iter().zip(&written[released..]).enumerate()
                    {
                        assert_eq!(stored.record.to_vec(), expected.1);
                        assert_eq!(stored.maybe_claimed, released + index < read);
                    }
                }
            }
        }
        if seed % 2 == 0 {
            producer.fence().unwrap();
            assert_eq!(consumer.claim().err(), Some(RingError::Fenced));
            let claimed = read.checked_sub(1).map_or(Position::default(), |last| written[last].2);
            consumer.release(claimed).unwrap();
            assert_eq!(producer.unreleased().count(), written.len() - read);
        }
    }
}

fn change_lap(producer: &mut Producer<Heap, Quiet>, random: &mut Random) {
    let bytes = random.below(2 * producer.capacity() as u64).max(128) as usize;
    if bytes > producer.lap() { producer.extend_lap(bytes) } else { producer.shorten_lap(bytes) }
}

#[test]
fn records_stay_in_their_lap_and_the_longest_fits_wherever_the_last_one_ended() {
    for before in (0..1024).step_by(8) {
        for lap in [128, 192, 256, 1024] {
            let (mut producer, mut consumer, _) = ring(1024);
            while producer.tail().bytes() < before {
                let end = producer.push(0, 0, &[]).unwrap();
                consumer.claim().unwrap().unwrap();
                consumer.release(end).unwrap();
            }
            producer.shorten_lap(lap);
            for _ in 0..3 {
                let longest = vec![3; producer.max_payload()];
                let end = producer.push(1, 0, &longest).expect("the ring is empty");
                let offset = end.bytes() - end.bytes() / 1024 * 1024;
                assert!(end.bytes() > before + longest.len() as u64 && offset <= lap as u64);
                assert_eq!(consumer.claim().unwrap().unwrap().to_vec(), longest);
                consumer.release(end).unwrap();
            }
        }
    }
}

#[test]
fn halfway_is_half_of_the_records_and_not_of_the_padding() {
    let (mut producer, mut consumer, _) = ring(1024);
    producer.shorten_lap(256);
    let mut ends: Vec<_> = (0..8).map(|_| producer.push(0, 0, &[1; 24]).unwrap()).collect();
    assert_eq!((producer.halfway(), producer.unreleased_bytes()), (ends[3], 256));
    for end in &ends[..6] {
        consumer.claim().unwrap().unwrap();
        consumer.release(*end).unwrap();
    }
    // Two are left before the padding, and two come behind it.
    ends.extend((0..2).map(|_| producer.push(0, 0, &[1; 24]).unwrap()));
    assert_eq!(producer.released().unwrap(), ends[5]);
    assert_eq!((producer.halfway(), producer.unreleased_bytes()), (ends[7], 128));
    ends.extend((0..2).map(|_| producer.push(0, 0, &[1; 24]).unwrap()));
    assert_eq!((producer.halfway(), producer.unreleased_bytes()), (ends[8], 192));
}

#[test]
fn releasing_ahead_is_refused() {
    let (mut producer, mut consumer, _) = ring(256);
    let end = producer.push(0, 0, &[]).unwrap();
    assert_eq!(consumer.release(end), Err(RingError::ReleasedAhead));
    consumer.claim().unwrap().unwrap();
    consumer.release(end).unwrap();
    consumer.release(Position::default()).unwrap();
    assert_eq!(producer.released().unwrap(), end);
}

/// One side goes on by the rules while anything at all is written into the shared words: errors and
/// nonsense are allowed, panics and endless loops are not.
#[test]
fn no_word_in_shared_memory_can_hurt() {
    for seed in 1..=if cfg!(miri) { 20 } else { 20_000 } {
        let mut random = Random(seed);
        // In the larger ring there are long records, too.
        let (capacity, longest) = if seed % 2 == 0 { (256, 130) } else { (4096, 2100) };
        let (mut producer, mut consumer, region) = ring(capacity);
        let place = Layout::tiny(capacity).up_ring();
        let mut claimed = Position::default();
        for _ in 0..40 {
            match random.below(10) {
                0..3 => {
                    let len = random.below(longest) as usize;
                    let _ = producer.push(random.next() as u8, 0, &vec![1; len]);
                }
                3..5 => {
                    if let Ok(Some(record)) = consumer.claim() {
                        assert_eq!(record.to_vec().len(), record.len());
                        claimed = record.end();
                    }
                }
                5 => {
                    let _ = consumer.release(claimed);
                }
                6 => {
                    assert!(producer.unreleased().count() <= 40);
                    let _ = producer.released();
                }
                7 if random.below(4) == 0 => {
                    let _ = producer.fence();
                }
                _ => {
                    let words = region.words();
                    let anywhere = |random: &mut Random| match random.below(3) {
                        0 => place.word(random.below(place.capacity)),
                        1 => place.word(producer.tail().bytes()),
                        _ => place.control + layout::LINE_WORDS * random.below(4) as usize,
                    };
                    let word = &words[anywhere(&mut random)];
                    let old = word.load(atomics::Relaxed);
                    // Values near the valid ones reach further than noise.
                    let new = match random.below(6) {
                        0 => random.next(),
                        1 => old ^ (1 << random.below(64)),
                        2 => old.wrapping_add(8),
                        3 => old.wrapping_sub(16),
                        4 => words[anywhere(&mut random)].load(atomics::Relaxed),
                        _ => 0,
                    };
                    word.store(new, atomics::Relaxed);
                }
            }
        }
    }
}

#[test]
fn a_ring_has_a_power_of_two_of_bytes_within_the_limits() {
    assert!(matches!(Layout::new(5000, 4096), Err(AttachError::Capacity(5000))));
    assert!(matches!(Layout::new(4096, MAX_CAPACITY * 2), Err(AttachError::Capacity(_))));
}
