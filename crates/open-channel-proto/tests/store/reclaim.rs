//! Messages in a store that is given up come back.

use crate::ring::Fenced;
use bytes::Bytes;
use open_channel_proto::{Frame, Incoming};

use super::*;

#[test]
fn only_what_is_not_released_comes_back_and_only_what_was_claimed_is_marked() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    for text in [b"handled", b"claimed"] {
        peer.send(text);
    }
    peer.put();
    claim_all(&mut peer, &mut first);
    recv_all(&mut first.session);
    handled(&mut peer, &mut first, 1);
    peer.send(b"not seen");
    peer.put();
    peer.send(b"waiting");
    peer.give_up().unwrap();
    let mut second = meet(&mut peer, 2);
    let expected = [
        message(2, b"claimed", true),
        message(3, b"not seen", false),
        message(4, b"waiting", false),
    ];
    assert_eq!(pass_all(&mut peer, &mut second), expected);
}

#[test]
fn a_mark_stays_however_many_hosts_do_not_look() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.send(b"claimed");
    peer.put();
    claim_all(&mut peer, &mut first);
    peer.send(b"never");
    for generation in 2..5 {
        peer.put();
        peer.give_up().unwrap();
        let _unread = meet(&mut peer, generation);
    }
    peer.give_up().unwrap();
    let mut last = meet(&mut peer, 5);
    let expected = [message(1, b"claimed", true), message(2, b"never", false)];
    assert_eq!(pass_all(&mut peer, &mut last), expected);
}

#[test]
fn the_same_host_gets_no_mark_for_what_it_did_not_claim_and_the_next_one_gets_it_for_what_was() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"one");
    peer.send(b"two");
    peer.put();
    let (arrival, payload) = peer.own.as_mut().unwrap().claim().unwrap().unwrap();
    host.session.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload)).unwrap();
    peer.give_up().unwrap();
    host.give_up().unwrap();
    resume(&mut peer, &mut host);
    peer.put();
    claim_all(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host.session), [message(1, b"one", false), message(2, b"two", false)]);
    peer.give_up().unwrap();
    let mut next = meet(&mut peer, 2);
    assert_eq!(
        pass_all(&mut peer, &mut next),
        [message(1, b"one", true), message(2, b"two", true)]
    );
}

#[test]
fn a_message_that_was_half_way_in_the_store_starts_over_without_a_mark() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.send(&long(1024));
    peer.put();
    assert!(claim_all(&mut peer, &mut first) > 0);
    peer.give_up().unwrap();
    let mut second = meet(&mut peer, 2);
    assert_eq!(pass_all(&mut peer, &mut second), [message(1, &long(1024), false)]);
}

#[test]
fn a_long_message_is_marked_when_its_last_part_was_claimed() {
    for last_too in [false, true] {
        let mut peer = peer();
        let mut first = meet(&mut peer, 1);
        peer.send(&long(300));
        peer.put();
        let store = peer.own.as_mut().unwrap();
        while let Some((arrival, payload)) = store.claim().unwrap() {
            first.session.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload)).unwrap();
            if !last_too {
                break;
            }
        }
        peer.give_up().unwrap();
        let mut second = meet(&mut peer, 2);
        assert_eq!(pass_all(&mut peer, &mut second), [message(1, &long(300), last_too)]);
    }
}

#[test]
fn what_one_host_got_in_frames_is_marked_whatever_the_store_says_later() {
    let mut peer = peer();
    let mut first = meet_on_frames(&mut peer, 1);
    peer.send(b"in frames");
    deliver_frames(&mut peer.session, &mut first.session);
    peer.session.detach();
    let _unread = meet(&mut peer, 2);
    peer.put();
    peer.give_up().unwrap();
    let mut third = meet(&mut peer, 3);
    assert_eq!(pass_all(&mut peer, &mut third), [message(1, b"in frames", true)]);
}

#[test]
fn what_came_back_from_the_store_goes_out_in_frames() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.send(b"claimed");
    peer.put();
    claim_all(&mut peer, &mut first);
    peer.send(b"not claimed");
    peer.send(&long(700));
    peer.session.finish();
    peer.put();
    peer.give_up().unwrap();
    let mut second = meet_on_frames(&mut peer, 2);
    deliver_frames(&mut peer.session, &mut second.session);
    let expected = [
        message(1, b"claimed", true),
        message(2, b"not claimed", false),
        message(3, &long(700), false),
        Incoming::End { seq: 4 },
    ];
    assert_eq!(handle_all(&mut second.session), expected);
    deliver_frames(&mut second.session, &mut peer.session);
    assert!(peer.session.is_flushed());
}

