//! Packs on a link with a store.

use bytes::Bytes;
use open_channel_proto::{
    MAX_PACK_COST, Part, PartFlags, PartKind, ProtocolError, ReceivedPart, Session, StoredPart,
};

use crate::ring::Store;
use crate::{
    LIMITS, cost, frames, many, meet, meet_with, pack, peer, raw, recv_all, recv_all_many, send,
    taken_apart,
};

/// A peer and a host whose link has a store for what the peer sends.
fn meet_with_store(peer: &mut Session, generation: u64, capacity: usize) -> (Session, Store) {
    let mut host = meet(peer, generation);
    host.use_store();
    peer.use_store();
    (host, Store::new(capacity))
}

fn put(peer: &mut Session, store: &mut Store) {
    while let Some(part) = peer.next_part(store.longest()) {
        let len = part.payload.len();
        let Some(end) = store.push(&part) else { break };
        peer.part_stored(len, end);
    }
}

fn claim_all(store: &mut Store, host: &mut Session) -> Vec<PartKind> {
    let mut kinds = Vec::new();
    while let Some((arrival, payload)) = store.claim().unwrap() {
        host.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload)).unwrap();
        store.release(host.releasable());
        kinds.push(arrival.kind);
    }
    kinds
}

fn store_first(peer: &mut Session, store: &mut Store, messages: &[&[u8]]) -> u64 {
    let pack = pack(messages);
    assert!(peer.may_store_pack(pack.longest(), pack.cost()));
    let payload = &pack.bytes()[..];
    let part =
        Part { kind: PartKind::Whole, flags: PartFlags::PACKED, total: payload.len(), payload };
    let end = store.push(&part).unwrap();
    peer.pack_stored(payload.len(), pack.count(), end)
}

#[test]
fn a_pack_is_one_record_and_its_release_acknowledges_all_of_it() {
    let mut peer = peer();
    let (mut host, mut store) = meet_with_store(&mut peer, 1, 1024);
    send(&mut peer, &[b"1", b"2"]);
    send(&mut peer, &[b"3"]);
    let part = peer.next_part(100).unwrap();
    assert_eq!((part.kind, part.flags.is_packed(), part.total), (PartKind::Whole, true, 10));
    put(&mut peer, &mut store);
    assert_eq!(store_first(&mut peer, &mut store, &[b"4", b"5", b"6"]), 4);
    assert_eq!((peer.next_seq(), peer.messages_in_flight()), (7, 6));
    assert_eq!(peer.bytes_in_flight(), cost(&[1; 6]));
    assert_eq!(claim_all(&mut store, &mut host), [PartKind::Whole; 3]);
    assert_eq!(recv_all_many(&mut host), [many(1, &[b"1", b"2", b"3", b"4", b"5", b"6"], false)]);
    for (seqs, left) in [(2..5, 1), (1..2, 4), (6..7, 4), (5..6, 7)] {
        host.handled_all(seqs);
        peer.released(host.releasable()).unwrap();
        assert_eq!(peer.first_unacknowledged(), left);
        peer.assert_credit_is_conserved();
    }
    assert!(peer.is_flushed() && !host.ack_pending());
}

#[test]
fn the_end_of_a_message_in_the_store_is_the_end_of_its_pack() {
    let mut peer = peer();
    let (mut host, mut store) = meet_with_store(&mut peer, 1, 1024);
    send(&mut peer, &[b"1", b"2", b"3"]);
    send(&mut peer, &[b"4"]);
    send(&mut peer, &[b"5", b"6"]);
    put(&mut peer, &mut store);
    send(&mut peer, &[b"7", b"8"]);
    let ends = |peer: &Session| -> Vec<u64> { (1..10).map(|next| peer.stored_end(next)).collect() };
    let all = ends(&peer);
    let [first, second, third] = [all[1], all[4], all[5]];
    assert!(0 < first && first < second && second < third);
    assert_eq!(all, [0, first, first, first, second, third, third, 0, 0]);
    claim_all(&mut store, &mut host);
    recv_all(&mut host);
    host.handled_all(1..4);
    peer.released(host.releasable()).unwrap();
    assert_eq!(
        ends(&peer),
        [0, 0, 0, 0, second, third, third, 0, 0],
        "nothing is to be waited for"
    );
}

