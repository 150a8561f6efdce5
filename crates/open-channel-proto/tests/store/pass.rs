//! Messages pass through the store, and a release acknowledges them.

use open_channel_proto::{
    Closed, Incoming, MESSAGE_OVERHEAD, PartFlags, PartKind, ReceivedPart, ResetCode,
};

use super::*;

#[test]
fn a_short_message_is_one_part_and_a_long_one_is_several_that_add_up() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"short");
    peer.send(b"");
    peer.send(&long(600));
    let mut kinds = Vec::new();
    let store = peer.own.as_mut().unwrap();
    while let Some(part) = peer.session.next_part(100) {
        kinds.push((part.kind, part.payload.len(), part.total));
        let len = part.payload.len();
        let Some(end) = store.push(&part) else { break };
        peer.session.part_stored(len, end);
    }
    assert_eq!(kinds[..2], [(PartKind::Whole, 5, 5), (PartKind::Whole, 0, 0)]);
    assert_eq!(
        kinds[2..5],
        [(PartKind::First, 100, 600), (PartKind::Middle, 100, 600), (PartKind::Middle, 100, 600)]
    );
    let expected =
        [message(1, b"short", false), message(2, b"", false), message(3, &long(600), false)];
    assert_eq!(pass_all(&mut peer, &mut host), expected);
    assert!(peer.session.is_flushed());
}

#[test]
fn a_message_whose_bytes_stay_apart_is_one_like_the_others() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    for payload in [&b"one"[..], b"two", b"three"] {
        peer.send(payload);
    }
    peer.put();
    let store = peer.own.as_mut().unwrap();
    for seq in 1..=3 {
        let (arrival, _) = store.claim().unwrap().unwrap();
        assert!(host.session.may_receive_apart(arrival.len));
        assert_eq!(host.session.receive_apart(arrival.len, arrival.end), seq);
        assert!(!host.session.is_readable(), "the application has it");
    }
    assert_eq!(host.session.unhandled_bytes(), 3 * MESSAGE_OVERHEAD + 11);
    handled(&mut peer, &mut host, 2);
    assert_eq!(peer.session.first_unacknowledged(), 1);
    handled(&mut peer, &mut host, 1);
    assert_eq!(peer.session.first_unacknowledged(), 3);
    handled(&mut peer, &mut host, 3);
    assert!(peer.session.is_flushed());
    assert_eq!(host.session.unhandled_bytes(), 0);
}

#[test]
fn a_message_apart_is_held_to_the_rules() {
    let whole = |len, end| ReceivedPart {
        kind: PartKind::Whole,
        flags: PartFlags::NONE,
        total: 0,
        len,
        end,
    };
    let mut host = meet(&mut peer(), 1);
    assert!(!host.session.may_receive_apart(1025), "it is too long");
    for end in 1..=3 {
        assert!(host.session.may_receive_apart(1024));
        host.session.receive_apart(1024, end * 8);
    }
    assert!(!host.session.may_receive_apart(1024), "it exceeds the window");

    let mut host = meet(&mut peer(), 1);
    host.session.receive_part(whole(1, 8), |bytes| bytes.extend_from_slice(b"x")).unwrap();
    assert!(!host.session.may_receive_apart(1), "another comes first");
    host.session.recv().unwrap();
    assert!(host.session.may_receive_apart(1));

    let mut host = meet(&mut peer(), 1);
    let first = ReceivedPart { kind: PartKind::First, total: 100, ..whole(10, 8) };
    host.session.receive_part(first, |bytes| bytes.extend_from_slice(&[0; 10])).unwrap();
    assert!(!host.session.may_receive_apart(1), "another is under way");

    let mut host = meet(&mut peer(), 1);
    host.session.receive_part(ReceivedPart { kind: PartKind::End, ..whole(0, 8) }, |_| {}).unwrap();
    host.session.recv().unwrap();
    assert!(!host.session.may_receive_apart(1), "it comes after the end");

    let mut host = meet(&mut peer(), 1);
    host.session.reset(ResetCode::Destroyed, "over");
    assert!(!host.session.may_receive_apart(1), "nobody takes it");
}

