//! The cost of a record by itself: written, claimed, read and released by one thread, in its own
//! caches. `cargo bench -p open-channel-ring --bench one_thread`, on every system.
//!
//! Nothing waits here, and bursts are so short that most of them run undisturbed. So the lower
//! percentiles are steady on a busy machine, too, and show a change of a nanosecond.
use std::hint::black_box;
use std::time::Instant;

use open_channel_ring::{Heap, Layout, RingEnds, Wake};

/// Bytes of a block.
const BLOCK: usize = 64;
const CAPACITY: usize = 1 << 20;

#[derive(Clone)]
struct Awake;

impl Wake for Awake {
    fn wake(&self) {}
}

struct Pair {
    one: RingEnds<Heap, Awake>,
    two: RingEnds<Heap, Awake>,
}

impl Pair {
    fn new() -> Pair {
        let layout = Layout::new(CAPACITY, CAPACITY).expect("layout");
        let memory = Heap::new(layout);
        Pair {
            one: RingEnds::offering(memory.clone(), layout, Awake, Awake),
            two: RingEnds::accepting(memory, layout, Awake, Awake),
        }
    }

    fn copy(&mut self, from: &[u8], to: &mut [u8]) {
        let end = self.one.producer.push(1, 0, from).expect("room");
        self.two.consumer.claim().expect("claim").expect("a record").read_at(0, to);
        self.two.consumer.release(end).expect("release");
    }

    fn in_place(&mut self, blocks: usize) {
        let mut slot = self.one.producer.reserve_apart(blocks * BLOCK).expect("room");
        slot.append_blocks((0..blocks).map(|block| [block as u8; BLOCK]));
        let end = self.one.producer.commit(slot, 1, 0);
        let record = self.two.consumer.claim().expect("claim").expect("a record");
        let sum = record.blocks_at(0).fold([0; BLOCK], |mut sum: [u8; BLOCK], block| {
            sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
            sum
        });
        black_box(sum);
        self.two.consumer.release(end).expect("release");
    }
}

/// Measures many bursts of a few turns each.
fn measure(name: &str, len: usize, mut turn: impl FnMut()) {
    let turns = if len > 4096 { 4 } else { 64 };
    let mut times: Vec<f64> = (0..20_000)
        .map(|_| {
            let start = Instant::now();
            (0..turns).for_each(|_| turn());
            start.elapsed().as_nanos() as f64 / f64::from(turns)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let [best, quarter] = [times.len() / 100, times.len() / 4].map(|at| times[at]);
    println!("{name:9} {len:6} B  1st percentile {best:8.1} ns  1st quartile {quarter:8.1} ns");
}

fn main() {
    // `cargo test --all-targets` comes here too, and wants to know only whether this compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    for len in [0, 64, 1024, 16 << 10, 64 << 10] {
        let (mut pair, from, mut to) = (Pair::new(), vec![7; len], vec![0; len]);
        measure("copied", len, || pair.copy(&from, &mut to));
        assert_eq!(from, to);
        if len >= 1024 {
            measure("in place", len, || pair.in_place(len / BLOCK));
        }
    }
}
