//! Peers, and a host, that share memory and break its rules.
#![cfg_attr(
    open_channel_portable,
    allow(
        unused_variables,
        unused_mut,
        unreachable_code,
        reason = "there is no ring, so no rule of it"
    )
)]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use open_channel_ring::{Layout, RingLink, accept, offer, receive_with_descriptors};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::net::Shutdown;

use crate::failover::traffic_flows;
use crate::isolation::{SLACK, answer_everybody, busy_pair, check_unharmed, impostor};
use crate::mixture;
use crate::raw::{self, DATA, Hello, MAGIC, RESET, frame};
use crate::ring::stage_until;
use crate::stage::{Actor, Stage};

/// The size of each ring, unless a test sets another.
const RING: u64 = 1 << 16;
/// This process lives, so the host holds the sessions of broken connections for this long.
const SHORT: &str = "resume_timeout=300";
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Offsets in the memory, by docs/PROTOCOL.md.
const UP_CLAIMED: u64 = 128;
const DOWN_RELEASED: u64 = 768;
const UP_DATA: u64 = 3960;
/// Plus the size of the up ring.
const DOWN_DATA: u64 = 4088;
const BYTES: u64 = 4096 + 2 * RING;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const END: u8 = 5;

/// A record's flag: several messages.
const PACKED: u8 = 2;

/// A record's header at `position`.
fn header(position: u64, len: u64, kind: u8) -> u64 {
    1 << 63 | (position >> 3 & 0x3fff) << 48 | u64::from(kind) << 32 | len
}

fn layout() -> Layout {
    Layout::new(RING as usize, RING as usize).unwrap()
}

/// A peer with rings that the host has taken.
struct Hostile {
    stream: UnixStream,
    ring: RingLink,
    memory: OwnedFd,
    hosts_doorbell: OwnedFd,
}

impl Hostile {
    fn attach(path: &Path, socket: u128) -> Self {
        let (ring, offer) = offer(layout()).unwrap();
        let descriptors = offer.descriptors();
        let hello = Hello { socket, rings: Some((RING, RING)), ..Hello::default() };
        let (stream, welcome) = raw::exchange_hello_with(path, &hello, &descriptors);
        assert_eq!(features(&welcome), 1, "the ring was declined");
        let [memory, _, hosts_doorbell] = descriptors.map(|fd| fd.try_clone_to_owned().unwrap());
        Self { stream, ring, memory, hosts_doorbell }
    }

    fn write(&self, offset: u64, word: u64) {
        poke(&self.memory, offset, word);
    }

    fn push(&mut self, kind: u8, payload: &[u8]) {
        self.push_flagged(kind, 0, payload);
    }

    fn push_flagged(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        self.ring.producer.push(kind, flags, payload).unwrap();
    }

    fn call(&self) {
        call(&self.hosts_doorbell);
    }

    /// A first part of a message of `total` bytes.
    fn begin(&mut self, total: u64, payload: &[u8]) {
        self.push(FIRST, &[&total.to_le_bytes(), payload].concat());
    }

    /// Waits for the next answer of the host, without a limit.
    fn answer(&mut self) -> Vec<u8> {
        loop {
            if let Some(record) = self.ring.consumer.claim().unwrap() {
                let (bytes, end) = (record.to_vec(), record.end());
                self.ring.consumer.release(end).unwrap();
                return bytes;
            }
            std::thread::yield_now();
        }
    }

    fn is_closed(&self) -> bool {
        let mut byte = [0];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        rustix::net::recv(&self.stream, &mut byte, flags) != Err(rustix::io::Errno::AGAIN)
    }
}

fn poke(memory: impl AsFd, offset: u64, word: u64) {
    assert_eq!(rustix::io::pwrite(memory, &word.to_ne_bytes(), offset), Ok(8));
}

/// Rings a doorbell; one that is rung already is fine.
fn call(doorbell: impl AsFd) {
    let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
}

