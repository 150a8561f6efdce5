//! The answers of a side to packs that arrive, and how their messages are taken many at a time.

use bytes::Bytes;
use open_channel_proto::{
    DataFlags, Frame, Incoming, Limits, MAX_PACK_COST, MESSAGE_OVERHEAD, PartFlags, PartKind,
    ProtocolError, ReceivedPart, Session, SocketId,
};

use crate::{
    LIMITS, WHOLE, cost, deliver, frames, hello, many, meet, meet_with, message, peer, raw,
    recv_all_many, send, taken_apart,
};

/// The answer of a side without other limits than these to one frame of data.
fn answer(
    limits: Limits,
    flags: DataFlags,
    total: usize,
    payload: Bytes,
) -> Result<(), ProtocolError> {
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    let result = host.handle(Frame::Data { seq: 1, flags, total: total as u64, payload });
    host.assert_credit_is_conserved();
    result
}

/// Its answer to one record.
fn answer_to_record(
    limits: Limits,
    kind: PartKind,
    total: usize,
    payload: Bytes,
) -> Result<(), ProtocolError> {
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    host.use_store();
    let part = ReceivedPart {
        kind,
        flags: PartFlags::PACKED,
        total: total as u64,
        len: payload.len(),
        end: 8,
    };
    let result = host.receive_part(part, |bytes| bytes.extend_from_slice(&payload));
    host.assert_credit_is_conserved();
    result
}

#[test]
fn a_pack_beyond_the_window_is_refused_while_something_is_held() {
    let limits = LIMITS.with_window(cost(&[3, 0, 0]));
    let one = Frame::Data {
        seq: 1,
        flags: DataFlags { packed: false, ..WHOLE },
        total: 3,
        payload: Bytes::from_static(b"one"),
    };
    for (messages, fits) in [(2, true), (3, false)] {
        let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
        host.handle(one.clone()).unwrap();
        let payload = raw(&vec![(0, &b""[..]); messages]);
        let total = payload.len() as u64;
        let result = host.handle(Frame::Data { seq: 2, flags: WHOLE, total, payload });
        let expected = if fits {
            Ok(())
        } else {
            Err(ProtocolError::WindowExceeded { window: limits.window })
        };
        assert_eq!(result, expected);
        host.assert_credit_is_conserved();
    }
}

#[test]
fn bytes_that_are_no_pack_are_refused() {
    let most = MAX_PACK_COST / MESSAGE_OVERHEAD;
    let unexpected = [
        raw(&[]),
        raw(&[(3, b"one")]),
        raw(&[(3, b"one"), (4, b"two")]),
        raw(&[(2, b"one"), (3, b"two")]),
        raw(&[(1, b"1"), (u32::MAX, b"2")]),
        Bytes::from_static(&[1, 0, 0, 0, 7, 0, 0, 0]),
        raw(&vec![(0, &b""[..]); most + 1]),
        raw(&vec![(900, &[0; 900][..]); MAX_PACK_COST / 964 + 1]),
    ];
    for bytes in unexpected {
        let result = answer(LIMITS, WHOLE, bytes.len(), bytes.clone());
        assert!(matches!(result, Err(ProtocolError::Unexpected(_))), "{bytes:?}: {result:?}");
        assert_eq!(answer_to_record(LIMITS, PartKind::Whole, bytes.len(), bytes), result);
    }
    for bytes in
        [raw(&vec![(0, &b""[..]); most]), raw(&vec![(900, &[0; 900][..]); MAX_PACK_COST / 964])]
    {
        assert_eq!(answer(LIMITS, WHOLE, bytes.len(), bytes.clone()), Ok(()));
        assert_eq!(answer_to_record(LIMITS, PartKind::Whole, bytes.len(), bytes), Ok(()));
    }
}

#[test]
fn a_pack_that_must_be_too_large_is_refused_before_it_is_read() {
    let limits = LIMITS.with_max_message(1 << 20);
    let refused =
        Err(ProtocolError::MessageTooLarge { len: MAX_PACK_COST + 1, max: MAX_PACK_COST });
    let bytes = Bytes::from(vec![0; MAX_PACK_COST + 1]);
    let first = DataFlags { last: false, ..WHOLE };
    assert_eq!(answer(limits, WHOLE, bytes.len(), bytes.clone()), refused);
    assert_eq!(answer(limits, first, bytes.len(), Bytes::from_static(b"begins")), refused);
    assert_eq!(answer_to_record(limits, PartKind::Whole, bytes.len(), bytes.clone()), refused);
    assert_eq!(
        answer_to_record(limits, PartKind::First, bytes.len(), Bytes::from_static(b"x")),
        refused
    );
    let not_packed = DataFlags { packed: false, ..WHOLE };
    assert_eq!(answer(limits, not_packed, bytes.len(), bytes), Ok(()));
}

#[test]
fn a_pack_with_a_message_beyond_the_limit_is_refused() {
    let limits = LIMITS.with_max_message(100);
    let (fits, exceeds) = ([0; 100], [0; 101]);
    for (long, result) in [
        (&fits[..], Ok(())),
        (&exceeds[..], Err(ProtocolError::MessageTooLarge { len: 101, max: 100 })),
    ] {
        let bytes = raw(&[(1, b"1"), (long.len() as u32, long)]);
        assert_eq!(answer(limits, WHOLE, bytes.len(), bytes.clone()), result);
        assert_eq!(answer_to_record(limits, PartKind::Whole, bytes.len(), bytes), result);
    }
}

