//! Both ends of a ring work by the rules while the input writes what it likes into the shared
//! words. Errors and nonsense are allowed; panics, reads out of bounds and endless loops are not.
//!
//! `cargo +nightly fuzz run ring`, on Linux.
#![no_main]

use std::sync::atomic::Ordering::Relaxed;

use libfuzzer_sys::fuzz_target;
use open_channel_ring::*;

#[derive(Clone)]
struct Quiet;

impl Wake for Quiet {
    fn wake(&self) {}
}

fuzz_target!(|input: &[u8]| {
    let layout = Layout::new(MIN_CAPACITY, MIN_CAPACITY).unwrap();
    let memory = Heap::new(layout);
    let one = RingEnds::offering(memory.clone(), layout, Quiet, Quiet);
    let two = RingEnds::accepting(memory.clone(), layout, Quiet, Quiet);
    let mut sides = [one, two];
    let mut claimed = [Position::default(); 2];
    let words = memory.words();
    // Twelve bytes a step: what to do, where, and with what.
    for step in input.chunks_exact(12) {
        let place = usize::from(u16::from_le_bytes([step[1], step[2]]));
        let value = u64::from_le_bytes(step[4..].try_into().unwrap());
        let side = usize::from(step[3] & 1);
        let from = &mut sides[side];
        match step[0] % 10 {
            0 | 1 => {
                let _ = from.producer.push(step[4], step[5], &vec![step[6]; place % 2100]);
            }
            2 => {
                if let Ok(Some(record)) = from.consumer.claim() {
                    assert_eq!(record.to_vec().len(), record.len());
                    claimed[side] = record.end();
                }
            }
            3 => {
                if let Ok(Some(claim)) = from.consumer.claim_if(|_, _, _| true) {
                    assert_eq!(
                        from.consumer.record(claim).to_vec().len(),
                        from.consumer.record(claim).len()
                    );
                    let apart = from.consumer.detach(claim);
                    let record = apart.record();
                    claimed[side] = record.end();
                    let at = place.min(record.len());
                    record.read_at(at, &mut vec![0; record.len() - at]);
                    assert_eq!(record.blocks_at(at & !7).count(), (record.len() - (at & !7)) / 64);
                }
            }
            4 => {
                let _ = from.consumer.release(claimed[side]);
            }
            5 => {
                // A record of this ring takes at least eight bytes.
                assert!(from.producer.unreleased().count() <= MIN_CAPACITY / 8);
            }
            6 => {
                let _ = from.producer.released();
                let _ = from.consumer.is_ready();
                from.consumer.prepare_park();
            }
            7 if step[3] & 0xF0 == 0 => {
                let _ = from.producer.fence();
            }
            8 => words[place % words.len()].store(value, Relaxed),
            // Near a valid value, or in the control lines, reaches further than noise.
            _ => {
                let word = &words[place % if step[3] & 2 == 0 { 160 } else { words.len() }];
                word.store(word.load(Relaxed) ^ (1 << (value % 64)), Relaxed);
            }
        }
    }
});