fn features(welcome: &[u8]) -> u64 {
    u64::from_le_bytes(*welcome[59..].first_chunk().unwrap())
}

fn descriptors(actor: &Actor) -> usize {
    std::fs::read_dir(actor.proc("fd")).unwrap().count()
}

fn mappings(actor: &Actor) -> usize {
    let maps = std::fs::read_to_string(actor.proc("maps")).unwrap();
    maps.lines().filter(|line| line.contains("memfd:")).count()
}

/// Memory that is correct except for its size, its seals or its header.
fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create(c"hostile", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, bytes).unwrap();
    for (offset, word) in [(0, u64::from_le_bytes(*b"ochring\0")), (8, 2), (16, RING), (24, RING)] {
        poke(&fd, offset, word);
    }
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn doorbell() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK).unwrap()
}

pub(crate) fn a_bad_offer_is_declined_and_the_socket_carries_on(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let (open, mapped) = (descriptors(&host), mappings(&host));
    let good = || memory(BYTES, SEALS);
    let pipe = || OwnedFd::from(std::io::pipe().unwrap().0);
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let file = || {
        let mut file = tempfile::tempfile_in(stage.path()).unwrap();
        file.write_all(&[0; 4096]).unwrap();
        OwnedFd::from(file)
    };
    let older = || {
        let fd = good();
        poke(&fd, 8, 1);
        fd
    };
    let blank = || {
        let fd = rustix::fs::memfd_create(c"hostile", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, BYTES).unwrap();
        rustix::fs::fcntl_add_seals(&fd, SEALS).unwrap();
        fd
    };
    let read_only = || {
        let fd = good();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        OwnedFd::from(File::open(path).unwrap())
    };
    let path_only =
        || rustix::fs::open(stage.path(), OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let blocking = || eventfd(0, EventfdFlags::empty()).unwrap();
    let usual = Some((RING, RING));
    let with_memory = |fd: OwnedFd| (usual, vec![fd, doorbell(), doorbell()]);
    let sized = |up, down| (Some((up, down)), vec![good(), doorbell(), doorbell()]);
    type Offer = (Option<(u64, u64)>, Vec<OwnedFd>);
    let offers: Vec<(&str, Offer)> = vec![
        ("nothing", (usual, vec![])),
        ("two descriptors", (usual, vec![good(), doorbell()])),
        ("four descriptors", (usual, vec![good(), doorbell(), doorbell(), null()])),
        ("thirty descriptors", (usual, (0..30).map(|_| null()).collect())),
        ("descriptors that are not announced", (None, vec![good(), doorbell(), doorbell()])),
        ("a pipe", with_memory(pipe())),
        ("a device", with_memory(null())),
        ("a file", with_memory(file())),
        ("a path", with_memory(path_only())),
        ("a doorbell for memory", (usual, vec![doorbell(), good(), doorbell()])),
        ("memory without seals", with_memory(memory(BYTES, SealFlags::empty()))),
        ("memory that can shrink", with_memory(memory(BYTES, SealFlags::GROW))),
        ("memory that is too small", with_memory(memory(4096, SEALS))),
        ("memory that is too large", with_memory(memory(BYTES + 4096, SEALS))),
        ("memory without a header", with_memory(blank())),
        ("memory of another version", with_memory(older())),
        ("memory that nobody may write", with_memory(memory(BYTES, SEALS | SealFlags::WRITE))),
        ("memory that the host may not write", with_memory(read_only())),
        ("a pipe for a doorbell", (usual, vec![good(), pipe(), doorbell()])),
        ("a file for a doorbell", (usual, vec![good(), doorbell(), file()])),
        ("a doorbell that blocks", (usual, vec![good(), doorbell(), blocking()])),
        ("rings of nothing", sized(0, 0)),
        ("rings of no size that is allowed", sized(3000, 5000)),
        ("a ring of the wrong size", sized(RING, 2 * RING)),
        ("rings beyond all memory", sized(u64::MAX, u64::MAX)),
        ("rings whose sizes overflow", sized(1 << 63, 1 << 63)),
        (
            "rings too large for this host",
            (
                Some((32 << 20, 32 << 20)),
                vec![memory(4096 + (64 << 20), SEALS), doorbell(), doorbell()],
            ),
        ),
    ];
    for (n, (what, (rings, fds))) in offers.iter().enumerate() {
        let hello = Hello { socket: 4000 + n as u128, rings: *rings, ..Hello::default() };
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let (mut stream, welcome) = raw::exchange_hello_with(&path, &hello, &borrowed);
        assert_eq!(features(&welcome), 0, "taken: {what}");
        let text = format!("offer {n}");
        stream.write_all(&raw::data(1, text.as_bytes())).unwrap();
        host.find(0, what, |line| line.is("handled") && line.text.ends_with(&text));
    }
    // Correct memory is taken.
    drop(Hostile::attach(&path, 5000));
    stage_until(|| descriptors(&host) <= open && mappings(&host) <= mapped);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_peer_that_breaks_the_rules_of_its_ring_loses_only_its_connection(
    stage: &mut Stage,
) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let (open, mapped, before) = (descriptors(&host), mappings(&host), host.memory("VmHWM"));
    type Fault = fn(&mut Hostile);
    let half = RING / 2;
    assert_eq!(half, 1 << 15, "the faults below count on it");
    let faults: &[(&str, Fault)] = &[
        ("noise for a header", |peer| peer.write(UP_DATA, 0x0123_4567_89ab_cdef)),
        ("all ones", |peer| peer.write(UP_DATA, u64::MAX)),
        ("a header of another place", |peer| peer.write(UP_DATA, header(8, 8, WHOLE))),
        ("a record longer than records may be", |peer| {
            peer.write(UP_DATA, header(0, RING / 2, WHOLE))
        }),
        ("a record of 4 GiB", |peer| peer.write(UP_DATA, header(0, 0xffff_ffff, WHOLE))),
        ("a record past the end", |peer| {
            peer.push(WHOLE, &[b'x'; 30_000]);
            peer.push(WHOLE, &[b'x'; 20_000]);
            let at = peer.ring.producer.tail().bytes();
            peer.write(UP_DATA + at, header(at, RING / 2 - 8, WHOLE));
        }),
        ("padding to nowhere", |peer| peer.write(UP_DATA, 1 << 62 | header(0, 8, 0))),
        ("padding all around", |peer| peer.write(UP_DATA, 1 << 62 | header(0, RING - 8, 0))),
        ("a record of kind 0", |peer| peer.push(0, b"nothing")),
        ("a record of kind 99", |peer| peer.push(99, b"unheard of")),
        ("a record with a flag that means nothing", |peer| peer.push_flagged(1, 4, b"unheard of")),
        ("a pack of nothing", |peer| peer.push_flagged(1, PACKED, b"")),
        ("a pack of one message", |peer| peer.push_flagged(1, PACKED, b"\x01\0\0\0a")),
        ("a pack that is cut short", |peer| {
            peer.push_flagged(1, PACKED, b"\x01\0\0\0a\x09\0\0\0b")
        }),
        ("a pack with four gigabytes", |peer| {
            peer.push_flagged(1, PACKED, b"\xff\xff\xff\xffa\0\0\0\0")
        }),
        ("a first part without a length", |peer| peer.push(FIRST, b"short")),
        ("a first part without a byte", |peer| peer.begin(100, b"")),
        ("a message without end", |peer| peer.begin(u64::MAX, b"x")),
        ("a message longer than messages may be", |peer| peer.begin((64 << 20) + 1, b"x")),
        ("a first part longer than its message", |peer| peer.begin(3, b"four")),
        ("a part of nothing", |peer| peer.push(MIDDLE, b"x")),
        ("an end of nothing", |peer| peer.push(LAST, b"x")),
        ("an empty part", |peer| {
            peer.begin(100, b"x");
            peer.push(MIDDLE, b"");
        }),
        ("a message in a message", |peer| {
            peer.begin(100, b"x");
            peer.push(WHOLE, b"x");
        }),
        ("the end in a message", |peer| {
            peer.begin(100, b"x");
            peer.push(END, b"");
        }),
        ("parts that are too much", |peer| {
            peer.begin(100, b"x");
            peer.push(MIDDLE, &[b'x'; 100]);
        }),
        ("parts that are too little", |peer| {
            peer.begin(100, b"x");
            peer.push(LAST, &[b'x'; 98]);
        }),
        ("claims of others", |peer| {
            peer.write(UP_CLAIMED, 4096);
            peer.push(WHOLE, b"fine");
        }),
        ("claims beyond all numbers", |peer| {
            peer.write(UP_CLAIMED, !1);
            peer.push(WHOLE, b"fine");
        }),
        ("claims taken back", |peer| {
            peer.push(WHOLE, &mixture::message(2));
            peer.answer();
            peer.write(UP_CLAIMED, 0);
            peer.push(WHOLE, b"fine");
        }),
        ("the release of nothing", |peer| peer.write(DOWN_RELEASED, 4096)),
        ("the release of everything", |peer| peer.write(DOWN_RELEASED, !7)),
        ("the release of half a word", |peer| peer.write(DOWN_RELEASED, 3)),
        ("a release taken back", |peer| {
            // The host may not have seen the release yet, so it is repeated.
            for _ in 0.. {
                if peer.is_closed() || peer.ring.producer.push(WHOLE, 0, b"fine").is_err() {
                    break;
                }
                peer.write(DOWN_RELEASED, 0);
                peer.call();
                poke(&peer.memory, DOWN_RELEASED, 8);
                peer.call();
            }
        }),
    ];
    for (n, (what, fault)) in faults.iter().enumerate() {
        let mut peer = Hostile::attach(&path, 6000 + n as u128);
        fault(&mut peer);
        peer.call();
        let answer = raw::read_to_the_end(&mut peer.stream);
        assert_eq!(answer.get(4), Some(&RESET), "{what} was answered with {answer:?}");
        assert_eq!(answer[8..10], [3, 0], "{what}: the code of a broken protocol");
    }
    // Content that breaks no rule of the memory but ends the link, or must not matter.
    let mut peer = Hostile::attach(&path, 7000);
    peer.push(WHOLE, b"fine before a fence");
    let _ = peer.ring.producer.fence();
    raw::read_to_the_end(&mut peer.stream);
    let mut peer = Hostile::attach(&path, 7001);
    peer.push(END, b"");
    peer.push(WHOLE, b"fine after the end");
    raw::read_to_the_end(&mut peer.stream);
    for (n, bytes) in [raw::data(1, b"n 1"), frame(5, 0, &1_u64.to_le_bytes()), frame(7, 0, b"")]
        .iter()
        .enumerate()
    {
        let mut peer = Hostile::attach(&path, 7100 + n as u128);
        peer.stream.write_all(bytes).unwrap();
        peer.push(WHOLE, b"fine");
        rustix::net::shutdown(&peer.stream, Shutdown::Write).unwrap();
        raw::read_to_the_end(&mut peer.stream);
    }
    for (n, bytes) in [
        vec![0; 64],
        frame(6, 0, &77_u64.to_le_bytes()),
        frame(99, 0, b""),
        frame(DATA, 0x80, &[0; 64]),
    ]
    .iter()
    .enumerate()
    {
        let mut peer = Hostile::attach(&path, 7200 + n as u128);
        peer.stream.write_all(bytes).unwrap();
        raw::read_to_the_end(&mut peer.stream);
    }
    // A message sent before the end arrives.
    let mut peer = Hostile::attach(&path, 7300);
    peer.push(WHOLE, b"fine last words");
    rustix::net::shutdown(&peer.stream, Shutdown::Write).unwrap();
    host.find(0, "the last words", |line| {
        line.is("handled") && line.text.ends_with("fine last words")
    });
    drop(peer);
    stage_until(|| descriptors(&host) <= open && mappings(&host) <= mapped);
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

/// The host finds the broken content when it takes in the messages of a peer that has gone. It
/// cannot report that to anybody.
pub(crate) fn a_peer_that_breaks_the_rules_and_is_gone_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let (open, mapped) = (descriptors(&host), mappings(&host));
    let nonsense: [fn(&mut Hostile); 4] = [
        |peer| peer.write(DOWN_RELEASED, !7),
        |peer| peer.write(UP_DATA, u64::MAX),
        |peer| peer.begin(u64::MAX, b"x"),
        |peer| peer.write(UP_CLAIMED, 4096),
    ];
    for n in 0..100 {
        let mut peer = Hostile::attach(&path, 7500 + n as u128);
        nonsense[n % nonsense.len()](&mut peer);
        if n >= 20 {
            // The ring is emptied in the middle of reading this. An awake host may have seen it
            // before and hung up.
            if let Err(error) = peer.stream.write_all(&frame(RESET, 0, &[0; 4])) {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
            }
        }
        // Nobody is called: the end of the stream is the event.
        drop(peer);
    }
    stage_until(|| descriptors(&host) <= open && mappings(&host) <= mapped);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_peer_that_scribbles_in_the_shared_memory_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let (open, mapped, before) = (descriptors(&host), mappings(&host), host.memory("VmHWM"));
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    };
    for round in 0..300 {
        let mut peer = Hostile::attach(&path, 8000 + round);
        for seq in 1..200 {
            // Its own ends notice some of it too.
            match below(8) {
                0..4 => drop(peer.ring.producer.push(WHOLE, 0, &mixture::message(seq))),
                4 => drop(peer.ring.producer.push(below(7) as u8, 0, &[b'x'; 64])),
                5 => drop(peer.ring.consumer.claim()),
                6 => {
                    // A single wrong bit is closer to a valid value than noise.
                    let (offset, bit) = (below(9) * 128, below(64));
                    let mut word = [0; 8];
                    rustix::io::pread(&peer.memory, &mut word, offset).unwrap();
                    peer.write(offset, u64::from_ne_bytes(word) ^ 1 << bit);
                }
                _ => peer.write(UP_DATA + below((BYTES - UP_DATA) / 8) * 8, below(u64::MAX)),
            }
            peer.call();
            if peer.is_closed() {
                break;
            }
        }
    }
    stage_until(|| descriptors(&host) <= open && mappings(&host) <= mapped);
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

pub(crate) fn a_peer_that_rings_without_end_holds_nobody_up(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let peer = Hostile::attach(&path, 9000);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                peer.call();
            }
        });
        for _ in 0..100 {
            traffic_flows([&bystander]);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(peer);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_peer_that_never_empties_its_ring_costs_bounded_memory(stage: &mut Stage) {
    const MIB: u64 = 1 << 20;
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let peers: Vec<_> = (0..4)
        .map(|n| {
            let mut peer = Hostile::attach(&path, 9100 + n);
            peer.push(WHOLE, b"flood");
            peer
        })
        .collect();
    host.until("four full outboxes", |lines| {
        (lines.iter().filter(|line| line.is("full flood")).count() == 4).then_some(())
    });
    traffic_flows([&bystander]);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < 4 * 2 * MIB + SLACK, "the host grew by {} KiB", grown / 1024);
    drop(peers);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_host_that_breaks_the_rules_of_the_ring_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    answer_everybody(listener, move |mut stream| {
        let mut first = [0; 8];
        let received = receive_with_descriptors(&stream, &mut first).unwrap();
        assert_eq!(received.bytes, 8);
        let mut rest = vec![0; first[0].into()];
        std::io::Read::read_exact(&mut stream, &mut rest).unwrap();
        let lifeline = rest[12] == 1;
        let sizes = |at: usize| u64::from_le_bytes(*rest[at..].first_chunk().unwrap()) as usize;
        stream.write_all(&welcome(generation, !lifeline)).unwrap();
        if !lifeline {
            let fds = received.descriptors;
            let [memory, peers_doorbell, _] =
                [&fds[0], &fds[1], &fds[2]].map(|fd| fd.try_clone().unwrap());
            let layout = Layout::new(sizes(118), sizes(126)).unwrap();
            let _ring = accept(layout, fds).unwrap();
            poke(&memory, DOWN_DATA + sizes(118) as u64, 0x0123_4567_89ab_cdef);
            call(&peers_doorbell);
        }
        // Stays connected.
        std::mem::forget(stream);
    });
    for settings in ["role=peer", ""] {
        let peer = stage.actor("peer");
        peer.open(settings);
        peer.ask("connect s", "socket s");
        let error = peer.wait("error recv s");
        assert!(error.text.contains("broke the protocol"), "{error:?}");
        assert!(error.text.contains("out of place"), "{error:?}");
    }
}

