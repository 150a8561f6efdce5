//! Two sides of one session and a link between them: the cases that need no luck to happen, one by
//! one.
#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, Closed, DataFlags, Features, Frame, Hello, Incoming, Limits, MAX_BODY,
    MAX_CHUNK, ProtocolError, Refused, ResetCode, Session, SocketId, TransmitBuffer, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(4096, 4096, 1024);

fn peer() -> Session {
    Session::new(SocketId(1), LIMITS)
}

fn hello(peer: &Session) -> Hello {
    peer.hello(CHANNEL, Features::default())
}

/// A new host of this generation takes the peer.
fn meet(peer: &mut Session, generation: u64) -> Session {
    peer.detach();
    let (host, welcome) = Session::accept(&hello(peer), 1, generation, LIMITS).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Fresh));
    host
}

fn resume(peer: &mut Session, host: &mut Session) {
    peer.detach();
    host.detach();
    let welcome = host.resume(&hello(peer), 1).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Resumed));
}

fn frames(from: &mut Session) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let mut out = TransmitBuffer::default();
        from.transmit(&mut out);
        from.transmit_ack(&mut out);
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        let bytes: Vec<u8> =
            slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
        if bytes.is_empty() {
            return frames;
        }
        let mut rest = &bytes[..];
        while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
            frames.push(frame.into_owned());
            rest = &rest[len..];
        }
    }
}

fn deliver(from: &mut Session, to: &mut Session) {
    for frame in frames(from) {
        to.handle(frame).unwrap();
    }
}

/// Until neither side has anything to say.
fn settle(a: &mut Session, b: &mut Session) {
    for _ in 0..8 {
        deliver(a, b);
        deliver(b, a);
    }
}

fn handle_all(side: &mut Session) -> Vec<Incoming> {
    let mut all = Vec::new();
    while let Some(incoming) = side.recv() {
        match incoming {
            Incoming::Message { seq, .. } | Incoming::End { seq } => side.handled(seq),
        }
        all.push(incoming);
    }
    all
}

fn message(seq: u64, payload: &'static [u8], redelivered: bool) -> Incoming {
    Incoming::Message {
        seq,
        payload: Bytes::from_static(payload),
        attempt: 1 + u32::from(redelivered),
    }
}

#[test]
fn a_new_host_gets_what_was_not_acknowledged_and_marked() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.send(Bytes::from_static(b"one")).unwrap();
    settle(&mut peer, &mut first);
    assert_eq!(handle_all(&mut first), [message(1, b"one", false)]);
    settle(&mut peer, &mut first);
    peer.send(Bytes::from_static(b"two")).unwrap();
    settle(&mut peer, &mut first);
    assert_eq!(handle_all(&mut first), [message(2, b"two", false)]);
    let mut second = meet(&mut peer, 2);
    peer.send(Bytes::from_static(b"three")).unwrap();
    settle(&mut peer, &mut second);
    assert_eq!(handle_all(&mut second), [message(2, b"two", true), message(3, b"three", false)]);
}

#[test]
fn the_same_host_gets_nothing_twice() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    for payload in [b"one", b"two"] {
        peer.send(Bytes::from_static(payload)).unwrap();
        deliver(&mut peer, &mut host);
        resume(&mut peer, &mut host);
    }
    settle(&mut peer, &mut host);
    assert_eq!(handle_all(&mut host), [message(1, b"one", false), message(2, b"two", false)]);
}

#[test]
fn what_is_handled_during_a_handshake_is_acknowledged_after_it() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    host.send(Bytes::from_static(b"reply")).unwrap();
    deliver(&mut host, &mut peer);
    peer.detach();
    let hello = hello(&peer);
    handle_all(&mut peer);
    let welcome = host.resume(&hello, 1).unwrap();
    peer.attach(&welcome).unwrap();
    settle(&mut peer, &mut host);
    assert!(host.is_flushed());
}

#[test]
fn carried_bytes_handled_during_a_handshake_give_their_window_back() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    first.send(Bytes::from_static(b"reply")).unwrap();
    deliver(&mut first, &mut peer);
    peer.detach();
    let hello = hello(&peer);
    handle_all(&mut peer);
    let (mut second, welcome) = Session::accept(&hello, 1, 2, LIMITS).unwrap();
    assert!(second.bytes_in_flight() > 0);
    peer.attach(&welcome).unwrap();
    settle(&mut peer, &mut second);
    assert_eq!(second.bytes_in_flight(), 0);
}

#[test]
fn a_welcome_that_got_lost_is_given_again() {
    let mut peer = peer();
    peer.send(Bytes::from_static(b"one")).unwrap();
    let (mut host, _lost) = Session::accept(&hello(&peer), 1, 1, LIMITS).unwrap();
    host.send(Bytes::from_static(b"early reply")).unwrap();
    let lost = frames(&mut host);
    assert_eq!(lost.len(), 1);
    host.detach();
    let welcome = host.resume(&hello(&peer), 1).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Fresh));
    settle(&mut peer, &mut host);
    assert_eq!(handle_all(&mut host), [message(1, b"one", false)]);
    assert_eq!(handle_all(&mut peer), [message(1, b"early reply", false)]);
}

#[test]
fn a_hello_that_was_overtaken_changes_nothing() {
    let mut peer = peer();
    let overtaken = hello(&peer);
    let mut host = meet(&mut peer, 1);
    peer.send(Bytes::from_static(b"one")).unwrap();
    deliver(&mut peer, &mut host);
    assert!(matches!(host.resume(&overtaken, 1), Err(ProtocolError::Handshake(_))));
    settle(&mut peer, &mut host);
    assert_eq!(handle_all(&mut host), [message(1, b"one", false)]);
}

