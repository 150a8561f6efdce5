//! Two sides of one session and a link that keeps what it carries: what a ring in shared memory means to a session.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

#[path = "simulation/store.rs"]
mod ring;

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    Arrival, Attachment, ChannelKey, Closed, Features, Frame, Hello, Incoming, Kept, Limits, MAX_BODY,
    MESSAGE_OVERHEAD, PartFlags, PartKind, ProtocolError, ResetCode, Session, SocketId, TransmitBuffer,
    decode,
};
use ring::{Fenced, Store};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 4096, 1024);
/// Less than the longest message, more than a few short ones.
const CAPACITY: usize = 512;

/// One side's end of a link with a store.
struct Side {
    session: Session,
    /// The store that this side fills.
    own: Option<Store>,
}

impl Side {
    fn new(session: Session) -> Self {
        Self { session, own: None }
    }

    fn use_store(&mut self, capacity: usize) {
        self.own = Some(Store::new(capacity));
        self.session.use_store();
    }

    /// Whatever the outbox says of it.
    fn send(&mut self, payload: &[u8]) -> u64 {
        self.session.send_over(Bytes::copy_from_slice(payload)).unwrap()
    }

    /// Puts everything that fits into the store.
    fn put(&mut self) {
        let store = self.own.as_mut().unwrap();
        while let Some(part) = self.session.next_part(store.longest()) {
            let len = part.payload.len();
            let Some(end) = store.push(&part) else { break };
            self.session.part_stored(len, end);
        }
    }

    /// Takes in what the other side has released.
    fn look(&mut self) {
        self.session.released(self.own.as_ref().unwrap().released()).unwrap();
    }

    /// Loses the link; what is in the store comes back.
    fn give_up(&mut self) -> Result<(), ProtocolError> {
        let store = self.own.as_mut().unwrap();
        store.fence();
        let kept = store.unreleased();
        self.look();
        let result = self.session.reclaim(kept);
        self.session.detach();
        self.own = None;
        result
    }
}

/// Claims everything that `from` has put there; `to` receives it.
fn claim_all(from: &mut Side, to: &mut Side) -> usize {
    let store = from.own.as_mut().unwrap();
    let mut claimed = 0;
    while let Some((arrival, payload)) = store.claim().unwrap() {
        to.session.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload)).unwrap();
        store.release(to.session.releasable());
        claimed += 1;
    }
    claimed
}

/// `to` receives and has handled everything there is, and `from` has heard of it.
fn pass_all(from: &mut Side, to: &mut Side) -> Vec<Incoming> {
    let mut all = Vec::new();
    loop {
        from.put();
        let claimed = claim_all(from, to);
        let handled = handle_all(&mut to.session);
        from.own.as_mut().unwrap().release(to.session.releasable());
        from.look();
        if claimed == 0 && handled.is_empty() {
            return all;
        }
        all.extend(handled);
    }
}

fn recv_all(side: &mut Session) -> Vec<Incoming> {
    std::iter::from_fn(|| side.recv()).collect()
}

fn handle_all(side: &mut Session) -> Vec<Incoming> {
    let all = recv_all(side);
    for incoming in &all {
        let (Incoming::Message { seq, .. } | Incoming::End { seq }) = incoming;
        side.handled(*seq);
    }
    all
}

fn handled(from: &mut Side, to: &mut Side, seq: u64) {
    to.session.handled(seq);
    from.own.as_mut().unwrap().release(to.session.releasable());
    from.look();
}

fn message(seq: u64, payload: &[u8], redelivered: bool) -> Incoming {
    Incoming::Message { seq, payload: Bytes::copy_from_slice(payload), attempt: 1 + u32::from(redelivered) }
}