#[test]
fn a_pack_in_several_frames_goes_by_the_flag_of_the_first() {
    for (of_first, of_others) in [(true, false), (false, true)] {
        let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, LIMITS).unwrap();
        let whole = raw(&[(3, b"one"), (3, b"two")]);
        let parts = [
            (DataFlags { last: false, packed: of_first, ..WHOLE }, 0..6),
            (DataFlags { first: false, last: false, packed: of_others, ..WHOLE }, 6..8),
            (DataFlags { first: false, packed: of_others, ..WHOLE }, 8..14),
        ];
        for (flags, range) in parts {
            let payload = whole.slice(range);
            host.handle(Frame::Data { seq: 1, flags, total: 14, payload }).unwrap();
        }
        let count = if of_first { 2 } else { 1 };
        assert_eq!(host.recv_many().map(|received| received.pack.count()), Some(count));
        assert_eq!(hello(&host).recv_next, 1 + u64::from(count));
    }
}

#[test]
fn many_are_taken_together_up_to_the_end() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(Bytes::from_static(b"1")).unwrap();
    peer.send(Bytes::from_static(b"2")).unwrap();
    send(&mut peer, &[b"3", b"4"]);
    peer.send(Bytes::new()).unwrap();
    peer.finish();
    deliver(&mut peer, &mut host);
    assert_eq!(recv_all_many(&mut host), [many(1, &[b"1", b"2", b"3", b"4", b""], false)]);
    assert!(host.is_readable());
    assert_eq!(host.recv(), Some(Incoming::End { seq: 6 }));
    assert_eq!((host.recv_many(), host.recv()), (None, None));
    host.handled_all(1..7);
    assert_eq!(hello(&host).handled, 6);
}

#[test]
fn many_are_taken_behind_what_was_taken_one_by_one() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &[b"long one", b"2", b"3"]);
    send(&mut peer, &[b"4", b"5"]);
    deliver(&mut peer, &mut host);
    assert_eq!(host.recv(), Some(message(1, b"long one", false)));
    assert_eq!(host.recv(), Some(message(2, b"2", false)));
    let rest = host.recv_many().unwrap();
    assert_eq!(rest.pack.longest(), 1);
    assert_eq!(taken_apart(rest), many(3, &[b"3", b"4", b"5"], false));
    host.handled_all(2..6);
    assert_eq!(hello(&host).handled, 0, "the first is not handled");
    host.handled(1);
    assert_eq!(hello(&host).handled, 5);
}

#[test]
fn what_is_left_of_a_pack_can_be_sent_on_where_its_first_message_could_not() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    send(&mut peer, &[&[1; 50], b"2", b"3"]);
    deliver(&mut peer, &mut host);
    host.recv().unwrap();
    let rest = host.recv_many().unwrap().pack;
    let mut further = Session::new(SocketId(2), LIMITS.with_max_message(10));
    assert_eq!(further.send_pack(rest), Ok(1));
}

#[test]
fn many_are_taken_together_up_to_the_change_of_the_mark() {
    let mut peer = peer();
    let _first = meet(&mut peer, 1);
    send(&mut peer, &[b"1", b"2"]);
    peer.send(Bytes::from_static(b"3")).unwrap();
    frames(&mut peer);
    send(&mut peer, &[b"4", b"5"]);
    peer.send(Bytes::from_static(b"6")).unwrap();
    let mut second = meet(&mut peer, 2);
    deliver(&mut peer, &mut second);
    let expected = [many(1, &[b"1", b"2", b"3"], true), many(4, &[b"4", b"5", b"6"], false)];
    assert_eq!(recv_all_many(&mut second), expected);
}

#[test]
fn many_are_taken_together_up_to_the_limit_of_a_pack() {
    let each = 1024 - MESSAGE_OVERHEAD;
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    for _ in 0..MAX_PACK_COST / 1024 + 2 {
        peer.send(vec![0; each].into()).unwrap();
    }
    send(&mut peer, &vec![&[0; 1024 - MESSAGE_OVERHEAD][..]; MAX_PACK_COST / 1024]);
    send(&mut peer, &[b"", b""]);
    deliver(&mut peer, &mut host);
    let counts: Vec<u32> =
        std::iter::from_fn(|| host.recv_many()).map(|many| many.pack.count()).collect();
    assert_eq!(counts, [32, 2, 32, 2], "whole packs only, and no more than fit");
}

#[test]
fn a_message_longer_than_a_pack_is_taken_alone() {
    let limits = LIMITS.with_max_message(1 << 20);
    let mut peer = Session::new(SocketId(1), limits);
    let mut host = meet_with(&mut peer, 1, limits);
    for length in [1, MAX_PACK_COST, 1] {
        peer.send(vec![0; length].into()).unwrap();
    }
    deliver(&mut peer, &mut host);
    let counts: Vec<u32> =
        std::iter::from_fn(|| host.recv_many()).map(|many| many.pack.count()).collect();
    assert_eq!(counts, [1, 1, 1]);
}
