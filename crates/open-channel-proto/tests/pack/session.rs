//! How packs are numbered, acknowledged, paid for and sent again.

use bytes::Bytes;
use open_channel_proto::{
    Attachment, DataFlags, Frame, Hello, Incoming, MAX_PACK_COST, MESSAGE_OVERHEAD, ProtocolError,
    Refused, Session, SocketId,
};

use crate::{
    LIMITS, WHOLE, cost, deliver, frames, hello, many, meet, meet_with, message, pack, peer, raw,
    recv_all, recv_all_many, resume, send,
};

#[test]
fn a_pack_is_one_frame_and_each_message_has_its_number() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    assert_eq!(send(&mut peer, &[b"one", b"", b"three"]), 1);
    assert_eq!(peer.send(Bytes::from_static(b"four")), Ok(4));
    assert_eq!(send(&mut peer, &[b"five", b"six"]), 5);
    assert_eq!((peer.next_seq(), peer.messages_in_flight()), (7, 0));
    let sent = frames(&mut peer);
    let payload = raw(&[(3, b"one"), (0, b""), (5, b"three")]);
    assert_eq!(sent[0], Frame::Data { seq: 1, flags: WHOLE, total: payload.len() as u64, payload });
    assert_eq!((sent.len(), peer.messages_in_flight()), (3, 6));
    sent.into_iter().for_each(|frame| host.handle(frame).unwrap());
    let expected = [
        message(1, b"one", false),
        message(2, b"", false),
        message(3, b"three", false),
        message(4, b"four", false),
        message(5, b"five", false),
        message(6, b"six", false),
    ];
    assert_eq!(recv_all(&mut host), expected);
}

#[test]
fn a_pack_of_one_is_a_message() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1);
    send(&mut peer, &[b"alone"]);
    let flags = DataFlags { packed: false, ..WHOLE };
    assert_eq!(
        frames(&mut peer),
        [Frame::Data { seq: 1, flags, total: 5, payload: Bytes::from_static(b"alone") }]
    );
}

#[test]
fn a_pack_is_acknowledged_when_all_its_messages_are_handled_in_any_order() {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for order in orders {
        let mut peer = peer();
        let mut host = meet(&mut peer, 1);
        send(&mut peer, &[b"one", b"two", b"three"]);
        deliver(&mut peer, &mut host);
        recv_all(&mut host);
        let held = host.unhandled_bytes();
        for seq in &order[..2] {
            host.handled(*seq);
            assert!(!host.ack_pending(), "{order:?}");
            assert_eq!((host.unhandled_bytes(), hello(&host).handled), (held, 0), "{order:?}");
        }
        host.handled(order[2]);
        assert_eq!((host.unhandled_bytes(), hello(&host).handled), (0, 3));
        assert_eq!(frames(&mut host), [Frame::Ack { through: 3 }]);
    }
}

#[test]
fn messages_are_handled_in_a_row_wherever_packs_begin_and_end() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &[b"1", b"2", b"3"]);
    send(&mut peer, &[b"4"]);
    send(&mut peer, &[b"5", b"6"]);
    peer.finish();
    deliver(&mut peer, &mut host);
    recv_all(&mut host);
    for (seqs, through) in [(3..6, 0), (7..8, 0), (2..3, 0), (1..2, 4), (6..7, 7)] {
        host.handled_all(seqs);
        assert_eq!(hello(&host).handled, through);
        host.assert_credit_is_conserved();
    }
}

#[test]
fn handling_what_there_is_not_changes_nothing() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    host.handled_all(0..u64::MAX);
    send(&mut peer, &[b"1", b"2"]);
    deliver(&mut peer, &mut host);
    recv_all(&mut host);
    let most = u64::MAX;
    for (start, end) in [(0, 1), (3, most), (most, most), (1, 1), (2, 1), (most, 0), (2, 2)] {
        host.handled_all(start..end);
        assert_eq!(host.unhandled_bytes(), cost(&[1, 1]), "{start}..{end}");
    }
    for seq in [0, 3, u64::MAX - 1, u64::MAX] {
        host.handled(seq);
        assert_eq!(host.unhandled_bytes(), cost(&[1, 1]), "{seq}");
    }
    host.handled_all(0..u64::MAX);
    assert_eq!((host.unhandled_bytes(), hello(&host).handled), (0, 2));
}

#[test]
fn an_acknowledgement_in_the_middle_of_a_pack_is_an_error() {
    for through in 1..=5 {
        let mut peer = peer();
        let _host = meet(&mut peer, 1);
        send(&mut peer, &[b"1", b"2"]);
        send(&mut peer, &[b"3", b"4", b"5"]);
        frames(&mut peer);
        let result = peer.handle(Frame::<Bytes>::Ack { through });
        let whole = [2, 5].contains(&through);
        assert_eq!(result.is_ok(), whole, "{through}");
        assert!(whole || matches!(result, Err(ProtocolError::Unexpected(_))), "{through}");
        peer.assert_credit_is_conserved();
    }
}

