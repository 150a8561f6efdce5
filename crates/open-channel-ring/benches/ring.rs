//! How fast the shared-memory ring is by itself, next to the raw limits of this machine, measured
//! in one run: `cargo bench -p open-channel-ring`. Two threads pinned to two cores. Every payload
//! is written and read.
//!
//! All lanes take turns of a few milliseconds, over and over, and each is compared with the raw
//! lane of the same round: a virtual machine's cores move about and its neighbours come and go, and
//! a ratio of neighbours stays where a figure does not.
//!
//! The raw ring is what a benchmark would write for itself: slots of 64 bytes with a sequence
//! number each, spinning, no acknowledgement, no fence, no checks, no way to sleep.
#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::hint::{black_box, spin_loop};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::*};
    use std::thread;
    use std::time::{Duration, Instant};

    use open_channel_ring::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::thread::CpuSet;

    /// Bytes of a block that is written or read in place.
    const BLOCK: usize = 64;
    /// Turns per lane; the median of them is reported.
    const ROUNDS: usize = 60;

    /// The first two cores that this process may use.
    fn two_cores() -> Option<[usize; 2]> {
        let allowed = rustix::thread::sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Some([cores.next()?, cores.next()?])
    }

    fn pin(core: usize) {
        let mut set = CpuSet::new();
        set.set(core);
        rustix::thread::sched_setaffinity(None, &set).expect("pin");
    }

    /// A spinning ring of 64-byte payloads: 128-byte slots, sequence number first.
    struct Raw(Vec<RawSlot>);
    #[derive(Default)]
    #[repr(align(128))]
    struct RawSlot {
        seq: AtomicU64,
        payload: [AtomicU64; 8],
    }
    const RAW_SLOTS: usize = 1024;

    impl Raw {
        fn new() -> Raw {
            Raw((0..RAW_SLOTS).map(|_| RawSlot::default()).collect())
        }
        #[inline]
        fn put(&self, n: u64, payload: &[u64; 8]) {
            let slot = &self.0[n as usize % RAW_SLOTS];
            for (word, value) in slot.payload.iter().zip(payload) {
                word.store(*value, Relaxed);
            }
            slot.seq.store(n + 1, Release);
        }
        #[inline]
        fn take(&self, n: u64) -> [u64; 8] {
            let slot = &self.0[n as usize % RAW_SLOTS];
            while slot.seq.load(Acquire) != n + 1 {
                spin_loop();
            }
            std::array::from_fn(|i| slot.payload[i].load(Relaxed))
        }
    }

    /// Two ends, sleeping when there is nothing for long.
    struct End {
        ring: RingLink,
        spin: Spin,
    }

    impl End {
        #[inline]
        fn send(&mut self, payload: &[u8]) {
            while let Err(error) = self.ring.producer.push(0, 0, payload) {
                let RingError::Full { wanted } = error else { panic!("{error}") };
                self.wait_for_room(wanted);
            }
        }

        fn wait_for_room(&mut self, wanted: Position) {
            let producer = &mut self.ring.producer;
            if !self.spin.until(Duration::MAX, || producer.released().expect("index") >= wanted) {
                self.ring.doorbell.silence();
                producer.prepare_park(wanted);
                if producer.released().expect("index") < wanted {
                    self.sleep();
                }
            }
        }

        fn wait_for_record(&mut self) {
            let consumer = &self.ring.consumer;
            if !self.spin.until(Duration::MAX, || consumer.is_ready()) {
                self.ring.doorbell.silence();
                consumer.prepare_park();
                if !consumer.is_ready() {
                    self.sleep();
                }
            }
        }

        fn send_blocks(&mut self, byte: u8, blocks: usize) {
            let mut slot = loop {
                match self.ring.producer.reserve_apart(blocks * BLOCK) {
                    Ok(slot) => break slot,
                    Err(RingError::Full { wanted }) => self.wait_for_room(wanted),
                    Err(error) => panic!("{error}"),
                }
            };
            slot.append_blocks((0..blocks).map(|_| [byte; BLOCK]));
            self.ring.producer.commit(slot, 0, 0);
        }

        fn receive_blocks(&mut self, byte: u8, blocks: usize) {
            loop {
                if let Some(record) = self.ring.consumer.claim().expect("claim") {
                    let all = record.blocks_at(0);
                    assert_eq!(all.len(), blocks);
                    let sum = all.fold([0; BLOCK], |mut sum, block| {
                        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
                        sum
                    });
                    assert!(
                        sum.iter()
                            .all(|sum| *sum == if blocks.is_multiple_of(2) { 0 } else { byte })
                    );
                    let end = record.end();
                    self.ring.consumer.release(end).expect("release");
                    return;
                }
                self.wait_for_record();
            }
        }

        #[inline]
        fn receive(&mut self, out: &mut [u8]) -> usize {
            loop {
                if let Some(record) = self.ring.consumer.claim().expect("claim") {
                    let (len, end) = (record.len(), record.end());
                    record.read_at(0, &mut out[..len]);
                    self.ring.consumer.release(end).expect("release");
                    return len;
                }
                self.wait_for_record();
            }
        }

        #[cold]
        fn sleep(&mut self) {
            SLEPT.fetch_add(1, Relaxed);
            let doorbell = self.ring.doorbell.descriptor();
            poll(&mut [PollFd::new(&doorbell, PollFlags::IN)], None).expect("poll");
        }
    }

    fn ends(bytes: usize, spin: &Spin) -> (End, End) {
        let layout = Layout::new(bytes, bytes).expect("layout");
        let (one, offer) = offer(layout).expect("memory");
        let passed = offer
            .descriptors()
            .iter()
            .map(|fd| fd.try_clone_to_owned().expect("descriptors"))
            .collect();
        let two = accept(layout, passed).expect("our own offer");
        (End { ring: one, spin: spin.clone() }, End { ring: two, spin: spin.clone() })
    }

    /// One thing to measure: what this thread does in a turn, and what the other one does
    /// meanwhile.
    struct Lane {
        name: String,
        here: Box<dyn FnMut() -> usize>,
        there: Box<dyn FnMut() + Send>,
        bytes: usize,
    }

    fn lane(
        name: impl Into<String>,
        bytes: usize,
        here: impl FnMut() -> usize + 'static,
        there: impl FnMut() + Send + 'static,
    ) -> Lane {
        Lane { name: name.into(), here: Box::new(here), there: Box::new(there), bytes }
    }

    /// Runs all lanes in turns; the first is the one that the others are compared with.
    fn compare(cores: [usize; 2], title: &str, lanes: Vec<Lane>) {
        let (names, mut heres, mut theres) = (
            lanes.iter().map(|lane| (lane.name.clone(), lane.bytes)).collect::<Vec<_>>(),
            Vec::new(),
            Vec::new(),
        );
        for lane in lanes {
            heres.push(lane.here);
            theres.push(lane.there);
        }
        let turn = AtomicU64::new(0);
        let mut times = vec![Vec::new(); heres.len()];
        thread::scope(|scope| {
            scope.spawn(|| {
                pin(cores[1]);
                for round in 0..ROUNDS * theres.len() {
                    // Both start a turn together.
                    turn.fetch_add(1, AcqRel);
                    while turn.load(Acquire) < 2 * (round as u64 + 1) {
                        spin_loop();
                    }
                    let lanes = theres.len();
                    theres[round % lanes]();
                }
            });
            pin(cores[0]);
            for round in 0..ROUNDS * heres.len() {
                turn.fetch_add(1, AcqRel);
                while turn.load(Acquire) < 2 * (round as u64 + 1) {
                    spin_loop();
                }
                let lane = round % heres.len();
                let start = Instant::now();
                let count = heres[lane]();
                times[lane].push(start.elapsed().as_nanos() as f64 / count as f64);
            }
        });
        println!("{title}");
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[values.len() / 10])
        };
        for ((name, bytes), own) in names.iter().zip(&times) {
            let ratios = own.iter().zip(&times[0]).map(|(own, raw)| own / raw).collect();
            let ((time, best), (ratio, _)) = (median(own.clone()), median(ratios));
            println!(
                "  {name:44} {time:9.1} ns (best tenth {best:9.1})  {:7.2} GB/s  {ratio:6.2} x the first",
                *bytes as f64 / time
            );
        }
    }

    const TRIPS: usize = 2000;
    /// How often a side really slept: a lane named after sleeping is to show that it did.
    static SLEPT: AtomicU64 = AtomicU64::new(0);

    fn raw_trips() -> Lane {
        let rings = Arc::new((Raw::new(), Raw::new()));
        let (here, there) = (rings.clone(), rings);
        let (mut n, mut m) = (0, 0);
        lane(
            "raw spinning ring, 64 B",
            64,
            move || {
                for _ in 0..TRIPS {
                    here.0.put(n, &[n; 8]);
                    assert_eq!(here.1.take(n)[7], n);
                    n += 1;
                }
                TRIPS
            },
            move || {
                for _ in 0..TRIPS {
                    there.1.put(m, &there.0.take(m));
                    m += 1;
                }
            },
        )
    }

    fn cache_line_trips() -> Lane {
        let slots = Arc::new((RawSlot::default(), RawSlot::default()));
        let (here, there) = (slots.clone(), slots);
        let (mut n, mut m) = (0, 0);
        lane(
            "cache line, 8 B",
            8,
            move || {
                for _ in 0..TRIPS {
                    n += 1;
                    here.0.seq.store(n, Release);
                    while here.1.seq.load(Acquire) != n {
                        spin_loop();
                    }
                }
                TRIPS
            },
            move || {
                for _ in 0..TRIPS {
                    m += 1;
                    while there.0.seq.load(Acquire) != m {
                        spin_loop();
                    }
                    there.1.seq.store(m, Release);
                }
            },
        )
    }

    fn ring_trips(name: &str, len: usize, trips: usize, spin: &Spin) -> Lane {
        let (mut here, mut there) = ends(1 << 18, spin);
        let mut buffer = vec![7; len];
        let mut other = vec![0; len];
        lane(
            format!("{name}, {len} B"),
            len,
            move || {
                for n in 0..trips {
                    buffer[len - 1] = n as u8;
                    here.send(&buffer);
                    assert_eq!(here.receive(&mut buffer), len);
                    assert_eq!(buffer[len - 1], n as u8);
                }
                trips
            },
            move || {
                for _ in 0..trips {
                    there.receive(&mut other);
                    there.send(&other);
                }
            },
        )
    }

    fn socket_trips(trips: usize) -> Lane {
        let (mut here, mut there) = UnixStream::pair().expect("pair");
        lane(
            "blocking Unix socket, 64 B",
            64,
            move || {
                let mut buffer = [7; 64];
                for _ in 0..trips {
                    here.write_all(&buffer).expect("write");
                    here.read_exact(&mut buffer).expect("read");
                }
                trips
            },
            move || {
                let mut buffer = [0; 64];
                for _ in 0..trips {
                    there.read_exact(&mut buffer).expect("read");
                    there.write_all(&buffer).expect("write");
                }
            },
        )
    }

    fn raw_one_way(count: usize) -> Lane {
        let shared = Arc::new((Raw::new(), RawSlot::default(), Raw::new()));
        let (here, there) = (shared.clone(), shared);
        let (mut n, mut m, mut turn, mut other_turn) = (0, 0, 0, 0);
        lane(
            "raw spinning ring, 64 B",
            64,
            move || {
                let mut seen = here.1.seq.load(Acquire);
                for _ in 0..count {
                    while n - seen >= RAW_SLOTS as u64 {
                        seen = here.1.seq.load(Acquire);
                    }
                    here.0.put(n, &[n; 8]);
                    n += 1;
                }
                here.2.take(turn);
                turn += 1;
                count
            },
            move || {
                for _ in 0..count {
                    assert_eq!(there.0.take(m)[3], m);
                    m += 1;
                    there.1.seq.store(m, Release);
                }
                there.2.put(other_turn, &[0; 8]);
                other_turn += 1;
            },
        )
    }

    fn ring_one_way(len: usize, count: usize, spin: &Spin) -> Lane {
        let (mut here, mut there) = ends(1 << 20, spin);
        let mut buffer = vec![7; len];
        let mut other = vec![7; len];
        lane(
            format!("ring, {len} B"),
            len,
            move || {
                for n in 0..count {
                    buffer[len - 1] = n as u8;
                    here.send(&buffer);
                }
                assert_eq!(here.receive(&mut buffer), 1);
                count
            },
            move || {
                for n in 0..count {
                    assert_eq!(there.receive(&mut other), len);
                    assert_eq!(other[len - 1], n as u8);
                    black_box(&other);
                }
                there.send(&[1]);
            },
        )
    }

    /// Made and read 64 bytes at a time, in registers: neither side has the payload in other
    /// memory.
    fn ring_one_way_in_place(len: usize, count: usize, spin: &Spin) -> Lane {
        let (mut here, mut there) = ends(1 << 20, spin);
        lane(
            format!("ring, {len} B, in place"),
            len,
            move || {
                for n in 0..count {
                    here.send_blocks(n as u8, len / BLOCK);
                }
                assert_eq!(here.receive(&mut [0; 1]), 1);
                count
            },
            move || {
                for n in 0..count {
                    there.receive_blocks(n as u8, len / BLOCK);
                }
                there.send(&[1]);
            },
        )
    }

    pub(super) fn main() {
        // `cargo test --all-targets` comes here too, and wants to know only whether this compiles.
        if !std::env::args().any(|arg| arg == "--bench") {
            return;
        }
        let Some(cores) = two_cores() else {
            println!("two cores are needed");
            return;
        };
        // All cores of the machine count, whatever the threads are pinned to.
        let spin = &Spin::new();
        if std::env::args().any(|arg| arg == "busy") {
            // `-- busy`, for `strace -f -c`: nothing but busy pairs.
            compare(cores, "busy, round trip", vec![ring_trips("ring", 64, TRIPS * 5, spin)]);
            compare(cores, "busy, one way", vec![ring_one_way(64, 50_000, spin)]);
            println!("slept {} times", SLEPT.load(Relaxed));
            return;
        }
        compare(
            cores,
            "round trip",
            vec![
                raw_trips(),
                cache_line_trips(),
                ring_trips("ring", 64, TRIPS, spin),
                ring_trips("ring", 48, TRIPS, spin),
                ring_trips("ring", 1024, TRIPS, spin),
            ],
        );
        compare(
            cores,
            "one way",
            vec![
                raw_one_way(20_000),
                ring_one_way(64, 20_000, spin),
                ring_one_way(1024, 10_000, spin),
                ring_one_way(16 << 10, 1000, spin),
                ring_one_way(64 << 10, 250, spin),
                ring_one_way(256 << 10, 80, spin),
                ring_one_way_in_place(16 << 10, 1000, spin),
                ring_one_way_in_place(64 << 10, 250, spin),
                ring_one_way_in_place(256 << 10, 80, spin),
            ],
        );
        let before = SLEPT.load(Relaxed);
        compare(
            cores,
            "round trip, next to a blocking socket",
            vec![socket_trips(300), ring_trips("ring", 64, 300, spin)],
        );
        let slept = SLEPT.load(Relaxed) - before;
        println!(
            "  {:.0} % of the ring's waits slept",
            slept as f64 * 100.0 / (ROUNDS * 300 * 2) as f64
        );
    }
}
