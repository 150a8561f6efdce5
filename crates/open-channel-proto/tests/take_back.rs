//! Messages that their sender takes back before anybody has taken them.
#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use open_channel_proto::{
    ChannelKey, Fate, Features, Frame, Hello, Incoming, Limits, MAX_BODY, Packer, ProtocolError,
    Session, SocketId, StoredPart, TakeBack, TransmitBuffer, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 4096, 1024);

fn peer() -> Session {
    Session::new(SocketId(1), LIMITS)
}

fn hello(peer: &Session) -> Hello {
    peer.hello(CHANNEL, Features::default())
}

/// A new host that speaks this version takes the peer.
fn meet(peer: &mut Session, generation: u64, version: u16) -> Session {
    peer.detach();
    let (host, welcome) = Session::accept(&hello(peer), version, generation, LIMITS).unwrap();
    peer.attach(&welcome).unwrap();
    host
}

/// Both go on with another link.
fn meet_again(peer: &mut Session, host: &mut Session) {
    peer.detach();
    host.detach();
    let welcome = host.resume(&hello(peer), 2).unwrap();
    peer.attach(&welcome).unwrap();
}

fn bytes(from: &mut Session) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut out = TransmitBuffer::default();
        from.transmit(&mut out);
        from.transmit_ack(&mut out);
        if out.is_empty() {
            return all;
        }
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        slices[..used].iter().for_each(|slice| all.extend_from_slice(slice));
    }
}

fn deliver(from: &mut Session, to: &mut Session) {
    let bytes = bytes(from);
    let mut rest = &bytes[..];
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        to.handle(frame).unwrap();
        rest = &rest[len..];
    }
    to.assert_credit_is_conserved();
    from.assert_credit_is_conserved();
}

fn recv_all(side: &mut Session) -> Vec<u64> {
    let number = |incoming| match incoming {
        Incoming::Message { seq, .. } | Incoming::End { seq } => seq,
    };
    std::iter::from_fn(|| side.recv()).map(number).collect()
}

fn send(side: &mut Session, messages: &[&'static str]) {
    for message in messages {
        side.send(Bytes::from_static(message.as_bytes())).unwrap();
    }
}

fn send_pack(side: &mut Session, messages: &[&str]) {
    let mut packer = Packer::default();
    messages.iter().for_each(|message| packer.push(message.as_bytes()));
    side.send_pack(packer.pop().unwrap()).unwrap();
}

fn taken(text: &'static str) -> TakeBack {
    TakeBack::Taken(Bytes::from_static(text.as_bytes()))
}

fn taken_back(side: &mut Session) -> Vec<(u64, Bytes)> {
    std::iter::from_fn(|| side.taken_back()).collect()
}

fn recall(seq: u64) -> Frame<Bytes> {
    Frame::Recall { seq }
}

fn returned(seq: u64, fate: Fate) -> Frame<Bytes> {
    Frame::Returned { seq, fate, attempt: 1, reason: String::new() }
}

#[test]
fn what_waits_for_a_connection_is_taken_back_at_once_and_passed_over() {
    let mut peer = peer();
    send(&mut peer, &["a", "b", "c"]);
    assert_eq!(peer.take_back(2), taken("b"));
    assert_eq!(peer.take_back(2), TakeBack::TooLate, "it is taken back once");
    assert_eq!((peer.take_back(0), peer.take_back(4)), (TakeBack::TooLate, TakeBack::TooLate));
    peer.assert_credit_is_conserved();
    let mut host = meet(&mut peer, 1, 2);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [1, 3]);
    [1, 3].iter().for_each(|seq| host.handled(*seq));
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

#[test]
fn what_waits_for_the_window_is_taken_back_at_once() {
    let mut peer = peer();
    let (mut host, welcome) = Session::accept(&hello(&peer), 2, 1, LIMITS.with_window(70)).unwrap();
    peer.attach(&welcome).unwrap();
    send(&mut peer, &["a", "b", "c"]);
    deliver(&mut peer, &mut host);
    assert_eq!(peer.take_back(2), taken("b"));
    assert_eq!(recv_all(&mut host), [1]);
    host.handled(1);
    deliver(&mut host, &mut peer);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [3]);
}

#[test]
fn a_pack_that_was_not_sent_loses_the_one_message_and_no_other() {
    for gone in 2..=4 {
        let mut peer = peer();
        send(&mut peer, &["first"]);
        send_pack(&mut peer, &["x", "x", "x"]);
        send(&mut peer, &["last"]);
        assert_eq!(peer.take_back(gone), taken("x"));
        let mut host = meet(&mut peer, 1, 2);
        deliver(&mut peer, &mut host);
        let given = recv_all(&mut host);
        assert_eq!(given, (1..=5).filter(|seq| *seq != gone).collect::<Vec<_>>());
        given.iter().for_each(|seq| host.handled(*seq));
        deliver(&mut host, &mut peer);
        assert!(peer.is_flushed());
    }
}

