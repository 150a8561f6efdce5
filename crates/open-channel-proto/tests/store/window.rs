//! The window, the limit and the end hold for a store, too.

use open_channel_proto::{Attachment, MESSAGE_OVERHEAD, PartFlags, PartKind, ResetCode, Session};

use super::*;

#[test]
fn no_message_and_no_end_travels_in_frames_beside_a_store() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1);
    peer.send(b"one");
    peer.session.request_ack();
    peer.session.finish();
    assert!(frames(&mut peer.session).is_empty());
    peer.put();
    assert!(frames(&mut peer.session).is_empty());
}

#[test]
fn the_window_is_respected_and_opened_by_releases() {
    let mut peer = peer();
    let limits = LIMITS.with_window(300);
    let (host, welcome) = Session::accept(&hello(&peer), 1, 1, limits).unwrap();
    peer.session.attach(&welcome).unwrap();
    let mut host = Side::new(host);
    peer.use_store(4096);
    for _ in 0..4 {
        peer.send(&long(100 - MESSAGE_OVERHEAD));
    }
    peer.session.finish();
    peer.put();
    assert_eq!(peer.session.bytes_in_flight(), 300);
    claim_all(&mut peer, &mut host);
    recv_all(&mut host.session);
    peer.put();
    assert_eq!(peer.session.messages_in_flight(), 3);
    handled(&mut peer, &mut host, 1);
    peer.put();
    assert_eq!(peer.session.messages_in_flight(), 4, "the fourth and the end");
}

#[test]
fn a_message_beyond_the_window_goes_alone() {
    let mut peer = peer();
    let limits = LIMITS.with_window(100);
    let (host, welcome) = Session::accept(&hello(&peer), 1, 1, limits).unwrap();
    peer.session.attach(&welcome).unwrap();
    let mut host = Side::new(host);
    peer.use_store(CAPACITY);
    peer.send(&long(700));
    peer.send(b"x");
    assert_eq!(
        pass_all(&mut peer, &mut host),
        [message(1, &long(700), false), message(2, b"x", false)]
    );
}

#[test]
fn a_message_may_be_written_to_the_store_before_it_is_sent() {
    let mut peer = peer();
    assert!(!peer.session.may_store(3), "there is no link");
    let mut host = meet(&mut peer, 1);
    let store = |peer: &mut Side, payload: &[u8]| {
        assert!(peer.session.may_store(payload.len()));
        let part = open_channel_proto::Part {
            kind: PartKind::Whole,
            flags: PartFlags::NONE,
            total: payload.len(),
            payload,
        };
        let end = peer.own.as_mut().unwrap().push(&part).unwrap();
        peer.session.message_stored(payload.len(), end)
    };
    assert_eq!(store(&mut peer, b"one"), 1);
    assert_eq!(store(&mut peer, b""), 2);
    assert_eq!(peer.session.bytes_in_flight(), 3 + 2 * MESSAGE_OVERHEAD);
    let (arrival, payload) = peer.own.as_mut().unwrap().claim().unwrap().unwrap();
    host.session.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload)).unwrap();
    assert_eq!(handle_all(&mut host.session), [message(1, b"one", false)]);
    store(&mut peer, b"three");
    peer.give_up().unwrap();
    let mut second = meet(&mut peer, 2);
    let expected = [message(1, b"one", true), message(2, b"", false), message(3, b"three", false)];
    assert_eq!(pass_all(&mut peer, &mut second), expected);
}

#[test]
fn a_message_may_not_be_written_first_past_others_the_window_the_limit_or_the_end() {
    let mut peer = peer();
    let limits = LIMITS.with_window(300);
    let (_, welcome) = Session::accept(&hello(&peer), 1, 1, limits).unwrap();
    peer.session.attach(&welcome).unwrap();
    assert!(!peer.session.may_store(3), "there is no store");
    peer.use_store(CAPACITY);
    assert!(peer.session.may_store(1024) && !peer.session.may_store(1025));
    peer.send(b"waits");
    assert!(!peer.session.may_store(3), "something waits");
    peer.put();
    assert!(peer.session.may_store(300 - 69 - 64) && !peer.session.may_store(300 - 69 - 63));
    peer.session.finish();
    assert!(!peer.session.may_store(3), "it has ended");
    peer.put();
    assert!(!peer.session.may_store(3));
}

#[test]
fn a_closed_session_puts_nothing_into_the_store_and_ignores_what_comes() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"one");
    host.session.reset(ResetCode::Destroyed, "enough");
    peer.put();
    assert_eq!(claim_all(&mut peer, &mut host), 1);
    assert_eq!((host.session.recv(), host.session.releasable()), (None, 0));
    host.session.finish();
    assert!(host.session.next_part(100).is_none() && !host.session.may_store(1));
    peer.send(b"two");
    assert_eq!(
        deliver_frames(&mut host.session, &mut peer.session).len(),
        1,
        "a reset travels in a frame"
    );
    assert!(peer.session.next_part(100).is_none() && !peer.session.may_store(1));
}

#[test]
fn what_had_arrived_before_a_reset_is_still_delivered() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    host.send(b"last words");
    host.put();
    host.session.reset(ResetCode::ListenerFailed, "it panicked");
    claim_all(&mut host, &mut peer);
    deliver_frames(&mut host.session, &mut peer.session);
    assert_eq!(recv_all(&mut peer.session), [message(1, b"last words", false)]);
}

#[test]
fn an_early_reply_whose_welcome_got_lost_comes_back_and_goes_out_again() {
    let mut peer = peer();
    let (host, _lost) = Session::accept(&hello(&peer), 1, 1, LIMITS).unwrap();
    let mut host = Side::new(host);
    host.use_store(CAPACITY);
    host.send(b"early reply");
    host.put();
    host.give_up().unwrap();
    let welcome = host.session.resume(&hello(&peer), 1).unwrap();
    assert_eq!(peer.session.attach(&welcome), Ok(Attachment::Fresh));
    host.use_store(CAPACITY);
    assert_eq!(pass_all(&mut host, &mut peer), [message(1, b"early reply", false)]);
}

/// The overtaken hello makes the host start over; what the peer has seen before must not be
/// forgotten by the store that comes next, or the host would refuse the peer for ever.
#[test]
fn what_was_seen_before_an_overtaken_hello_is_still_known_after_a_store_that_nobody_read() {
    let mut peer = peer();
    let overtaken = hello(&peer);
    let mut host = meet(&mut peer, 1);
    host.send(b"one");
    host.put();
    claim_all(&mut host, &mut peer);
    host.give_up().unwrap();
    assert!(!host.session.resume(&overtaken, 1).unwrap().resumed);
    host.use_store(CAPACITY);
    host.put();
    host.give_up().unwrap();
    peer.give_up().unwrap();
    resume(&mut peer, &mut host);
    host.send(b"two");
    assert_eq!(
        pass_all(&mut host, &mut peer),
        [message(1, b"one", false), message(2, b"two", false)]
    );
}
