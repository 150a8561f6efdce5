//! Bytes from somebody who means harm: they may end their own session and nothing else. No panic,
//! and no memory beyond the limits that were set.
//!
//! `SEED=17 cargo test -p open-channel-proto --test hostile` repeats one attack.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::alloc::System;
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};

use bytes::{Bytes, BytesMut};
use cap::Cap;
use open_channel_proto::{
    ChannelKey, DataFlags, Fate, Features, Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, Hello, Incoming,
    Limits, MAX_BODY, MAX_PACK_COST, MESSAGE_OVERHEAD, Packer, PartFlags, PartKind, Purpose,
    ReceivedPart, Reject, RejectCode, ResetCode, Session, SocketId, StoredPart, TransmitBuffer,
    Welcome, decode,
};
use open_channel_simulation::Random;

/// Counts what is allocated; there is one test in this file, so that it counts for one session at a
/// time.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const ATTACKS: u64 = 60_000;
const CHANNEL: ChannelKey = [9; 16];
const LIMITS: Limits = Limits::new(8 * 1024, 16 * 1024, 32 * 1024);
/// Everything a session may hold, twice over for collections that grow by doubling, and the link's
/// buffers.
const MOST_MEMORY: usize = 3 * (LIMITS.outbox + LIMITS.window + LIMITS.max_message) + 4 * MAX_BODY;

struct Attack {
    random: Random,
    session: Session,
    is_host: bool,
    /// The version of the link.
    version: u16,
    input: Vec<u8>,
    out: TransmitBuffer,
    /// The records in the store of the link, if it has one: where each ends, whether it
    /// completes something, and its bytes.
    store: Option<Vec<(u64, bool, Bytes)>>,
    /// Where the last record of the other side's store ended.
    arrived: u64,
}