#[test]
fn what_is_on_the_link_and_was_not_taken_comes_back() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a"]);
    send_pack(&mut peer, &["b", "c", "d"]);
    deliver(&mut peer, &mut host);
    assert!(matches!(host.recv(), Some(Incoming::Message { seq: 1, .. })));
    assert!(matches!(host.recv(), Some(Incoming::Message { seq: 2, .. })));
    for seq in [1, 3] {
        assert_eq!(peer.take_back(seq), TakeBack::Asked);
        assert!(peer.is_recalling(seq));
    }
    assert_eq!(
        bytes(&mut peer),
        *b"\x08\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0\0\x08\0\0\0\x0e\0\0\0\x03\0\0\0\0\0\0\0"
    );
    host.handle(recall(1)).unwrap();
    host.handle(recall(3)).unwrap();
    deliver(&mut host, &mut peer);
    assert!(peer.take_recall_news() && !peer.is_recalling(1) && !peer.is_recalling(3));
    assert_eq!(taken_back(&mut peer), [(3, Bytes::from_static(b"c"))]);
    assert_eq!(peer.take_back(3), TakeBack::TooLate);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [4]);
    [1, 2, 4].iter().for_each(|seq| host.handled(*seq));
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

#[test]
fn a_number_is_not_acknowledged_before_the_sender_has_taken_it_out() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a"]);
    deliver(&mut peer, &mut host);
    assert_eq!(peer.take_back(1), TakeBack::Asked);
    deliver(&mut peer, &mut host);
    assert_eq!(hello(&host).handled, 0);
    deliver(&mut host, &mut peer);
    deliver(&mut peer, &mut host);
    assert_eq!(hello(&host).handled, 1);
    assert!(peer.first_awaited() == 2 && !peer.is_flushed(), "a flush need not wait for that");
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

#[test]
fn an_acknowledgement_answers_as_well() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [1]);
    host.handled(1);
    assert_eq!(peer.take_back(1), TakeBack::Asked);
    deliver(&mut peer, &mut host);
    assert!(host.ack_urgent(), "somebody waits for it");
    deliver(&mut host, &mut peer);
    assert!(!peer.is_recalling(1));
    assert_eq!(taken_back(&mut peer), []);
}

#[test]
fn what_was_given_back_or_given_up_is_not_taken_back() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["again", "bad"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [1, 2]);
    assert_eq!((peer.take_back(1), peer.take_back(2)), (TakeBack::Asked, TakeBack::Asked));
    assert_eq!(host.give_back(1, 1), Some(2));
    host.reject(2, 1, "no such job");
    deliver(&mut peer, &mut host);
    deliver(&mut host, &mut peer);
    assert!(!peer.is_recalling(1) && !peer.is_recalling(2));
    assert_eq!(taken_back(&mut peer), []);
    assert_eq!(peer.take_undeliverable().map(|back| back.seq), Some(2));
    host.ready_again(1, Bytes::from_static(b"again"), 2);
    assert_eq!(recv_all(&mut host), [1]);
}

#[test]
fn after_another_link_to_the_same_host_everything_is_said_once_more() {
    for lost in 0..3 {
        let mut peer = peer();
        let mut host = meet(&mut peer, 1, 2);
        send(&mut peer, &["a", "b"]);
        deliver(&mut peer, &mut host);
        assert_eq!(peer.take_back(1), TakeBack::Asked);
        if lost > 0 {
            deliver(&mut peer, &mut host);
        }
        if lost > 1 {
            deliver(&mut host, &mut peer);
        }
        meet_again(&mut peer, &mut host);
        for _ in 0..2 {
            deliver(&mut peer, &mut host);
            deliver(&mut host, &mut peer);
        }
        assert_eq!(taken_back(&mut peer), [(1, Bytes::from_static(b"a"))]);
        assert_eq!(recv_all(&mut host), [2]);
        host.handled(2);
        deliver(&mut host, &mut peer);
        assert!(peer.is_flushed());
    }
}

#[test]
fn what_never_arrived_is_asked_for_on_the_next_link() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a"]);
    send_pack(&mut peer, &["b", "c"]);
    drop(bytes(&mut peer));
    assert_eq!((peer.take_back(1), peer.take_back(2)), (TakeBack::Asked, TakeBack::Asked));
    meet_again(&mut peer, &mut host);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [3]);
    deliver(&mut host, &mut peer);
    assert_eq!(taken_back(&mut peer).len(), 2);
}

#[test]
fn a_new_host_gets_what_the_last_one_may_have_seen() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["seen"]);
    deliver(&mut peer, &mut host);
    assert_eq!(peer.take_back(1), TakeBack::Asked);
    peer.detach();
    assert!(peer.is_recalling(1), "the same host may answer");
    send(&mut peer, &["new"]);
    assert_eq!(peer.take_back(2), taken("new"));
    let mut next = meet(&mut peer, 2, 2);
    assert!(!peer.is_recalling(1));
    assert_eq!(peer.take_back(1), TakeBack::TooLate);
    deliver(&mut peer, &mut next);
    assert_eq!(recv_all(&mut next), [1]);
    assert_eq!(taken_back(&mut peer), []);
}