#[test]
fn a_welcome_from_the_middle_of_a_pack_is_refused() {
    for recv_next in 1..=6 {
        let mut peer = peer();
        let mut host = meet(&mut peer, 1);
        send(&mut peer, &[b"1", b"2"]);
        send(&mut peer, &[b"3", b"4", b"5"]);
        deliver(&mut peer, &mut host);
        peer.detach();
        let mut welcome = host.resume(&hello(&peer), 1).unwrap();
        (welcome.recv_next, welcome.handled) = (recv_next, 0);
        let whole = [1, 3, 6].contains(&recv_next);
        let result = peer.attach(&welcome);
        assert_eq!(result.is_ok(), whole, "{recv_next}");
        assert!(whole || matches!(result, Err(ProtocolError::Handshake(_))), "{recv_next}");
        let in_flight = if whole { recv_next - 1 } else { 5 };
        assert_eq!(peer.messages_in_flight() as u64, in_flight);
        peer.assert_credit_is_conserved();
    }
}

#[test]
fn a_hello_from_the_middle_of_a_pack_is_refused() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    send(&mut host, &[b"1", b"2"]);
    deliver(&mut host, &mut peer);
    peer.detach();
    let right = hello(&peer);
    let wrong = Hello { recv_next: 2, ..right.clone() };
    assert!(matches!(host.resume(&wrong, 1), Err(ProtocolError::Handshake(_))));
    let handled_one = Hello { handled: 1, ..right.clone() };
    assert!(matches!(host.resume(&handled_one, 1), Err(ProtocolError::Unexpected(_))));
    host.assert_credit_is_conserved();
    assert!(host.resume(&right, 1).is_ok());
}

#[test]
fn the_same_host_gets_no_pack_twice_and_the_rest_of_them_whole() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &[b"1", b"2"]);
    deliver(&mut peer, &mut host);
    assert_eq!(host.recv(), Some(message(1, b"1", false)));
    host.handled(1);
    send(&mut peer, &[b"3", b"4"]);
    let _lost = frames(&mut peer);
    resume(&mut peer, &mut host);
    assert_eq!((peer.first_unacknowledged(), peer.messages_in_flight()), (1, 2));
    deliver(&mut peer, &mut host);
    let expected = [message(2, b"2", false), message(3, b"3", false), message(4, b"4", false)];
    assert_eq!(recv_all(&mut host), expected);
}

#[test]
fn a_new_host_gets_a_pack_that_was_handled_in_part_as_a_whole_and_marked() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    send(&mut peer, &[b"1", b"2"]);
    send(&mut peer, &[b"3", b"4", b"5"]);
    deliver(&mut peer, &mut first);
    recv_all(&mut first);
    first.handled_all(1..5);
    deliver(&mut first, &mut peer);
    assert_eq!(peer.first_unacknowledged(), 3);
    send(&mut peer, &[b"6", b"7"]);
    let mut second = meet(&mut peer, 2);
    deliver(&mut peer, &mut second);
    let expected = [many(3, &[b"3", b"4", b"5"], true), many(6, &[b"6", b"7"], false)];
    assert_eq!(recv_all_many(&mut second), expected);
}

#[test]
fn what_waits_at_a_host_keeps_its_packs_when_its_numbers_change() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    let lost = hello(&peer);
    send(&mut first, &[b"a", b"b", b"c"]);
    deliver(&mut first, &mut peer);
    recv_all(&mut peer);
    // The second host's first welcome is lost, and its application has sent already.
    let (mut second, _lost) = Session::accept(&lost, 1, 2, LIMITS).unwrap();
    assert_eq!(send(&mut second, &[b"4", b"5"]), 1);
    assert_eq!(send(&mut second, &[b"6"]), 3);
    assert_eq!(send(&mut second, &[b"7", b"8"]), 4);
    peer.detach();
    second.detach();
    let welcome = second.resume(&hello(&peer), 1).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Fresh));
    assert_eq!((second.first_unacknowledged(), second.next_seq()), (4, 9));
    assert_eq!(second.send(Bytes::from_static(b"9")), Ok(9));
    deliver(&mut second, &mut peer);
    assert_eq!(recv_all_many(&mut peer), [many(4, &[b"4", b"5", b"6", b"7", b"8", b"9"], false)]);
    peer.handled_all(1..10);
    deliver(&mut peer, &mut second);
    assert!(second.is_flushed());
    second.assert_credit_is_conserved();
}