#[test]
fn a_message_that_ends_with_a_full_part_has_no_empty_last_one() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1);
    peer.send(&long(200));
    let first = peer.session.next_part(100).unwrap();
    assert_eq!((first.kind, first.payload.len()), (PartKind::First, 100));
    peer.session.part_stored(100, 8);
    let last = peer.session.next_part(100).unwrap();
    assert_eq!((last.kind, last.payload), (PartKind::Last, &long(200)[100..]));
    peer.session.part_stored(100, 16);
    assert_eq!(peer.session.next_part(100), None);
}

#[test]
fn a_message_larger_than_the_store_passes_through_it() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(&long(1024));
    peer.put();
    assert_eq!(peer.session.messages_in_flight(), 0, "it does not fit at once");
    assert_eq!(pass_all(&mut peer, &mut host), [message(1, &long(1024), false)]);
    assert!(peer.session.is_flushed());
}

#[test]
fn messages_and_the_end_come_in_the_order_they_were_sent() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    let mut expected = Vec::new();
    for (index, length) in [3, 300, 0, 40].into_iter().enumerate() {
        peer.send(&long(length));
        expected.push(message(index as u64 + 1, &long(length), false));
    }
    peer.session.finish();
    expected.push(Incoming::End { seq: 5 });
    assert_eq!(pass_all(&mut peer, &mut host), expected);
    assert!(host.session.is_remote_finished());
    host.session.finish();
    assert_eq!(pass_all(&mut host, &mut peer), [Incoming::End { seq: 1 }]);
    assert_eq!(peer.session.closed(), Some(&Closed::Finished));
    assert_eq!(host.session.closed(), Some(&Closed::Finished));
    assert!(frames(&mut peer.session).is_empty() && frames(&mut host.session).is_empty());
}

#[test]
fn a_release_is_the_acknowledgement_and_claiming_is_not() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"one");
    peer.put();
    let end = peer.session.stored_end(2);
    assert!(end > 0);
    claim_all(&mut peer, &mut host);
    recv_all(&mut host.session);
    peer.look();
    assert_eq!((host.session.releasable(), peer.session.is_flushed()), (0, false));
    host.session.handled(1);
    assert_eq!(host.session.releasable(), end);
    assert!(!host.session.ack_pending() && frames(&mut host.session).is_empty());
    peer.session.released(end).unwrap();
    assert!(peer.session.is_flushed());
    assert_eq!((peer.session.bytes_in_flight(), peer.session.stored_end(2)), (0, 0));
}

#[test]
fn what_is_handled_out_of_order_is_released_up_to_the_first_that_is_not() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    for _ in 0..4 {
        peer.send(b"x");
    }
    peer.put();
    let ends: Vec<u64> = (2..=5).map(|next| peer.session.stored_end(next)).collect();
    claim_all(&mut peer, &mut host);
    recv_all(&mut host.session);
    for (seq, releasable, left) in [(2, 0, 1), (4, 0, 1), (1, ends[1], 3), (3, ends[3], 5)] {
        handled(&mut peer, &mut host, seq);
        assert_eq!(
            (host.session.releasable(), peer.session.first_unacknowledged()),
            (releasable, left)
        );
    }
}

#[test]
fn a_message_that_is_held_keeps_everything_behind_it_in_the_store() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"held");
    peer.send(&long(1024));
    peer.put();
    claim_all(&mut peer, &mut host);
    peer.put();
    claim_all(&mut peer, &mut host);
    assert_eq!(host.session.releasable(), 0, "not even the parts of an unfinished message");
    assert_eq!(recv_all(&mut host.session), [message(1, b"held", false)]);
    handled(&mut peer, &mut host, 1);
    assert!(host.session.releasable() > peer.session.stored_end(2), "they go with what held them");
    assert_eq!(pass_all(&mut peer, &mut host), [message(2, &long(1024), false)]);
}

#[test]
fn the_parts_of_an_unfinished_message_go_when_nothing_before_them_is_kept() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(&long(1024));
    peer.put();
    assert!(claim_all(&mut peer, &mut host) > 1);
    let released = peer.own.as_ref().unwrap().released();
    assert!(released > 0 && released == host.session.releasable());
    peer.look();
    assert_eq!(peer.session.first_unacknowledged(), 1, "no message is acknowledged by it");
}
