//! Messages that were taken back or given up are in no statistic of what is still to be handled.
#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use open_channel_proto::{
    ChannelKey, Features, Frame, Hello, Incoming, Limits, MAX_BODY, MESSAGE_OVERHEAD, Packer,
    Session, SocketId, TakeBack, TransmitBuffer, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 4096, 1024);

fn hello(peer: &Session) -> Hello {
    peer.hello(CHANNEL, Features::default())
}

fn meet(peer: &mut Session, generation: u64) -> Session {
    peer.detach();
    let (host, welcome) = Session::accept(&hello(peer), 2, generation, LIMITS).unwrap();
    peer.attach(&welcome).unwrap();
    host
}

fn deliver(from: &mut Session, to: &mut Session) {
    let mut out = TransmitBuffer::default();
    from.transmit(&mut out);
    from.transmit_ack(&mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
    let mut rest = &bytes[..];
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        to.handle(frame).unwrap();
        rest = &rest[len..];
    }
    to.assert_credit_is_conserved();
    from.assert_credit_is_conserved();
}

fn send(side: &mut Session, messages: &[&'static str]) {
    for message in messages {
        side.send(Bytes::from_static(message.as_bytes())).unwrap();
    }
}

fn recv(side: &mut Session) -> u64 {
    match side.recv().unwrap() {
        Incoming::Message { seq, .. } | Incoming::End { seq } => seq,
    }
}

fn handle(side: &mut Session) {
    let seq = recv(side);
    side.handled(seq);
}

/// Messages acknowledged and not, and what the latter cost.
fn counts(side: &Session) -> (u64, u64, usize) {
    side.assert_credit_is_conserved();
    (side.messages_acknowledged(), side.messages_unacknowledged(), side.bytes_unacknowledged())
}

fn cost(lens: &[usize]) -> usize {
    lens.iter().map(|len| len + MESSAGE_OVERHEAD).sum()
}

#[test]
fn what_was_taken_back_before_it_was_sent_is_no_unacknowledged_message() {
    let mut peer = Session::new(SocketId(1), LIMITS);
    send(&mut peer, &["a", "bc", "def"]);
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 3, cost(&[1, 2, 3])), 1..4));
    assert!(matches!(peer.take_back(1), TakeBack::Taken(_)));
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 2, cost(&[2, 3])), 2..4));
    assert!(matches!(peer.take_back(3), TakeBack::Taken(_)));
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 1, cost(&[2])), 2..4));
    assert!(matches!(peer.take_back(2), TakeBack::Taken(_)));
    assert_eq!((counts(&peer), peer.unacknowledged().is_empty()), ((0, 0, 0), true));
    peer.finish();
    assert_eq!((counts(&peer), peer.unacknowledged().is_empty()), ((0, 0, 0), true));
    assert_eq!(peer.messages_sent(), 3);

    let mut host = meet(&mut peer, 1);
    deliver(&mut peer, &mut host);
    assert_eq!(host.messages_received(), 0, "a number that is passed over is no message");
    handle(&mut host);
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
    assert_eq!((counts(&peer), peer.unacknowledged().is_empty()), ((0, 0, 0), true));
}