#[test]
fn a_fenced_host_does_not_resume_a_peer_that_has_moved_on() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    let _second = meet(&mut peer, 2);
    peer.detach();
    assert!(matches!(first.resume(&hello(&peer), 1), Err(ProtocolError::Handshake(_))));
}

#[test]
fn the_last_acknowledgement_may_come_with_a_handshake() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    peer.finish();
    host.finish();
    settle(&mut peer, &mut host);
    handle_all(&mut peer);
    handle_all(&mut host);
    deliver(&mut peer, &mut host);
    let _lost = frames(&mut host);
    assert_eq!(host.closed(), Some(&Closed::Finished));
    assert_eq!(peer.closed(), None);
    resume(&mut peer, &mut host);
    assert_eq!(peer.closed(), Some(&Closed::Finished));
}

#[test]
fn a_reset_that_got_lost_is_said_again() {
    let mut peer = peer();
    let mut host = meet(&mut peer, 1);
    host.reset(ResetCode::ListenerFailed, "it panicked");
    let _lost = frames(&mut host);
    resume(&mut peer, &mut host);
    deliver(&mut host, &mut peer);
    let expected =
        Closed::Remotely { code: ResetCode::ListenerFailed, reason: "it panicked".into() };
    assert_eq!(peer.closed(), Some(&expected));
}

#[test]
fn a_host_direction_that_has_ended_stays_ended_with_the_next_host() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    first.finish();
    deliver(&mut first, &mut peer);
    handle_all(&mut peer);
    let mut second = meet(&mut peer, 2);
    assert!(second.is_finished());
    assert!(matches!(second.send(Bytes::new()), Err(Refused::Closed(_))));
    peer.send(Bytes::from_static(b"still sending")).unwrap();
    peer.finish();
    settle(&mut peer, &mut second);
    handle_all(&mut second);
    settle(&mut peer, &mut second);
    assert_eq!(peer.closed(), Some(&Closed::Finished));
    assert_eq!(second.closed(), Some(&Closed::Finished));
}

#[test]
fn every_host_is_told_that_the_peer_has_ended() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.finish();
    settle(&mut peer, &mut first);
    handle_all(&mut first);
    settle(&mut peer, &mut first);
    assert!(peer.is_flushed());
    let mut second = meet(&mut peer, 2);
    settle(&mut peer, &mut second);
    assert_eq!(handle_all(&mut second), [Incoming::End { seq: 1 }]);
    second.finish();
    settle(&mut peer, &mut second);
    handle_all(&mut peer);
    settle(&mut peer, &mut second);
    assert_eq!(peer.closed(), Some(&Closed::Finished));
    assert_eq!(second.closed(), Some(&Closed::Finished));
}

#[test]
fn a_session_that_finished_during_a_handshake_does_not_leave_a_new_host_waiting() {
    let mut peer = peer();
    let mut first = meet(&mut peer, 1);
    peer.finish();
    first.finish();
    settle(&mut peer, &mut first);
    handle_all(&mut first);
    settle(&mut peer, &mut first);
    peer.detach();
    let hello = hello(&peer);
    handle_all(&mut peer);
    assert_eq!(peer.closed(), Some(&Closed::Finished));
    let (mut second, welcome) = Session::accept(&hello, 1, 2, LIMITS).unwrap();
    peer.attach(&welcome).unwrap();
    deliver(&mut peer, &mut second);
    assert!(matches!(second.closed(), Some(Closed::Remotely { code: ResetCode::Closed, .. })));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused() {
    let mut peer = peer();
    let _host = meet(&mut peer, 1);
    peer.send(Bytes::from_static(b"queued")).unwrap();
    assert_eq!(
        peer.handle(Frame::<Bytes>::Ack { through: 1 }),
        Err(ProtocolError::AckBeyondSent { through: 1 })
    );
    let mut welcome = Session::accept(&hello(&peer), 1, 1, LIMITS).unwrap().1;
    (welcome.resumed, welcome.recv_next, welcome.handled) = (true, 2, 1);
    assert!(matches!(peer.attach(&welcome), Err(ProtocolError::Handshake(_))));
    assert!(!peer.is_flushed());
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    let mut peer = peer();
    let mut welcome = Session::accept(&hello(&peer), 1, 1, LIMITS).unwrap().1;
    welcome.version = 9;
    assert!(matches!(peer.attach(&welcome), Err(ProtocolError::Handshake(_))));
}

#[test]
fn without_a_limit_of_length_an_announced_length_still_takes_no_memory() {
    let limits = LIMITS.with_max_message(usize::MAX);
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    let flags =
        DataFlags { first: true, last: false, redelivered: false, packed: false, attempt: 0 };
    let payload = Bytes::from(vec![0; MAX_CHUNK]);
    let frame = Frame::Data { seq: 1, flags, total: u64::MAX, payload: payload.clone() };
    host.handle(frame).unwrap();
    let (mut host, _) = Session::accept(&hello(&peer()), 1, 1, limits).unwrap();
    let whole =
        DataFlags { first: true, last: true, redelivered: false, packed: false, attempt: 0 };
    host.handle(Frame::Data { seq: 1, flags: whole, total: 0, payload: Bytes::new() }).unwrap();
    let frame = Frame::Data { seq: 2, flags, total: u64::MAX, payload };
    assert_eq!(host.handle(frame), Err(ProtocolError::WindowExceeded { window: LIMITS.window }));
}