#[test]
fn what_the_last_host_gave_back_is_a_gap_for_the_next_one() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send_pack(&mut peer, &["a", "b"]);
    deliver(&mut peer, &mut host);
    assert_eq!(peer.take_back(2), TakeBack::Asked);
    deliver(&mut peer, &mut host);
    deliver(&mut host, &mut peer);
    assert_eq!(taken_back(&mut peer).len(), 1);
    let mut next = meet(&mut peer, 2, 2);
    deliver(&mut peer, &mut next);
    assert_eq!(recv_all(&mut next), [1]);
}

#[test]
fn a_link_of_version_1_takes_nothing_back() {
    let mut peer = peer();
    let (mut host, welcome) = Session::accept(&hello(&peer), 1, 1, LIMITS.with_window(70)).unwrap();
    peer.attach(&welcome).unwrap();
    send(&mut peer, &["a", "b"]);
    deliver(&mut peer, &mut host);
    assert_eq!((peer.take_back(1), peer.take_back(2)), (TakeBack::TooLate, TakeBack::TooLate));
    assert!(matches!(host.handle(recall(1)), Err(ProtocolError::Unexpected(_))));
}

#[test]
fn what_nobody_has_claimed_in_a_store_comes_back_when_it_is_given_up() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1, 2);
    peer.use_store();
    send(&mut peer, &["claimed", "not", "half"]);
    for end in [16, 32] {
        let len = peer.next_part(100).unwrap().payload.len();
        peer.part_stored(len, end);
    }
    peer.part_stored(2, 48);
    for seq in 1..=3 {
        assert_eq!(peer.take_back(seq), TakeBack::Asked);
    }
    let part =
        |end, claimed, payload| StoredPart { end, claimed, payload: Bytes::from_static(payload) };
    peer.reclaim([part(16, true, b"claimed"), part(32, false, b"not")]).unwrap();
    peer.detach();
    peer.assert_credit_is_conserved();
    let back = [(2, Bytes::from_static(b"not")), (3, Bytes::from_static(b"half"))];
    assert_eq!(taken_back(&mut peer), back);
    assert!(peer.is_recalling(1));
    let mut next = meet(&mut peer, 2, 2);
    deliver(&mut peer, &mut next);
    assert_eq!(recv_all(&mut next), [1]);
}

#[test]
fn a_message_that_lies_only_in_the_store_is_wanted_from_there() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1, 2);
    peer.use_store();
    peer.message_stored(1, 16);
    assert_eq!(peer.take_back(1), TakeBack::Asked);
    peer.handle(returned(1, Fate::Recalled)).unwrap();
    assert_eq!(peer.wanted(), Some(16));
    peer.found(Some(Bytes::from_static(b"x"))).unwrap();
    assert_eq!(taken_back(&mut peer), [(1, Bytes::from_static(b"x"))]);
}

#[test]
fn recalls_and_answers_that_make_no_sense_are_refused() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a", "b"]);
    assert!(host.handle(recall(1)).is_err(), "it never came");
    deliver(&mut peer, &mut host);
    assert!(host.handle(recall(3)).is_err() && host.handle(recall(u64::MAX)).is_err());
    assert!(peer.handle(returned(1, Fate::Recalled)).is_err(), "nobody asked");
    assert!(peer.handle(returned(3, Fate::TooLate)).is_err(), "it was not sent");
    assert_eq!(peer.handle(returned(1, Fate::TooLate)), Ok(()));
    assert_eq!(recv_all(&mut host), [1, 2]);
    host.handled(1);
    deliver(&mut host, &mut peer);
    assert_eq!(host.handle(recall(1)), Ok(()), "its acknowledgement was quicker");
    assert_eq!(peer.handle(returned(1, Fate::Recalled)), Ok(()), "so was this one");
}

#[test]
fn a_flood_of_recalls_takes_no_memory_without_end() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["held"]);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [1]);
    for seq in 2..10_000 {
        host.handle(Frame::<Bytes>::Skip { seq }).unwrap();
    }
    (0..10_000).for_each(|_| host.handle(recall(1)).unwrap());
    assert_eq!(bytes(&mut host).len(), 18, "one answer");
    let refused = (1..10_000).find(|seq| host.handle(recall(*seq)).is_err());
    assert!(refused.is_some_and(|seq| seq < 1000), "{refused:?}");
}

#[test]
fn an_end_behind_what_was_taken_back_arrives() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1, 2);
    send(&mut peer, &["a"]);
    peer.finish();
    deliver(&mut peer, &mut host);
    assert_eq!(peer.take_back(1), TakeBack::Asked);
    assert_eq!(peer.take_back(2), TakeBack::TooLate, "an end is not taken back");
    deliver(&mut peer, &mut host);
    deliver(&mut host, &mut peer);
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [2]);
    host.handled(2);
    deliver(&mut host, &mut peer);
    assert!(peer.is_flushed());
}

#[test]
fn a_session_that_is_over_takes_nothing_back() {
    let mut peer = peer();
    send(&mut peer, &["a"]);
    peer.reset(open_channel_proto::ResetCode::Closed, "closed");
    assert_eq!(peer.take_back(1), TakeBack::TooLate);
}
