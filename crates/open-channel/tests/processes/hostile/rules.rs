//! Peers that break the rules of a ring: of its records, of the messages in them, or of its
//! positions.

use std::io::Write;
use std::path::Path;

use rustix::net::Shutdown;

use super::footprint::Footprint;
use super::memory::{
    DOWN_RELEASED, END, FIRST, LAST, MIDDLE, PACKED, RING, UP_CLAIMED, UP_DATA, WHOLE, header, poke,
};
use super::peer::{Hostile, SHORT};
use crate::isolation::{busy_pair, check_unharmed};
use crate::mixture;
use crate::raw::{self, DATA, RESET, frame};
use crate::stage::Stage;

pub(crate) fn a_peer_that_breaks_the_rules_of_its_ring_loses_only_its_connection(
    stage: &mut Stage,
) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = Footprint::of(&host);
    let faults = [RECORDS, MESSAGES, POSITIONS].into_iter().flatten();
    for (n, (what, fault)) in faults.enumerate() {
        let mut peer = Hostile::attach(&path, 6000 + n as u128);
        fault(&mut peer);
        peer.call();
        let answer = raw::read_to_the_end(&mut peer.stream);
        assert_eq!(answer.get(4), Some(&RESET), "{what} was answered with {answer:?}");
        assert_eq!(answer[8..10], [3, 0], "{what}: the code of a broken protocol");
    }
    end_the_link(&path);
    speak_on_the_stream(&path);
    // A message sent before the end arrives.
    let mut peer = Hostile::attach(&path, 7300);
    peer.push(WHOLE, b"fine last words");
    rustix::net::shutdown(&peer.stream, Shutdown::Write).unwrap();
    host.find(0, "the last words", |line| {
        line.is("handled") && line.text.ends_with("fine last words")
    });
    drop(peer);
    before.wait_until_restored(&host);
    check_unharmed(&host, &bystander);
    before.check_growth(&host, 0);
}

/// The host finds the broken content when it takes in the messages of a peer that has gone. It
/// cannot report that to anybody.
pub(crate) fn a_peer_that_breaks_the_rules_and_is_gone_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = Footprint::of(&host);
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
    before.wait_until_restored(&host);
    check_unharmed(&host, &bystander);
}

/// A name, and the peer's way to break a rule.
type Fault = (&'static str, fn(&mut Hostile));

const _: () = assert!(RING / 2 == 1 << 15, "the faults below count on it");

const RECORDS: &[Fault] = &[
    ("noise for a header", |peer| peer.write(UP_DATA, 0x0123_4567_89ab_cdef)),
    ("all ones", |peer| peer.write(UP_DATA, u64::MAX)),
    ("a header of another place", |peer| peer.write(UP_DATA, header(8, 8, WHOLE))),
    ("a record longer than records may be", |peer| peer.write(UP_DATA, header(0, RING / 2, WHOLE))),
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
    ("a pack that is cut short", |peer| peer.push_flagged(1, PACKED, b"\x01\0\0\0a\x09\0\0\0b")),
    ("a pack with four gigabytes", |peer| {
        peer.push_flagged(1, PACKED, b"\xff\xff\xff\xffa\0\0\0\0")
    }),
];

const MESSAGES: &[Fault] = &[
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
];

/// Positions up to which a side has claimed or released a ring.
const POSITIONS: &[Fault] = &[
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

/// Content that breaks no rule of the memory but ends the link.
fn end_the_link(path: &Path) {
    let mut peer = Hostile::attach(path, 7000);
    peer.push(WHOLE, b"fine before a fence");
    let _ = peer.ring.producer.fence();
    raw::read_to_the_end(&mut peer.stream);
    let mut peer = Hostile::attach(path, 7001);
    peer.push(END, b"");
    peer.push(WHOLE, b"fine after the end");
    raw::read_to_the_end(&mut peer.stream);
}

/// Frames that have no place on the stream of a link with rings, or must not matter there.
fn speak_on_the_stream(path: &Path) {
    for (n, bytes) in [raw::data(1, b"n 1"), frame(5, 0, &1_u64.to_le_bytes()), frame(7, 0, b"")]
        .iter()
        .enumerate()
    {
        let mut peer = Hostile::attach(path, 7100 + n as u128);
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
        let mut peer = Hostile::attach(path, 7200 + n as u128);
        peer.stream.write_all(bytes).unwrap();
        raw::read_to_the_end(&mut peer.stream);
    }
}