#[test]
fn what_comes_back_from_the_link_is_no_unacknowledged_message() {
    let mut peer = Session::new(SocketId(1), LIMITS);
    let mut host = meet(&mut peer, 1);
    let mut packer = Packer::default();
    ["a", "bc", "def"].iter().for_each(|message| packer.push(message.as_bytes()));
    peer.send_pack(packer.pop().unwrap()).unwrap();
    send(&mut peer, &["ghij", "klmno"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv(&mut host), 1);
    for seq in [2, 3, 4] {
        assert_eq!(peer.take_back(seq), TakeBack::Asked);
    }
    assert_eq!(counts(&peer).1, 5, "nobody has answered");
    deliver(&mut peer, &mut host);
    deliver(&mut host, &mut peer);
    assert_eq!(peer.first_unacknowledged(), 1, "all of the pack is on the link");
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 2, cost(&[1, 5])), 1..6));
    // What is given up is no different.
    host.reject(1, 1, "no");
    deliver(&mut host, &mut peer);
    assert!(peer.take_undeliverable().is_some());
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 1, cost(&[5])), 5..6));
    assert_eq!(peer.first_awaited(), 5, "nobody waits for the others");

    // A new host finds gaps, and the numbers that it handles are counted once.
    let mut next = meet(&mut peer, 2);
    assert_eq!((counts(&peer), peer.unacknowledged()), ((0, 1, cost(&[5])), 5..6));
    deliver(&mut peer, &mut next);
    handle(&mut next);
    deliver(&mut next, &mut peer);
    assert_eq!((counts(&peer), peer.is_flushed()), ((1, 0, 0), true));
    assert_eq!((peer.messages_sent(), next.messages_received()), (5, 1));
}

#[test]
fn a_message_that_has_had_its_last_attempt_is_no_unacknowledged_message() {
    let once = LIMITS.with_max_attempts(std::num::NonZeroU32::new(1));
    let mut peer = Session::new(SocketId(1), once);
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &["a", "bc"]);
    deliver(&mut peer, &mut host);
    handle(&mut host);
    deliver(&mut host, &mut peer);
    meet(&mut peer, 2);
    assert!(peer.take_undeliverable().is_some());
    assert_eq!(counts(&peer), (1, 0, 0));
}

#[test]
fn gaps_among_messages_that_are_not_handled_are_no_messages() {
    let mut peer = Session::new(SocketId(1), LIMITS);
    send(&mut peer, &["a", "b", "c", "d", "e"]);
    for seq in [2, 3, 5] {
        assert!(matches!(peer.take_back(seq), TakeBack::Taken(_)));
    }
    peer.finish();
    let mut host = meet(&mut peer, 1);
    deliver(&mut peer, &mut host);
    let stats =
        |host: &Session| (host.messages_received(), host.messages_unhandled(), host.unhandled());
    assert_eq!(stats(&host), (2, 2, 1..6));
    assert_eq!([recv(&mut host), recv(&mut host)], [1, 4]);
    host.handled(1);
    host.assert_credit_is_conserved();
    assert_eq!(stats(&host), (2, 1, 4..6));
    host.handled(4);
    host.assert_credit_is_conserved();
    let (received, unhandled, numbers) = stats(&host);
    assert_eq!((received, unhandled, numbers.is_empty()), (2, 0, true));
}

#[test]
fn a_peer_that_has_given_something_back_does_not_go_back_before_its_session_began() {
    for fate in [open_channel_proto::Fate::GivenUp, open_channel_proto::Fate::Again] {
        let mut peer = Session::new(SocketId(1), LIMITS);
        let first = hello(&peer);
        let mut host = meet(&mut peer, 1);
        let mut packer = Packer::default();
        ["a", "b"].iter().for_each(|message| packer.push(message.as_bytes()));
        send(&mut host, &["whole"]);
        host.send_pack(packer.pop().unwrap()).unwrap();
        deliver(&mut host, &mut peer);
        for seq in [1, 2] {
            let reason = String::new();
            host.handle(Frame::<Bytes>::Returned { seq, fate, attempt: 1, reason }).unwrap();
        }
        host.detach();
        assert!(host.resume(&first, 2).is_err(), "nobody gives back what it never got");
        // It goes on as if that hello had never come.
        peer.detach();
        let welcome = host.resume(&hello(&peer), 2).unwrap();
        peer.attach(&welcome).unwrap();
        host.assert_credit_is_conserved();
        send(&mut host, &["on"]);
        deliver(&mut host, &mut peer);
        assert_eq!([1, 2, 3, 4].map(|_| recv(&mut peer)), [1, 2, 3, 4]);
    }
}
