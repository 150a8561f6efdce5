//! Attempts: how they are counted, announced and limited, and what the first version of the
//! protocol gets to see.
#![allow(missing_docs, clippy::unwrap_used)]

use std::num::NonZeroU32;

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, DataFlags, Fate, Features, Frame, GivenUp, HANDSHAKE_MAX_BODY, Hello,
    Incoming, Limits, MAX_BODY, Packer, PartFlags, ProtocolError, Session, SocketId, StoredPart,
    TransmitBuffer, Undeliverable, Welcome, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 4096, 1024);

fn limits(attempts: u32) -> Limits {
    LIMITS.with_max_attempts(NonZeroU32::new(attempts))
}

fn peer(attempts: u32) -> Session {
    Session::new(SocketId(1), limits(attempts))
}

fn hello(peer: &Session) -> Hello {
    peer.hello(CHANNEL, Features::default())
}

/// A new host that speaks this version takes the peer.
fn meet(peer: &mut Session, generation: u64, version: u16) -> Session {
    peer.detach();
    let (host, welcome) = Session::accept(&hello(peer), version, generation, LIMITS).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Fresh));
    host
}

fn bytes(from: &mut Session) -> Vec<u8> {
    let mut out = TransmitBuffer::default();
    from.transmit(&mut out);
    from.transmit_ack(&mut out);
    bytes_of(&out)
}

fn bytes_of(out: &TransmitBuffer) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = TransmitBuffer::default();
    frame.encode(&mut out);
    bytes_of(&out)
}

fn deliver(from: &mut Session, to: &mut Session) {
    let bytes = bytes(from);
    let mut rest = &bytes[..];
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        to.handle(frame).unwrap();
        rest = &rest[len..];
    }
}

/// Number and attempt of each message delivered.
fn recv_all(side: &mut Session) -> Vec<(u64, u32)> {
    let message = |incoming| match incoming {
        Incoming::Message { seq, attempt, .. } => (seq, attempt),
        Incoming::End { seq } => (seq, 0),
    };
    std::iter::from_fn(|| side.recv()).map(message).collect()
}