pub(crate) fn a_host_that_takes_rings_which_nobody_offered_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    answer_everybody(listener, move |mut stream| {
        let (_, hello) = raw::read_frame(&mut stream).unwrap();
        let lifeline = hello[12] == 1;
        stream.write_all(&welcome(generation, !lifeline)).unwrap();
        std::mem::forget(stream);
    });
    let peer = stage.actor("peer");
    peer.open("role=peer link=unix");
    peer.ask("connect s", "socket s");
    let error = peer.wait("error recv s");
    assert!(
        error.text.contains("broke the protocol") && error.text.contains("offered"),
        "{error:?}"
    );
}

pub(crate) fn a_socket_says_hello_early_and_is_connected_no_earlier_than_its_process(
    stage: &mut Stage,
) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    let peer = stage.actor("peer");
    peer.open("role=peer link=unix");
    peer.ask("connect s", "socket s");
    // Both hellos are here before either is answered.
    let [mut lifeline, mut socket] = std::array::from_fn(|_| {
        let (mut stream, _) = listener.accept().unwrap();
        raw::read_frame(&mut stream).expect("a hello");
        stream
    });
    socket.write_all(&welcome(generation, false)).unwrap();
    for _ in 0..20 {
        assert_eq!(peer.ask("link s", "link s").text, "link s none");
    }
    lifeline.write_all(&welcome(generation, false)).unwrap();
    peer.wait("event connected peer");
    while peer.ask("link s", "link s").text == "link s none" {}
}

pub(crate) fn a_socket_whose_process_is_put_off_goes_to_the_next_host(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    let peer = stage.actor("peer");
    peer.open("link=unix");
    peer.ask("connect s", "socket s");
    let lifeline = listener.accept().unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    raw::read_frame(&mut socket).expect("a hello");
    socket.write_all(&welcome(generation, false)).unwrap();
    // The host is gone before it has taken the process on: the process hosts itself then.
    drop((listener, lifeline));
    peer.wait("event became-host");
    peer.ask("send s 1", "sent s");
    peer.ask("flush s", "flush s");
}

/// The answer of an impostor to a socket that was never here; with `ring`, it has taken the rings.
fn welcome(generation: u64, ring: bool) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    body.extend([1, 0, 0]);
    body.extend(generation.to_le_bytes());
    for number in [1, 0, 1 << 20, 1 << 20, 1 << 20, u64::from(ring)] {
        body.extend(u64::to_le_bytes(number));
    }
    frame(raw::WELCOME, 0, &body)
}
