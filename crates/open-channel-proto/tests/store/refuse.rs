//! A store that the other side has changed, and parts that do not fit.

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    Limits, PartFlags, PartKind, ProtocolError, ReceivedPart, Session, StoredPart,
};

use super::*;

/// The answer of the host's side to the last of these arrivals, and whether it asked for bytes.
fn hostile(
    limits: Limits,
    arrivals: &[(PartKind, u64, usize)],
) -> (Result<(), ProtocolError>, bool) {
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    host.use_store();
    let (last, before) = arrivals.split_last().unwrap();
    let mut end = 0;
    let mut receive = |&(kind, total, len): &(PartKind, u64, usize)| {
        end += 8;
        let mut asked = false;
        let part = ReceivedPart { kind, flags: PartFlags::NONE, total, len, end };
        let result = host.receive_part(part, |bytes: &mut BytesMut| {
            asked = true;
            bytes.resize(bytes.len() + len, 0);
        });
        host.assert_credit_is_conserved();
        (result, asked)
    };
    for arrival in before {
        assert_eq!(receive(arrival), (Ok(()), arrival.0 != PartKind::End), "{arrival:?}");
    }
    receive(last)
}

#[test]
fn a_record_that_was_destroyed_or_changed_is_an_error() {
    let reclaim = |change: fn(&mut Vec<StoredPart>)| {
        let mut peer = peer();
        let _host = meet(&mut peer, 1);
        for text in ["one", "two", "three"] {
            peer.send(text.as_bytes());
        }
        peer.put();
        let store = peer.own.as_mut().unwrap();
        store.fence();
        let mut parts = store.unreleased();
        change(&mut parts);
        let result = peer.session.reclaim(parts);
        peer.session.assert_credit_is_conserved();
        result
    };
    assert_eq!(reclaim(|_| {}), Ok(()));
    let unexpected = |result| matches!(result, Err(ProtocolError::Unexpected(_)));
    for index in 0..3 {
        let remove: [fn(&mut Vec<StoredPart>); 3] = [
            |parts| drop(parts.remove(0)),
            |parts| drop(parts.remove(1)),
            |parts| drop(parts.remove(2)),
        ];
        assert!(unexpected(reclaim(remove[index])), "without record {index}");
    }
    assert!(unexpected(reclaim(|parts| parts.clear())));
    assert!(unexpected(reclaim(|parts| parts.swap(0, 1))));
    assert!(unexpected(reclaim(|parts| parts[1].end += 8)));
    assert!(unexpected(reclaim(|parts| parts[1].payload = Bytes::from_static(b"longer"))));
    assert!(unexpected(reclaim(|parts| parts[2].payload = Bytes::new())));
}

/// The consumer of a fenced store may still release what it has claimed, at any moment.
#[test]
fn releases_are_taken_in_once_more_after_the_store_was_looked_through() {
    for looks_again in [false, true] {
        let mut peer = peer();
        let mut host = meet(&mut peer, 1);
        peer.send(b"one");
        peer.send(b"two");
        peer.put();
        claim_all(&mut peer, &mut host);
        recv_all(&mut host.session);
        peer.look();
        let store = peer.own.as_mut().unwrap();
        store.fence();
        host.session.handled(1);
        store.release(host.session.releasable());
        let parts = store.unreleased();
        host.session.handled(2);
        store.release(host.session.releasable());
        if looks_again {
            peer.look();
            assert_eq!(peer.session.reclaim(parts), Ok(()));
            assert!(peer.session.is_flushed());
        } else {
            assert!(
                peer.session.reclaim(parts).is_err(),
                "it cannot know that the first was not destroyed"
            );
        }
    }
}

#[test]
fn parts_in_an_impossible_order_are_refused_unread() {
    use PartKind::{End, First, Last, Middle, Whole};
    for arrivals in [
        &[(Middle, 0, 5)][..],
        &[(Last, 0, 5)],
        &[(Whole, 0, 5), (Middle, 0, 5)],
        &[(First, 10, 5), (First, 10, 5)],
        &[(First, 10, 5), (Whole, 0, 5)],
        &[(First, 10, 5), (End, 0, 0)],
        &[(First, 10, 5), (Last, 0, 5), (Last, 0, 5)],
        &[(End, 0, 0), (Whole, 0, 5)],
        &[(End, 0, 0), (First, 10, 5)],
        &[(End, 0, 0), (End, 0, 0)],
    ] {
        let (result, asked) = hostile(LIMITS, arrivals);
        assert!(matches!(result, Err(ProtocolError::Unexpected(_))), "{arrivals:?}: {result:?}");
        assert!(!asked, "{arrivals:?}");
    }
}

#[test]
fn parts_that_do_not_add_up_are_refused() {
    use PartKind::{First, Last, Middle};
    for (arrivals, unread) in [
        (&[(First, 10, 0)][..], true),
        (&[(First, 10, 11)], true),
        (&[(First, 0, 0)], true),
        (&[(First, 10, 5), (Middle, 0, 0)], true),
        (&[(First, 10, 5), (Middle, 0, 6)], true),
        (&[(First, 10, 5), (Last, 0, 0)], true),
        (&[(First, 10, 5), (Last, 0, 6)], true),
        (&[(First, 10, 5), (Last, 0, 4)], false),
    ] {
        let (result, asked) = hostile(LIMITS, arrivals);
        assert!(matches!(result, Err(ProtocolError::Unexpected(_))), "{arrivals:?}: {result:?}");
        assert!(!(asked && unread), "{arrivals:?}");
    }
}

#[test]
fn a_message_that_is_too_long_or_beyond_the_window_is_refused_unread() {
    use PartKind::{First, Whole};
    for arrival in [(Whole, 0, 1025), (First, 1025, 5), (First, u64::MAX, 5)] {
        let (result, asked) = hostile(LIMITS, &[arrival]);
        assert!(
            matches!(result, Err(ProtocolError::MessageTooLarge { max: 1024, .. })),
            "{arrival:?}"
        );
        assert!(!asked);
    }
    let limits = LIMITS.with_window(200);
    for (arrival, fits) in
        [((Whole, 0, 72), true), ((Whole, 0, 73), false), ((First, 73, 5), false)]
    {
        let (result, asked) = hostile(limits, &[(Whole, 0, 0), arrival]);
        let expected =
            if fits { Ok(()) } else { Err(ProtocolError::WindowExceeded { window: 200 }) };
        assert_eq!((result, asked), (expected, fits), "{arrival:?}");
    }
}