fn send(side: &mut Session, messages: &[&'static str]) {
    for message in messages {
        side.send(Bytes::from_static(message.as_bytes())).unwrap();
    }
}

fn undeliverable(peer: &mut Session) -> Vec<(u64, u32)> {
    let all = std::iter::from_fn(|| peer.take_undeliverable());
    all.map(|Undeliverable { seq, attempts, .. }| (seq, attempts)).collect()
}

#[test]
fn on_a_link_of_version_1_everything_travels_as_it_did_before() {
    let mut peer = peer(0);
    let mut host = meet(&mut peer, 1, 1);
    send(&mut peer, &["ab"]);
    let first = b"\x0a\0\0\0\x04\x03\0\0\x01\0\0\0\0\0\0\0ab";
    assert_eq!(bytes(&mut peer), first);
    host = {
        drop(host);
        meet(&mut peer, 2, 1)
    };
    let again = b"\x0a\0\0\0\x04\x07\0\0\x01\0\0\0\0\0\0\0ab";
    assert_eq!(bytes(&mut peer), again);
    host.handle(decode(again, MAX_BODY).unwrap().unwrap().0).unwrap();
    assert_eq!(recv_all(&mut host), [(1, 2)], "a mark is all that it says");
}

#[test]
fn the_handshake_of_version_1_is_as_it_was() {
    let lifeline = Hello { version_max: 1, max_attempts: 7, ..Hello::lifeline(CHANNEL) };
    assert_eq!(encoded(&Frame::Hello(lifeline.clone())).len(), 8 + 134);
    assert_eq!(encoded(&Frame::Welcome(Welcome::lifeline(1, 1))).len(), 8 + 67);
    let newer = encoded(&Frame::Hello(Hello { version_max: 2, ..lifeline }));
    assert_eq!((newer.len(), &newer[newer.len() - 4..]), (8 + 138, &[7, 0, 0, 0][..]));
    let welcome = encoded(&Frame::Welcome(Welcome { max_attempts: 9, ..Welcome::lifeline(2, 1) }));
    assert_eq!((welcome.len(), &welcome[welcome.len() - 4..]), (8 + 71, &[9, 0, 0, 0][..]));
    let cut = [&(newer.len() as u32 - 12).to_le_bytes()[..], &newer[4..newer.len() - 4]].concat();
    assert!(decode(&cut, HANDSHAKE_MAX_BODY).is_err(), "version 2 has the field");
}

#[test]
fn version_2_tells_the_attempt() {
    let mut peer = peer(0);
    send(&mut peer, &["ab"]);
    for attempt in 1..=3 {
        let mut host = meet(&mut peer, attempt.into(), 2);
        let sent = bytes(&mut peer);
        let marked = if attempt > 1 { 7 } else { 3 };
        assert_eq!(sent[..8], [10, 0, 0, 0, 4, marked, attempt, 0]);
        host.handle(decode(&sent, MAX_BODY).unwrap().unwrap().0).unwrap();
        assert_eq!(recv_all(&mut host), [(1, u32::from(attempt))]);
    }
}

#[test]
fn what_has_had_its_last_attempt_is_passed_over_and_comes_back() {
    let mut peer = peer(2);
    send(&mut peer, &["poison", "behind"]);
    for generation in 1..=2 {
        let mut host = meet(&mut peer, generation, 2);
        deliver(&mut peer, &mut host);
    }
    let mut host = meet(&mut peer, 3, 2);
    let returned = peer.take_undeliverable().unwrap();
    let payload = Bytes::from_static(b"poison");
    assert_eq!(
        returned,
        Undeliverable { seq: 1, attempts: 2, reason: GivenUp::MaxAttempts, payload }
    );
    let sent = bytes(&mut peer);
    assert_eq!(sent[..16], *b"\x08\0\0\0\x0c\0\0\0\x01\0\0\0\0\0\0\0");
    let mut rest = &sent[..];
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        host.handle(frame).unwrap();
        rest = &rest[len..];
    }
    assert_eq!(recv_all(&mut host), [(2, 2)]);
    host.handled(2);
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

/// The first message kills whoever handles it, until nobody is given it any more.
#[test]
fn one_poisoned_message_takes_no_other_with_it() {
    for attempts in 2..=5 {
        let mut peer = peer(attempts);
        send(&mut peer, &["poison", "a", "b", "c"]);
        let mut packer = Packer::default();
        ["d", "e", "f"].iter().for_each(|message| packer.push(message.as_bytes()));
        peer.send_pack(packer.pop().unwrap()).unwrap();
        for generation in 1..=attempts {
            let mut host = meet(&mut peer, generation.into(), 2);
            deliver(&mut peer, &mut host);
            let given = recv_all(&mut host);
            assert_eq!(given[0], (1, generation));
            assert_eq!(
                given.len(),
                if generation == 1 { 7 } else { 1 },
                "from the second on it is alone"
            );
        }
        let mut host = meet(&mut peer, u64::from(attempts) + 1, 2);
        assert_eq!(undeliverable(&mut peer), [(1, attempts)]);
        let mut given = Vec::new();
        for _ in 0..20 {
            deliver(&mut peer, &mut host);
            for (seq, attempt) in recv_all(&mut host) {
                given.push((seq, attempt));
                host.handled(seq);
            }
            deliver(&mut host, &mut peer);
        }
        assert_eq!(given, (2..=7).map(|seq| (seq, 2)).collect::<Vec<_>>());
        assert!(peer.is_flushed());
    }
}

#[test]
fn a_host_that_cannot_be_told_of_a_gap_gets_the_message_once_more() {
    let mut peer = peer(1);
    send(&mut peer, &["poison"]);
    let mut host = meet(&mut peer, 1, 2);
    deliver(&mut peer, &mut host);
    let mut host = meet(&mut peer, 2, 1);
    assert_eq!(undeliverable(&mut peer), []);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [(1, 2)]);
    let _newer = meet(&mut peer, 3, 2);
    assert_eq!(undeliverable(&mut peer), [(1, 2)]);
    // What is withdrawn stays so.
    assert_eq!(hello(&peer).version_min, 2);
    peer.detach();
    let (_, welcome) = Session::accept(&hello(&peer), 1, 4, LIMITS).unwrap();
    assert!(matches!(peer.attach(&welcome), Err(ProtocolError::Handshake(_))));
    let _newest = meet(&mut peer, 4, 2);
}

#[test]
fn attempts_that_make_no_sense_are_refused() {
    let data = |attempt, redelivered| Frame::Data {
        seq: 1,
        flags: DataFlags { first: true, last: true, redelivered, packed: false, attempt },
        total: 1,
        payload: Bytes::from_static(b"x"),
    };
    let refused = |version, frame: Frame| {
        let mut peer = peer(0);
        let mut host = meet(&mut peer, 1, version);
        matches!(host.handle(frame), Err(ProtocolError::Unexpected(_) | ProtocolError::Gap { .. }))
    };
    assert!(refused(2, data(0, false)) && refused(2, data(0, true)), "there is no attempt 0");
    assert!(refused(2, data(2, false)) && refused(2, data(1, true)), "the mark says the same");
    assert!(refused(1, data(1, false)), "version 1 has no attempts");
    assert!(refused(1, Frame::Skip { seq: 1 }) && refused(2, Frame::Skip { seq: 2 }));
    assert!(!refused(2, data(255, true)) && !refused(2, Frame::Skip { seq: 1 }));
}

#[test]
fn gaps_take_no_memory_and_no_window() {
    let mut peer = peer(0);
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["held"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [(1, 1)]);
    for seq in 2..100_000 {
        host.handle(Frame::<Bytes>::Skip { seq }).unwrap();
    }
    assert_eq!(host.unhandled_bytes(), 4 + 64);
    host.assert_credit_is_conserved();
    host.handled(1);
    assert_eq!(hello(&host).handled, 99_999);
}

