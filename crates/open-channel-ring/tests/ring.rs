//! The ring between threads and between real processes, some of which are stopped or killed.
//!
//! A second process is this test binary again, running only `the_other_process` with a Unix socket
//! as its standard input. The checks hold at whatever moment a fence or a kill comes; the
//! moments only vary.
//!
//! `OPEN_CHANNEL_KILLS=1000` is the full run of the kills; without it there are 200.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(clippy::unwrap_used)] // a test may panic

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use open_channel_ring::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "OPEN_CHANNEL_RING_TEST_ROLE";
/// A ring of one page wraps and fills all the time.
const BYTES: usize = MIN_CAPACITY;

/// No test may hang: after five minutes the process is ended, with a message.
struct Watchdog(
    #[expect(dead_code, reason = "dropping it ends the watch")] std::sync::mpsc::Sender<()>,
);

impl Watchdog {
    fn new(name: &'static str) -> Watchdog {
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || {
            if receiver.recv_timeout(Duration::from_secs(300))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        });
        Watchdog(sender)
    }
}

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }
}

/// The content of record `n`: length and bytes follow from `n`, so that anything torn shows.
fn content(n: u64) -> Vec<u8> {
    let mut random = Random::new(n + 1);
    let len = match random.below(4) {
        0 => random.below(10),
        1 => random.below(1500),
        _ => random.below(200),
    };
    let start = random.below(256);
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|i| (start + i * 3) as u8));
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// A link with a way to sleep.
struct Side {
    link: RingLink,
    /// Its end says that the other process is gone.
    lifeline: Option<UnixStream>,
    spin: Spin,
    /// Called when the other process is gone and has left nothing.
    gone: fn() -> !,
}

impl Side {
    fn new(link: RingLink, lifeline: Option<&UnixStream>) -> Side {
        let lifeline = lifeline.map(|socket| socket.try_clone().unwrap());
        Side { link, lifeline, spin: Spin::new(), gone: || panic!("the other process is gone") }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Position, RingError> {
        loop {
            match self.link.producer.push(bytes.len() as u8, 1, bytes) {
                Err(RingError::Full { wanted }) => {
                    let producer = &mut self.link.producer;
                    if self.spin.until(Duration::MAX, || producer.released().unwrap() >= wanted) {
                        continue;
                    }
                    self.link.doorbell.silence();
                    producer.prepare_park(wanted);
                    if producer.released()? < wanted {
                        self.sleep();
                    }
                }
                result => return result,
            }
        }
    }

    fn claim(&mut self) -> Result<(Vec<u8>, Position), RingError> {
        loop {
            if let Some(record) = self.link.consumer.claim()? {
                assert_eq!((record.kind(), record.flags()), (record.len() as u8, 1));
                return Ok((record.to_vec(), record.end()));
            }
            let consumer = &self.link.consumer;
            if self.spin.until(Duration::MAX, || consumer.is_ready()) {
                continue;
            }
            self.link.doorbell.silence();
            consumer.prepare_park();
            if !consumer.is_ready() {
                self.sleep();
            }
        }
    }

    fn sleep(&mut self) {
        let doorbell = self.link.doorbell.descriptor();
        let mut watched = vec![PollFd::new(&doorbell, PollFlags::IN)];
        watched.extend(self.lifeline.as_ref().map(|socket| PollFd::new(socket, PollFlags::RDHUP)));
        while let Err(error) = poll(&mut watched, None) {
            assert_eq!(error, rustix::io::Errno::INTR);
        }
        // A record in the ring comes before the end of the other process.
        if watched[0].revents().is_empty() {
            (self.gone)();
        }
    }
}

fn two_ends() -> (RingLink, RingLink) {
    let layout = Layout::new(BYTES, BYTES).unwrap();
    let (one, offer) = offer(layout).unwrap();
    let descriptors =
        offer.descriptors().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
    (one, accept(layout, descriptors).unwrap())
}

/// A process with the other end of a fresh ring.
struct Other {
    child: Child,
    socket: UnixStream,
    link: Option<RingLink>,
}

impl Other {
    fn start(role: &str) -> Other {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (link, offer) = offer(Layout::new(BYTES, BYTES).unwrap()).unwrap();
        send_with_descriptors(&socket, b"ring", &offer.descriptors()).unwrap();
        Other { child, socket, link: Some(link) }
    }