#[test]
fn an_end_in_the_store_comes_back_too_and_every_host_is_told() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.session.finish();
    peer.put();
    peer.give_up().unwrap();
    first.give_up().unwrap();
    resume(&mut peer, &mut first);
    assert_eq!(pass_all(&mut peer, &mut first), [Incoming::End { seq: 1 }]);
    peer.give_up().unwrap();
    let mut second = meet(&mut peer, 2);
    assert_eq!(pass_all(&mut peer, &mut second), [Incoming::End { seq: 1 }]);
}

#[test]
fn a_fence_keeps_everything_that_was_not_claimed_from_a_host_that_wakes_late() {
    let mut peer = peer();
    let _late = meet(&mut peer, 1);
    peer.send(b"one");
    peer.put();
    let mut store = peer.own.take().unwrap();
    store.fence();
    assert_eq!(store.claim().unwrap_err(), Fenced);
    peer.session.reclaim(store.unreleased()).unwrap();
    peer.session.detach();
    let mut second = meet(&mut peer, 2);
    assert_eq!(pass_all(&mut peer, &mut second), [message(1, b"one", false)]);
}

#[test]
fn resuming_on_a_new_store_delivers_nothing_twice_and_acknowledges_by_the_handshake() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    for _ in 0..3 {
        peer.send(b"x");
    }
    peer.put();
    claim_all(&mut peer, &mut host);
    assert_eq!(recv_all(&mut host.session).len(), 3);
    peer.give_up().unwrap();
    // The peer has left the store and does not see this release any more.
    host.session.handled(1);
    host.give_up().unwrap();
    assert_eq!(host.session.releasable(), 0);
    resume(&mut peer, &mut host);
    assert_eq!(peer.session.first_unacknowledged(), 2);
    peer.send(b"new");
    assert_eq!(pass_all(&mut peer, &mut host), [message(4, b"new", false)]);
    assert!(!peer.session.is_flushed(), "what came before is not handled yet");
}

#[test]
fn what_came_before_the_store_is_acknowledged_in_frames_and_the_rest_by_releases() {
    let mut peer = peer();
    let mut host = meet_on_frames(&mut peer, 1);
    peer.send(b"one");
    peer.send(b"two");
    deliver_frames(&mut peer.session, &mut host.session);
    peer.session.detach();
    resume(&mut peer, &mut host);
    peer.send(b"three");
    peer.put();
    assert_eq!(peer.session.messages_in_flight(), 3);
    assert_eq!(peer.session.stored_end(3), 0, "two is not in the store");
    claim_all(&mut peer, &mut host);
    recv_all(&mut host.session);
    handled(&mut peer, &mut host, 3);
    assert_eq!((host.session.releasable(), peer.session.first_unacknowledged()), (0, 1));
    host.session.handled(1);
    assert_eq!(deliver_frames(&mut host.session, &mut peer.session), [Frame::Ack { through: 1 }]);
    assert_eq!(peer.session.first_unacknowledged(), 2);
    handled(&mut peer, &mut host, 2);
    assert!(peer.session.is_flushed(), "one release for the rest");
    assert!(frames(&mut host.session).is_empty());
    // An acknowledgement that the release has overtaken changes nothing.
    peer.session.handle(Frame::<Bytes>::Ack { through: 2 }).unwrap();
}

#[test]
fn what_the_store_left_unhandled_is_acknowledged_in_frames_on_the_next_link() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.send(b"one");
    peer.put();
    claim_all(&mut peer, &mut host);
    recv_all(&mut host.session);
    peer.give_up().unwrap();
    host.give_up().unwrap();
    resume(&mut peer, &mut host);
    host.session.handled(1);
    assert_eq!(host.session.releasable(), 0, "this store has nothing of it");
    assert_eq!(deliver_frames(&mut host.session, &mut peer.session), [Frame::Ack { through: 1 }]);
    assert!(peer.session.is_flushed());
}