#[test]
fn what_is_given_back_lets_the_others_go_on() {
    let mut peer = peer(5);
    send(&mut peer, &["slow", "quick"]);
    let mut host = meet(&mut peer, 1, 2);
    deliver(&mut peer, &mut host);
    let mut host = meet(&mut peer, 2, 2);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [(1, 2)]);
    send(&mut peer, &["new"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [], "it is alone");
    assert_eq!(host.give_back(1, 2), Some(3));
    deliver(&mut host, &mut peer);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [], "what was seen as well waits for its turn");
    host.ready_again(1, Bytes::from_static(b"slow"), 3);
    assert_eq!(recv_all(&mut host), [(1, 3)]);
    host.handled(1);
    for expected in [&[(2, 2)][..], &[(3, 1)]] {
        deliver(&mut host, &mut peer);
        deliver(&mut peer, &mut host);
        assert_eq!(recv_all(&mut host), expected);
        expected.iter().for_each(|(seq, _)| host.handled(*seq));
    }
}

#[test]
fn what_was_given_up_is_handled_only_when_it_is_withdrawn() {
    let mut peer = peer(1);
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["once", "bad"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [(1, 1), (2, 1)]);
    assert_eq!(host.give_back(1, 1), None, "one attempt was all");
    host.reject(2, 1, "no such job");
    let sent = bytes(&mut host);
    let once = b"\x0a\0\0\0\x0d\0\0\0\x01\0\0\0\0\0\0\0\x01\x01";
    let bad = b"\x15\0\0\0\x0d\0\0\0\x02\0\0\0\0\0\0\0\x01\x01no such job";
    assert_eq!(sent, [&once[..], bad].concat());
    assert_eq!(hello(&host).handled, 0);
    // What was said twice is answered twice.
    for _ in 0..2 {
        let mut rest = &sent[..];
        while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
            peer.handle(frame).unwrap();
            rest = &rest[len..];
        }
        deliver(&mut peer, &mut host);
    }
    let reason = GivenUp::Rejected("no such job".into());
    let payload = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = Undeliverable {
        seq: 1,
        attempts: 1,
        reason: GivenUp::MaxAttempts,
        payload: payload("once"),
    };
    let second = Undeliverable { seq: 2, attempts: 1, reason, payload: payload("bad") };
    assert_eq!([peer.take_undeliverable(), peer.take_undeliverable()], [Some(first), Some(second)]);
    assert_eq!(peer.take_undeliverable(), None);
    assert_eq!(hello(&host).handled, 2);
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

#[test]
fn what_nobody_can_give_back_is_refused() {
    let returned = |seq| Frame::<Bytes>::Returned {
        seq,
        fate: Fate::Again,
        attempt: 1,
        reason: String::new(),
    };
    let mut peer = peer(0);
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a", "b"]);
    assert!(peer.handle(returned(1)).is_err(), "it was not sent yet");
    deliver(&mut peer, &mut host);
    assert!(peer.handle(returned(3)).is_err() && peer.handle(returned(u64::MAX)).is_err());
    assert!(host.handle(Frame::<Bytes>::Withdrawn { seq: 3 }).is_err(), "it never came");
    assert_eq!(host.handle(Frame::<Bytes>::Withdrawn { seq: 1 }), Ok(()), "it may be a repetition");
    assert_eq!(recv_all(&mut host), [(1, 1), (2, 1)]);
    host.handled(1);
    deliver(&mut host, &mut peer);
    assert_eq!(peer.handle(returned(1)), Ok(()), "its acknowledgement was quicker");
    peer.finish();
    deliver(&mut peer, &mut host);
    assert!(peer.handle(returned(3)).is_err(), "an end is not given back");
}

#[test]
fn nothing_is_stored_behind_what_is_alone() {
    let mut peer = peer(3);
    let _host = meet(&mut peer, 1, 2);
    peer.use_store();
    send(&mut peer, &["a"]);
    assert_eq!(peer.next_part(100).unwrap().flags, PartFlags::NONE);
    peer.part_stored(1, 16);
    assert!(peer.may_store(1), "the first attempt is shared");
    peer.reclaim([StoredPart { end: 16, claimed: true, payload: Bytes::from_static(b"a") }])
        .unwrap();
    let _next = meet(&mut peer, 2, 2);
    peer.use_store();
    assert_eq!(peer.next_part(100).unwrap().flags, PartFlags(1 | 1 << 2));
    peer.part_stored(1, 16);
    assert!(!peer.may_store(1), "from the second on it is alone");
    send(&mut peer, &["b"]);
    assert!(peer.next_part(100).is_none());
    peer.released(16).unwrap();
    assert_eq!(peer.next_part(100).unwrap().payload, b"b");
}