    fn side(&mut self) -> Side {
        Side::new(self.link.take().unwrap(), Some(&self.socket))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the second process of the tests below.
#[test]
fn the_other_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    // Reported at once: ending takes so long that a kill could hide it.
    let other_end = socket.try_clone().unwrap();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = (&other_end).write_all(panic.to_string().as_bytes());
        eprintln!("{panic}");
    }));
    let received = receive_with_descriptors(&socket, &mut [0; 8]).unwrap();
    let link = accept(Layout::new(BYTES, BYTES).unwrap(), received.descriptors).unwrap();
    let mut side = Side::new(link, Some(&socket));
    side.gone = || std::process::exit(0);
    match role.as_str() {
        // Handles each record by telling so on the other ring, and only then releases it.
        "handle" => loop {
            match side.claim() {
                Ok((bytes, end)) => {
                    assert_eq!(bytes, content(number(&bytes)));
                    side.push(&bytes).unwrap();
                    side.link.consumer.release(end).unwrap();
                }
                Err(error) => {
                    assert_eq!(error, RingError::Fenced);
                    side.push(b"fenced--").unwrap();
                    std::process::exit(0);
                }
            }
        },
        role => panic!("{role}"),
    }
}

#[test]
fn two_threads_pass_everything_on_in_order() {
    let _watchdog = Watchdog::new("two_threads_pass_everything_on_in_order");
    const COUNT: u64 = 50_000;
    let (one, two) = two_ends();
    let (mut one, mut two) = (Side::new(one, None), Side::new(two, None));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..COUNT {
                one.push(&content(n)).unwrap();
            }
        });
        let mut random = Random::new(7);
        for n in 0..COUNT {
            let (bytes, end) = two.claim().unwrap();
            assert_eq!(bytes, content(n));
            // Held back for a while now and then, as an application would, but not until all is
            // full.
            if random.below(3) == 0 || n == COUNT - 1 || bytes.len() > 500 {
                two.link.consumer.release(end).unwrap();
            }
            if n % 16 == 0 {
                two.link.consumer.release(end).unwrap();
            }
        }
    });
    assert_eq!(one.link.producer.released().unwrap(), one.link.producer.tail());
}