#[test]
fn a_pack_costs_windows_and_outboxes_what_its_messages_cost() {
    let mut peer = Session::new(SocketId(1), LIMITS.with_outbox(cost(&[10, 0, 5, 7])));
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &[&[1; 10], &[], &[2; 5]]);
    assert_eq!((peer.outbox_bytes(), peer.bytes_in_flight()), (cost(&[10, 0, 5]), 0));
    assert!(peer.has_room_for(cost(&[7])) && !peer.has_room_for(cost(&[8])));
    let pair = pack(&[b"", b""]);
    assert_eq!(peer.send_pack(pair.clone()), Err(Refused::Full(pair)));
    deliver(&mut peer, &mut host);
    assert_eq!(peer.bytes_in_flight(), cost(&[10, 0, 5]));
    assert_eq!(host.unhandled_bytes(), cost(&[10, 0, 5]));
    peer.assert_credit_is_conserved();
    host.assert_credit_is_conserved();
    recv_all(&mut host);
    host.handled_all(1..4);
    deliver(&mut host, &mut peer);
    assert_eq!((peer.outbox_bytes(), peer.bytes_in_flight(), host.unhandled_bytes()), (0, 0, 0));
}

#[test]
fn a_pack_waits_for_a_window_that_takes_all_of_it() {
    let mut peer = peer();
    let mut host = meet_with(&mut peer, 1, LIMITS.with_window(cost(&[1, 2, 3])));
    peer.send(Bytes::from_static(b"1")).unwrap();
    send(&mut peer, &[b"22", b"333"]);
    peer.send(Bytes::new()).unwrap();
    deliver(&mut peer, &mut host);
    assert_eq!((peer.messages_in_flight(), peer.is_sendable()), (3, false));
    recv_all(&mut host);
    host.handled(2);
    host.handled(1);
    deliver(&mut host, &mut peer);
    assert!(peer.is_sendable());
    deliver(&mut peer, &mut host);
    assert_eq!((peer.messages_in_flight(), host.unhandled_bytes()), (3, cost(&[2, 3, 0])));
}

#[test]
fn a_pack_beyond_the_window_goes_alone() {
    let mut peer = peer();
    let mut host = meet_with(&mut peer, 1, LIMITS.with_window(cost(&[1, 1])));
    peer.send(Bytes::from_static(b"1")).unwrap();
    send(&mut peer, &[b"2", b"3", b"4"]);
    peer.send(Bytes::from_static(b"5")).unwrap();
    for expected in [
        &[message(1, b"1", false)][..],
        &[message(2, b"2", false), message(3, b"3", false), message(4, b"4", false)],
    ] {
        deliver(&mut peer, &mut host);
        assert_eq!(recv_all(&mut host), expected);
        let (Incoming::Message { seq, .. } | Incoming::End { seq }) = expected[0];
        host.handled_all(seq..seq + expected.len() as u64);
        deliver(&mut host, &mut peer);
    }
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host), [message(5, b"5", false)]);
}

#[test]
fn a_pack_with_a_message_beyond_the_limit_is_given_back() {
    let mut peer = peer();
    let _host = meet_with(&mut peer, 1, LIMITS.with_max_message(100));
    send(&mut peer, &[&[1; 100], &[2; 100], &[3; 100]]);
    let too_long = pack(&[&[1; 100], &[2; 101], &[3; 5]]);
    assert_eq!(peer.send_pack(too_long.clone()), Err(Refused::TooLarge(too_long)));
    let alone = pack(&[&[1; 101]]);
    assert_eq!(peer.send_pack(alone.clone()), Err(Refused::TooLarge(alone)));
}

#[test]
fn a_finished_side_gives_a_pack_back() {
    let mut peer = peer();
    peer.finish();
    let late = pack(&[b"too", b"late"]);
    assert_eq!(peer.send_pack(late.clone()), Err(Refused::Closed(late)));
}

#[test]
fn the_largest_packs_are_one_frame_each() {
    let limits = LIMITS.with_max_message(MAX_PACK_COST);
    let mut peer = Session::new(SocketId(1), limits);
    let mut host = meet_with(&mut peer, 1, limits);
    send(&mut peer, &[&[7; MAX_PACK_COST - 2 * MESSAGE_OVERHEAD - 1], b"x"]);
    send(&mut peer, &[&b""[..]; MAX_PACK_COST / MESSAGE_OVERHEAD]);
    assert_eq!(peer.outbox_bytes(), 2 * MAX_PACK_COST);
    let sent = frames(&mut peer);
    assert_eq!(sent.len(), 2);
    sent.into_iter().for_each(|frame| host.handle(frame).unwrap());
}