#[test]
fn a_pack_goes_through_a_small_store_in_parts() {
    let mut peer = peer();
    let (mut host, mut store) = meet_with_store(&mut peer, 1, 64);
    let messages: [&[u8]; 3] = [&[1; 20], &[2; 30], &[]];
    send(&mut peer, &messages);
    let mut kinds = Vec::new();
    while !peer.is_flushed() {
        assert!(
            peer.next_part(store.longest())
                .is_none_or(|part| part.flags.is_packed() && part.total == 62)
        );
        put(&mut peer, &mut store);
        kinds.extend(claim_all(&mut store, &mut host));
        if let Some(received) = host.recv_many() {
            assert_eq!(taken_apart(received), many(1, &messages, false));
            host.handled_all(1..4);
        }
        peer.released(host.releasable()).unwrap();
    }
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), (PartKind::First, PartKind::Last));
    assert!(
        kinds[1..kinds.len() - 1].iter().all(|kind| *kind == PartKind::Middle) && kinds.len() > 2
    );
}

#[test]
fn a_store_gives_packs_back_whole_and_marks_those_that_were_claimed() {
    let mut peer = peer();
    let (mut first, mut store) = meet_with_store(&mut peer, 1, 1024);
    store_first(&mut peer, &mut store, &[b"1", b"2"]);
    claim_all(&mut store, &mut first);
    recv_all(&mut first);
    first.handled(1);
    store.release(first.releasable());
    store_first(&mut peer, &mut store, &[b"3", b"4"]);
    send(&mut peer, &[b"5", b"6"]);
    put(&mut peer, &mut store);
    store.fence();
    peer.released(store.released()).unwrap();
    peer.reclaim(store.unreleased()).unwrap();
    let mut second = meet(&mut peer, 2);
    let sent = frames(&mut peer);
    assert_eq!(sent.len(), 3);
    sent.into_iter().for_each(|frame| second.handle(frame).unwrap());
    let expected = [many(1, &[b"1", b"2"], true), many(3, &[b"3", b"4", b"5", b"6"], false)];
    assert_eq!(recv_all_many(&mut second), expected);
}

/// Otherwise the next host would count other messages than this side does.
#[test]
fn a_pack_that_was_changed_in_the_store_is_an_error() {
    let reclaim = |change: fn(Bytes) -> Bytes| {
        let mut peer = peer();
        let (_host, mut store) = meet_with_store(&mut peer, 1, 1024);
        store_first(&mut peer, &mut store, &[b"1", b"2", b"3"]);
        store.fence();
        let parts = store
            .unreleased()
            .into_iter()
            .map(|part| StoredPart { payload: change(part.payload), ..part });
        let result = peer.reclaim(parts);
        peer.assert_credit_is_conserved();
        result
    };
    assert_eq!(reclaim(|right| right), Ok(()));
    assert_eq!(
        reclaim(|_| raw(&[(1, b"a"), (1, b"b"), (1, b"c")])),
        Ok(()),
        "messages are not known by heart"
    );
    for change in [
        |_| raw(&[(1, b"1"), (6, b"2\x01\0\0\x003")]),
        |_| raw(&[(2, b"1"), (1, b"2"), (1, b"3")]),
        |_| Bytes::from(vec![0xff; 15]),
        |_| Bytes::new(),
    ] {
        assert!(matches!(reclaim(change), Err(ProtocolError::Unexpected(_))));
    }
}

/// The other side may mark as a pack what is none. The longest is taken when nothing else is there,
/// and costs what packs may cost; one more message in it is too many.
#[test]
fn zeros_that_are_marked_as_a_pack_cost_no_more_than_a_pack_may() {
    let most = MAX_PACK_COST / cost(&[0]);
    for (messages, taken) in [(most, true), (most + 1, false)] {
        let mut peer = peer();
        let (mut host, _) = meet_with_store(&mut peer, 1, 1024);
        // The length of each, and nothing more.
        let len = 4 * messages;
        let whole =
            ReceivedPart { kind: PartKind::Whole, flags: PartFlags::PACKED, total: 0, len, end: 8 };
        let received = host.receive_part(whole, |bytes| bytes.resize(len, 0));
        assert_eq!(received.is_ok(), taken, "{received:?}");
        let unhandled = host.unhandled_bytes();
        assert_eq!(unhandled, if taken { MAX_PACK_COST } else { 0 });
    }
}

#[test]
fn a_pack_may_not_be_written_first_beyond_the_window_or_with_a_message_that_is_too_long() {
    let mut peer = peer();
    let limits = LIMITS.with_window(cost(&[1, 1, 1])).with_max_message(100);
    let _host = meet_with(&mut peer, 1, limits);
    assert!(!peer.may_store_pack(1, cost(&[1, 1])), "there is no store");
    peer.use_store();
    assert!(peer.may_store_pack(100, 5000) && !peer.may_store_pack(101, cost(&[101, 1])));
    let mut store = Store::new(1024);
    store_first(&mut peer, &mut store, &[b"1", b"2"]);
    assert!(peer.may_store_pack(1, cost(&[1])) && !peer.may_store_pack(1, cost(&[1, 0])));
}