/// The consumer's own account of what it claimed and the producer's after the fence are the same.
#[test]
fn a_fence_at_any_moment_is_exact() {
    let _watchdog = Watchdog::new("a_fence_at_any_moment_is_exact");
    let mut random = Random::new(1);
    for _ in 0..300 {
        let (one, two) = two_ends();
        let (mut one, mut two) = (Side::new(one, None), Side::new(two, None));
        thread::scope(|scope| {
            let consumer = scope.spawn(move || {
                let mut count = 0;
                loop {
                    match two.claim() {
                        Ok((bytes, end)) => {
                            assert_eq!(bytes, content(count));
                            count += 1;
                            if count % 3 != 0 {
                                two.link.consumer.release(end).unwrap();
                            }
                        }
                        Err(RingError::Fenced) => return count,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let mut written = 0;
            for _ in 0..random.below(300) {
                one.push(&content(written)).unwrap();
                written += 1;
            }
            one.link.producer.fence().unwrap();
            let stored: Vec<_> = one.link.producer.unreleased().map(Result::unwrap).collect();
            let claimed = consumer.join().unwrap();
            let first = written - stored.len() as u64;
            for (n, stored) in (first..).zip(&stored) {
                assert_eq!(stored.record.to_vec(), content(n));
                assert_eq!(stored.maybe_claimed, n < claimed);
            }
        });
    }
}

#[test]
fn two_processes_pass_everything_on_in_order() {
    let _watchdog = Watchdog::new("two_processes_pass_everything_on_in_order");
    const COUNT: u64 = 20_000;
    let mut other = Other::start("handle");
    let mut side = other.side();
    let mut answered = 0;
    for n in 0..COUNT {
        // Up to a few on the way; never so many that both rings are full.
        while n - answered >= 2 {
            let (bytes, end) = side.claim().unwrap();
            assert_eq!(bytes, content(answered));
            side.link.consumer.release(end).unwrap();
            answered += 1;
        }
        side.push(&content(n)).unwrap();
    }
    while answered < COUNT {
        let (bytes, end) = side.claim().unwrap();
        assert_eq!(bytes, content(answered));
        side.link.consumer.release(end).unwrap();
        answered += 1;
    }
}

/// A process that was stopped while another took over finds the ring fenced and gets nothing more.
#[test]
fn a_host_that_wakes_up_late_gets_nothing_more() {
    let _watchdog = Watchdog::new("a_host_that_wakes_up_late_gets_nothing_more");
    for round in 0..20 {
        let mut other = Other::start("handle");
        let mut side = other.side();
        side.push(&content(0)).unwrap();
        // It has begun.
        let (bytes, end) = side.claim().unwrap();
        assert_eq!(bytes, content(0));
        side.link.consumer.release(end).unwrap();
        let (mut written, mut answered) = (1, 1);
        for n in 1..=round * 5 {
            let bytes = content(n);
            match side.link.producer.push(bytes.len() as u8, 1, &bytes) {
                Ok(_) => written += 1,
                Err(RingError::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        other.signal(Signal::STOP);
        let claimed = side.link.producer.fence().unwrap();
        other.signal(Signal::CONT);
        loop {
            let (bytes, end) = side.claim().unwrap();
            side.link.consumer.release(end).unwrap();
            if bytes == b"fenced--" {
                break;
            }
            assert_eq!(bytes, content(answered));
            answered += 1;
        }
        // All that was claimed before the fence was handled in the end, and nothing else.
        assert_eq!(side.link.producer.released().unwrap(), claimed);
        assert_eq!(side.link.producer.unreleased().count() as u64, written - answered);
    }
}

/// The other process is killed while it reads one ring and writes the other, over and over.
#[test]
fn a_kill_at_any_moment_tears_nothing_and_loses_nothing() {
    let _watchdog = Watchdog::new("a_kill_at_any_moment_tears_nothing_and_loses_nothing");
    let kills: u64 =
        std::env::var("OPEN_CHANNEL_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let (mut in_read, mut in_between, mut in_write) = (0, 0, 0);
    for round in 0..kills {
        let mut random = Random::new(round + 1);
        let mut other = Other::start("handle");
        let mut link = other.link.take().unwrap();
        let (mut written, mut answers) = (0, 0);
        let mut killed_at = None;
        while killed_at.is_none_or(|at: Instant| Instant::now() < at) {
            let bytes = content(written);
            match link.producer.push(bytes.len() as u8, 1, &bytes) {
                Ok(_) => written += 1,
                Err(RingError::Full { .. }) => {
                    assert_eq!(
                        other.child.try_wait().unwrap(),
                        None,
                        "round {round}: it ended by itself"
                    );
                    thread::yield_now();
                }
                Err(error) => panic!("round {round}: {error}"),
            }
            if let Some(record) = link.consumer.claim().unwrap() {
                assert_eq!(
                    record.to_vec(),
                    content(answers),
                    "round {round}: torn or out of order"
                );
                let end = record.end();
                link.consumer.release(end).unwrap();
                answers += 1;
                // The clock starts when the other process is at work.
                killed_at.get_or_insert_with(|| {
                    Instant::now() + Duration::from_nanos(random.below(400_000))
                });
            }
        }
        other.signal(Signal::KILL);
        other.child.wait().unwrap();
        let mut panicked = String::new();
        other.socket.read_to_string(&mut panicked).unwrap();
        assert_eq!(panicked, "", "round {round}: found by the other process");

        // The records that it wrote before it died are a whole prefix.
        while let Some(record) = link.consumer.claim().unwrap() {
            assert_eq!(record.to_vec(), content(answers), "round {round}: torn or out of order");
            answers += 1;
        }
        let claimed = link.producer.fence().unwrap();
        let stored: Vec<_> = link.producer.unreleased().map(Result::unwrap).collect();
        let released = written - stored.len() as u64;
        for (n, stored) in (released..).zip(&stored) {
            assert_eq!(stored.record.to_vec(), content(n), "round {round}: torn in the store");
            assert_eq!(stored.maybe_claimed, stored.record.end() <= claimed);
        }
        let seen = released + stored.iter().filter(|stored| stored.maybe_claimed).count() as u64;
        // It answers for a record, then releases it; and claims one at a time.
        assert!(
            released <= answers && answers <= released + 1,
            "round {round}: {released} {answers}"
        );
        assert!(answers <= seen && seen <= released + 1, "round {round}: {answers} {seen}");
        match (answers - released, seen - released) {
            (0, 0) => in_between += 1,
            (0, _) => in_read += 1,
            _ => in_write += 1,
        }
    }
    println!(
        "{kills} kills: {in_read} between claim and answer, {in_write} between answer and release, {in_between} elsewhere"
    );
}