fn long(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

fn peer() -> Side {
    Side::new(Session::new(SocketId(1), LIMITS))
}

fn hello(peer: &Side) -> Hello {
    peer.session.hello(CHANNEL, Features::RING)
}

/// A new host of this generation takes the peer, on frames only.
fn meet_on_frames(peer: &mut Side, generation: u64) -> Side {
    let (host, welcome) = Session::accept(&hello(peer), 1, generation, LIMITS).unwrap();
    assert_eq!(peer.session.attach(&welcome), Ok(Attachment::Fresh));
    Side::new(host)
}

fn meet(peer: &mut Side, generation: u64) -> Side {
    let mut host = meet_on_frames(peer, generation);
    host.use_store(CAPACITY);
    peer.use_store(CAPACITY);
    host
}

fn resume_on_frames(peer: &mut Side, host: &mut Side) {
    let welcome = host.session.resume(&hello(peer), 1).unwrap();
    assert_eq!(peer.session.attach(&welcome), Ok(Attachment::Resumed));
}

fn resume(peer: &mut Side, host: &mut Side) {
    resume_on_frames(peer, host);
    host.use_store(CAPACITY);
    peer.use_store(CAPACITY);
}

fn frames(from: &mut Session) -> Vec<Frame> {
    let mut out = TransmitBuffer::default();
    from.transmit(&mut out);
    from.transmit_ack(&mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        frames.push(frame.into_owned());
        rest = &rest[len..];
    }
    frames
}

fn deliver_frames(from: &mut Session, to: &mut Session) -> Vec<Frame> {
    let frames = frames(from);
    for frame in &frames {
        to.handle(frame.clone()).unwrap();
    }
    frames
}

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
    let expected = [message(1, b"short", false), message(2, b"", false), message(3, &long(600), false)];
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
    let whole = |len, end| Arrival { kind: PartKind::Whole, flags: PartFlags::NONE, total: 0, len, end };
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
    let first = Arrival { kind: PartKind::First, total: 100, ..whole(10, 8) };
    host.session.receive_part(first, |bytes| bytes.extend_from_slice(&[0; 10])).unwrap();
    assert!(!host.session.may_receive_apart(1), "another is under way");

    let mut host = meet(&mut peer(), 1);
    host.session.receive_part(Arrival { kind: PartKind::End, ..whole(0, 8) }, |_| {}).unwrap();
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
        assert_eq!((host.session.releasable(), peer.session.first_unacknowledged()), (releasable, left));
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
    let expected =
        [message(2, b"claimed", true), message(3, b"not seen", false), message(4, b"waiting", false)];
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
    assert_eq!(pass_all(&mut peer, &mut next), [message(1, b"one", true), message(2, b"two", true)]);
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
    assert_eq!(pass_all(&mut peer, &mut host), [message(1, &long(700), false), message(2, b"x", false)]);
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
    assert_eq!(deliver_frames(&mut host.session, &mut peer.session).len(), 1, "a reset travels in a frame");
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

/// The overtaken hello makes the host start over; what the peer has seen before must not be forgotten by the store
/// that comes next, or the host would refuse the peer for ever.
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
    assert_eq!(pass_all(&mut host, &mut peer), [message(1, b"one", false), message(2, b"two", false)]);
}

#[test]
fn a_record_that_was_destroyed_or_changed_is_an_error() {
    let reclaim = |change: fn(&mut Vec<Kept>)| {
        let mut peer = peer();
        let _host = meet(&mut peer, 1);
        for text in ["one", "two", "three"] {
            peer.send(text.as_bytes());
        }
        peer.put();
        let store = peer.own.as_mut().unwrap();
        store.fence();
        let mut kept = store.unreleased();
        change(&mut kept);
        let result = peer.session.reclaim(kept);
        peer.session.assert_credit_is_conserved();
        result
    };
    assert_eq!(reclaim(|_| {}), Ok(()));
    let unexpected = |result| matches!(result, Err(ProtocolError::Unexpected(_)));
    for index in 0..3 {
        let remove: [fn(&mut Vec<Kept>); 3] =
            [|kept| drop(kept.remove(0)), |kept| drop(kept.remove(1)), |kept| drop(kept.remove(2))];
        assert!(unexpected(reclaim(remove[index])), "without record {index}");
    }
    assert!(unexpected(reclaim(|kept| kept.clear())));
    assert!(unexpected(reclaim(|kept| kept.swap(0, 1))));
    assert!(unexpected(reclaim(|kept| kept[1].end += 8)));
    assert!(unexpected(reclaim(|kept| kept[1].payload = Bytes::from_static(b"longer"))));
    assert!(unexpected(reclaim(|kept| kept[2].payload = Bytes::new())));
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
        let kept = store.unreleased();
        host.session.handled(2);
        store.release(host.session.releasable());
        if looks_again {
            peer.look();
            assert_eq!(peer.session.reclaim(kept), Ok(()));
            assert!(peer.session.is_flushed());
        } else {
            assert!(peer.session.reclaim(kept).is_err(), "it cannot know that the first was not destroyed");
        }
    }
}

/// What the host's side answers to the last of these arrivals, and whether it asked for bytes.
fn hostile(limits: Limits, arrivals: &[(PartKind, u64, usize)]) -> (Result<(), ProtocolError>, bool) {
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    host.use_store();
    let (last, before) = arrivals.split_last().unwrap();
    let mut end = 0;
    let mut receive = |&(kind, total, len): &(PartKind, u64, usize)| {
        end += 8;
        let mut asked = false;
        let part = Arrival { kind, flags: PartFlags::NONE, total, len, end };
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
        assert!(matches!(result, Err(ProtocolError::MessageTooLarge { max: 1024, .. })), "{arrival:?}");
        assert!(!asked);
    }
    let limits = LIMITS.with_window(200);
    for (arrival, fits) in [((Whole, 0, 72), true), ((Whole, 0, 73), false), ((First, 73, 5), false)] {
        let (result, asked) = hostile(limits, &[(Whole, 0, 0), arrival]);
        let expected = if fits { Ok(()) } else { Err(ProtocolError::WindowExceeded { window: 200 }) };
        assert_eq!((result, asked), (expected, fits), "{arrival:?}");
    }
}