impl Attack {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (is_host, version) = (random.chance(50), random.pick(&[1, 2]));
        let limits = LIMITS.with_max_attempts(NonZeroU32::new(random.below(4) as u32));
        let mut session = Session::new(SocketId(1), limits);
        if is_host {
            let hello = session.hello(CHANNEL, Features::default());
            session = Session::accept(&hello, version, 3, limits).unwrap().0;
        } else {
            let hello = session.hello(CHANNEL, Features::default());
            let (_, welcome) = Session::accept(&hello, version, 3, limits).unwrap();
            session.attach(&welcome).unwrap();
        }
        let mut attack = Self {
            random,
            session,
            is_host,
            version,
            input: Vec::new(),
            out: TransmitBuffer::default(),
            store: None,
            arrived: 0,
        };
        attack.choose_link();
        attack
    }

    fn run(mut self) {
        let before = MEMORY.allocated();
        for _ in 0..5 + self.random.below(60) {
            match self.random.below(10) {
                0..3 if self.store.is_some() => self.memory(),
                0..6 => self.bytes(),
                6 => self.handshake(),
                _ => self.application(),
            }
            let held = MEMORY.allocated().saturating_sub(before);
            assert!(held <= MOST_MEMORY, "{held} bytes are held, {MOST_MEMORY} are plenty");
            self.session.assert_credit_is_conserved();
            let unhandled = self.session.unhandled_bytes();
            assert!(
                unhandled <= LIMITS.window.max(LIMITS.max_message + 64),
                "{unhandled} bytes unhandled"
            );
            self.check_statistics();
        }
    }

    fn check_statistics(&self) {
        let session = &self.session;
        let (waiting, acknowledged) =
            (session.messages_unacknowledged(), session.messages_acknowledged());
        assert!(waiting + acknowledged <= session.messages_sent());
        assert_eq!(session.unacknowledged().is_empty(), waiting == 0);
        assert!(session.bytes_unacknowledged() <= session.outbox_bytes());
        assert!(session.messages_unhandled() <= session.messages_received());
        assert_eq!(session.unhandled().is_empty(), session.messages_unhandled() == 0);
    }

    /// Numbers that people forget to think of.
    fn number(&mut self, near: u64) -> u64 {
        match self.random.below(12) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX / 2 + 1,
            3 => self.random.number(),
            4 => near.wrapping_sub(1),
            5 => near.wrapping_add(1),
            _ => near,
        }
    }

    fn frame(&mut self) -> Frame {
        let next = self.session.hello(CHANNEL, Features::default()).recv_next;
        let unacknowledged = self.session.first_unacknowledged();
        match self.random.below(16) {
            0..3 => self.pack_in_a_frame(next),
            3..8 => {
                let len = match self.random.below(6) {
                    0 => 0,
                    1 => 16 * 1024,
                    2 => 60 * 1024,
                    _ => self.random.below(100),
                };
                let bits = self.random.below(16);
                let flags = DataFlags {
                    first: bits & 3 != 1,
                    last: bits & 3 != 2,
                    packed: bits & 8 != 0,
                    ..self.attempt()
                };
                let near =
                    self.random.pick(&[len as u64, LIMITS.max_message as u64, 2 * len as u64]);
                let (seq, total) = (self.number(next), self.number(near));
                Frame::Data { seq, flags, total, payload: vec![1; len].into() }
            }
            8 => Frame::Fin { seq: self.number(next) },
            9..11 => Frame::Ack { through: self.number(unacknowledged) },
            11 => match self.random.below(6) {
                0 => Frame::AckRequest,
                1 => self.about_what_was_given_back(next, unacknowledged),
                _ => Frame::Skip { seq: self.number(next) },
            },
            12 => Frame::GoAway,
            13 if self.random.chance(20) => {
                Frame::Reset { code: ResetCode::Other(9), reason: "x".repeat(900) }
            }
            14 => match self.random.below(8) {
                0 => Frame::StatusRequest { sockets: u32::MAX },
                1 => Frame::HostStatus(Box::default()),
                2 => Frame::SocketStatus(Box::default()),
                5 => Frame::TapState { dropped: 1 },
                6 => Frame::TapData { payload: vec![1; 9].into() },
                3 => Frame::DetailRequest { most: 1 },
                4 => Frame::Detail { more: true, payload: vec![1; 9].into() },
                _ => Frame::Ping { nonce: 0 },
            },
            _ => match self.random.below(3) {
                0 => Frame::Hello(self.hello()),
                1 => Frame::Welcome(self.welcome()),
                _ => Frame::Reject(Reject::new(RejectCode::Other(77), "é".repeat(900))),
            },
        }
    }

    fn about_what_was_given_back(&mut self, next: u64, unacknowledged: u64) -> Frame {
        if self.random.chance(30) {
            let seq = self.number(next.saturating_sub(1));
            return if self.random.chance(50) {
                Frame::Withdrawn { seq }
            } else {
                Frame::Recall { seq }
            };
        }
        let near = unacknowledged + self.random.below(4) as u64;
        Frame::Returned {
            seq: self.number(near),
            fate: self.random.pick(&[Fate::Again, Fate::GivenUp, Fate::Recalled, Fate::TooLate]),
            attempt: self.random.below(256) as u8,
            reason: "no".repeat(self.random.below(300)),
        }
    }

    /// Messages in a row behind their lengths, most of which are true.
    fn pack(&mut self) -> Bytes {
        let most = MAX_PACK_COST / MESSAGE_OVERHEAD;
        let (count, longest) = match self.random.below(12) {
            0 => (0, 1),
            1 => (1, 100),
            2 => (most, 1),
            3 => (most + self.random.below(3), 2),
            4 => (2, LIMITS.max_message / 2 - MESSAGE_OVERHEAD + self.random.below(3)),
            5 => (2 + self.random.below(40), 2000),
            _ => (2 + self.random.below(5), 60),
        };
        let lies = self.random.chance(30);
        let mut bytes = BytesMut::new();
        for _ in 0..count {
            let len = self.random.below(longest);
            let said = if lies { self.number(len as u64) as u32 } else { len as u32 };
            bytes.extend_from_slice(&said.to_le_bytes());
            bytes.resize(bytes.len() + len, 5);
        }
        if self.random.chance(10) {
            bytes.truncate(self.random.below(bytes.len() + 1));
        }
        bytes.truncate(MAX_BODY - 16);
        bytes.freeze()
    }

    /// Mostly one that the version knows, so that more than the first check is met.
    fn attempt(&mut self) -> DataFlags {
        let (attempt, redelivered) = match (self.version, self.random.below(10)) {
            (_, 0) => (self.random.below(256) as u8, self.random.chance(50)),
            (1, _) => (0, self.random.chance(50)),
            (_, 1..4) => (2 + self.random.below(254) as u8, true),
            _ => (1, false),
        };
        DataFlags { first: false, last: false, redelivered, packed: false, attempt }
    }

    fn flags_of_a_part(&mut self, packed: bool) -> PartFlags {
        let packed = u8::from(packed || self.random.chance(10)) << 1;
        PartFlags(match (self.version, self.random.below(10)) {
            (_, 0) => self.random.below(256) as u8,
            (1, _) => packed | u8::from(self.random.chance(50)),
            (_, 1..4) => packed | 1 | (1 + self.random.below(63) as u8) << 2,
            _ => packed,
        })
    }

    /// As a whole, or a part of it with any flags.
    fn pack_in_a_frame(&mut self, next: u64) -> Frame {
        let bytes = self.pack();
        let mut flags = DataFlags { first: true, last: true, packed: true, ..self.attempt() };
        let (seq, mut total) = (self.number(next), bytes.len() as u64);
        if self.random.chance(60) {
            return Frame::Data { seq, flags, total, payload: bytes };
        }
        if self.random.chance(30) {
            total = self.number(total);
        }
        let cut = self.random.below(bytes.len() + 1);
        (flags.first, flags.last, flags.packed) = self.random.pick(&[
            (true, false, true),
            (true, false, false),
            (false, false, true),
            (false, true, true),
        ]);
        let payload = if flags.first { bytes.slice(..cut) } else { bytes.slice(cut..) };
        Frame::Data { seq, flags, total, payload }
    }

    /// Some bytes arrive, most of them close to what they should be.
    fn bytes(&mut self) {
        let mut bytes = if self.random.chance(10) {
            (0..self.random.below(60)).map(|_| self.random.number() as u8).collect()
        } else {
            encoded(&self.frame())
        };
        if self.random.chance(30) {
            self.spoil(&mut bytes);
        }
        self.input.append(&mut bytes);
        let mut at = 0;
        loop {
            match decode(&self.input[at..], MAX_BODY) {
                Ok(Some((frame, len))) => {
                    assert!((HEADER_LEN..=HEADER_LEN + MAX_BODY).contains(&len));
                    if self.session.handle(frame).is_err() && self.random.chance(30) {
                        // A good driver does so at once; a bad one must be as safe.
                        self.session.reset(ResetCode::Protocol, "enough");
                    }
                    at += len;
                }
                Ok(None) => {
                    self.input.drain(..at);
                    assert!(
                        self.input.len() < HEADER_LEN + MAX_BODY,
                        "half a frame is longer than a frame"
                    );
                    return;
                }
                Err(_) => {
                    self.input.clear();
                    return;
                }
            }
        }
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.random.below(3) {
            if bytes.is_empty() {
                return;
            }
            let at = self.random.below(bytes.len().min(40));
            match self.random.below(4) {
                0 => bytes[at] ^= 1 << self.random.below(8),
                1 => bytes[at] = self.random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, self.random.number() as u8),
            }
        }
    }

    fn hello(&mut self) -> Hello {
        let next = self.session.next_seq();
        let expected = self.session.hello(CHANNEL, Features::default());
        Hello {
            version_min: self.number(1) as u16,
            version_max: self.number(self.version.into()) as u16,
            max_attempts: self.number(3) as u32,
            purpose: self.random.pick(&[Purpose::Session, Purpose::Lifeline]),
            generation: self.number(self.session.generation()),
            first: self.number(expected.recv_next),
            recv_next: self.number(next),
            handled: self.number(next.wrapping_sub(1)),
            unhandled: self.number(100),
            window: self.number(1000),
            outbox: self.number(1000),
            max_message: self.number(1000),
            ended: self.random.chance(20),
            ..Hello::lifeline(CHANNEL)
        }
    }

    fn welcome(&mut self) -> Welcome {
        let next = self.session.first_unacknowledged() + self.session.messages_in_flight() as u64;
        Welcome {
            version: self.number(self.version.into()) as u16,
            generation: self.number(self.session.generation()),
            resumed: self.random.chance(60),
            recv_next: self.number(next),
            handled: self.number(next.wrapping_sub(1)),
            window: self.number(1000),
            outbox: self.number(1000),
            max_message: self.number(1000),
            features: Features(self.random.number()),
            max_attempts: self.number(3) as u32,
        }
    }

    fn choose_link(&mut self) {
        if self.session.is_attached() && self.random.chance(50) {
            self.session.use_store();
            self.store = Some(Vec::new());
        }
    }

    /// The other side does to the shared memory what the ring's own checks let pass.
    fn memory(&mut self) {
        let Some(store) = &mut self.store else { return };
        let mut tail = store.last().map_or(0, |last| last.0);
        while let Some(part) = self.session.next_part(1000) {
            let (len, completes) = (part.payload.len(), part.kind.completes());
            let bytes = Bytes::copy_from_slice(part.payload);
            tail += 8 + len.next_multiple_of(8) as u64;
            self.session.part_stored(len, tail);
            store.push((tail, completes, bytes));
        }
        for _ in 0..self.random.below(4) {
            let Some(kind) = PartKind::from_bits(1 + self.random.below(5) as u8) else { continue };
            let packed = self.random.chance(50);
            let bytes = if packed {
                self.pack()
            } else {
                vec![3; self.random.pick(&[0, 1, 100, 2000, 16 * 1024])].into()
            };
            let len = bytes.len();
            let near = self.random.pick(&[len as u64, 2 * len as u64, LIMITS.max_message as u64]);
            let total = self.number(near);
            self.arrived += 8 + len.next_multiple_of(8) as u64;
            let flags = self.flags_of_a_part(packed);
            let part = ReceivedPart { kind, flags, total, len, end: self.arrived };
            let taken = self.session.receive_part(part, |to| to.extend_from_slice(&bytes));
            if taken.is_err() && self.random.chance(30) {
                self.session.reset(ResetCode::Protocol, "enough");
            }
            assert!(self.session.releasable() <= self.arrived);
        }
        let near = self.random.below(tail as usize + 1) as u64;
        let upto = self.number(near).min(tail);
        let _ = self.session.released(upto);
        self.session.assert_credit_is_conserved();
    }

    /// Records are gone, or are not what they were.
    fn give_up_store(&mut self) {
        self.arrived = 0;
        let Some(store) = self.store.take() else { return };
        let mut parts = Vec::new();
        for (end, completes, bytes) in store {
            if completes && !self.random.chance(3) {
                let payload = match self.random.below(40) {
                    0 => vec![4; self.number(bytes.len() as u64).min(5000) as usize].into(),
                    1 => vec![4; bytes.len()].into(),
                    _ => bytes,
                };
                let claimed = self.random.chance(50);
                let end = if self.random.chance(5) { self.number(end) } else { end };
                parts.push(StoredPart { end, claimed, payload });
            }
        }
        if self.session.reclaim(parts).is_err() && self.random.chance(70) {
            self.session.reset(ResetCode::Protocol, "enough");
        }
        self.session.assert_credit_is_conserved();
    }

    /// A new link, with a handshake that nobody honest would make.
    fn handshake(&mut self) {
        self.give_up_store();
        self.session.detach();
        self.out.clear();
        self.input.clear();
        let frame =
            if self.is_host { Frame::Hello(self.hello()) } else { Frame::Welcome(self.welcome()) };
        let mut bytes = encoded(&frame);
        if self.random.chance(20) {
            self.spoil(&mut bytes);
        }
        match decode(&bytes, HANDSHAKE_MAX_BODY) {
            Ok(Some((Frame::Hello(hello), _))) => {
                let Ok(version) = hello.negotiate(&CHANNEL) else { return };
                let known = self.random.chance(70);
                if known {
                    if self.session.resume(&hello, version).is_ok() {
                        self.version = version;
                    }
                } else if let Ok((session, _)) = Session::accept(&hello, version, 3, LIMITS) {
                    (self.session, self.version) = (session, version);
                }
            }
            Ok(Some((Frame::Welcome(welcome), _))) if self.session.attach(&welcome).is_ok() => {
                self.version = welcome.version;
            }
            _ => {}
        }
        self.choose_link();
    }

    fn send_pack(&mut self) {
        let mut packer = Packer::default();
        for _ in 0..2 + self.random.below(8) {
            packer.push(&vec![2; self.random.below(300)]);
        }
        let Some(next) = packer.peek() else { return };
        let (bytes, count, longest, cost) = (next.bytes, next.count, next.longest, next.cost);
        let room = self.session.has_room_for(cost) && self.session.may_store_pack(longest, cost);
        match &mut self.store {
            Some(store) if room && self.random.chance(50) => {
                let end = store.last().map_or(0, |last| last.0)
                    + 8
                    + bytes.len().next_multiple_of(8) as u64;
                store.push((end, true, Bytes::copy_from_slice(bytes)));
                self.session.pack_stored(bytes.len(), count, end);
            }
            _ => drop(packer.pop().map(|pack| self.session.send_pack(pack))),
        }
    }

    /// And what is wanted out of the store is found there, as a rule.
    fn give_back(&mut self) {
        if let Some(end) = self.session.wanted() {
            let stored =
                self.store.as_ref().and_then(|store| store.iter().find(|record| record.0 == end));
            let stored = stored.map(|record| record.2.clone()).filter(|_| self.random.chance(80));
            let _ = self.session.found(stored);
        }
        while self.session.take_undeliverable().is_some() {}
        let Some(Incoming::Message { seq, payload, attempt }) = self.session.recv() else { return };
        if self.random.chance(30) {
            return self.session.reject(seq, attempt, "no");
        }
        if let Some(next) = self.session.give_back(seq, attempt) {
            self.session.ready_again(seq, payload, next);
        }
    }

    /// Each message once, as a rule.
    fn receive_many(&mut self) {
        let Some(many) = self.session.recv_many() else { return };
        assert_eq!(many.pack.iter().count(), many.pack.count() as usize);
        assert!(many.pack.iter().all(|message| message.len() <= LIMITS.max_message));
        let next = many.first + u64::from(many.pack.count());
        match self.random.below(4) {
            0 => self.session.handled(many.first),
            1 => {
                let seqs = self.number(many.first)..self.number(next);
                self.session.handled_all(seqs);
            }
            _ => self.session.handled_all(many.first..next),
        }
    }

    /// Meanwhile an application does what applications do, and now and then what none should.
    fn application(&mut self) {
        match self.random.below(10) {
            0 => {
                let _ = self.session.send(Bytes::from(vec![2; self.random.below(3000)]));
            }
            1 => self.send_pack(),
            2 if self.random.chance(30) => self.give_back(),
            2 => {
                if let Some(Incoming::Message { seq, .. } | Incoming::End { seq }) =
                    self.session.recv()
                    && self.random.chance(70)
                {
                    self.session.handled(seq);
                }
            }
            3 => self.receive_many(),
            4 => {
                let (seq, end) = (self.number(5), self.number(9));
                self.session.handled(seq);
                self.session.handled_all(seq..end);
            }
            5 if self.random.chance(10) => self.session.finish(),
            5 => self.session.request_ack(),
            6 => self.session.transmit_ack(&mut self.out),
            _ => {
                self.session.transmit(&mut self.out);
                assert!(self.out.len() <= TransmitBuffer::HIGH_WATER + MAX_BODY + 1024);
                self.out.clear();
            }
        }
    }
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = TransmitBuffer::default();
    frame.encode(&mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let used = out.slices(&mut slices);
    slices[..used].iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat()
}

#[test]
fn bytes_that_mean_harm_do_none() {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    for seed in one.map_or(0..ATTACKS, |seed: u64| seed..seed + 1) {
        if panic::catch_unwind(AssertUnwindSafe(|| Attack::new(seed).run())).is_err() {
            panic!("repeat it with SEED={seed} cargo test -p open-channel-proto --test hostile");
        }
    }
    let most = MEMORY.max_allocated();
    assert!(most < 4 << 20, "{most} bytes were allocated at some time");
}
