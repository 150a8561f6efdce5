use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::{
    Features, Frame, Limits, MAX_BODY, ResetCode, Session, SocketId, VERSION_MAX, decode,
};

use tokio::runtime::Handle;

use super::Transport;
use super::error::LinkError;
use super::ring::Ring;
use crate::link::{local, ring};

const RING_BYTES: usize = 1 << 16;

/// Where the other side publishes up to which position it has released the up ring.
const UP_RELEASED: u64 = 256;

#[tokio::test]
async fn the_reset_for_a_ring_that_a_write_finds_broken_still_goes_out() {
    let mut session = connected();
    let (near, far) = local::pair().expect("a pair");
    let (rings, offer, _) = ring::offer(RING_BYTES, ring::Memory::new(None)).expect("a ring");
    let memory = offer.descriptors()[0].try_clone_to_owned().expect("a descriptor");
    let mut transport = Transport::new(Arc::new(near), Some(Ring::new(rings)), Handle::current());
    for _ in 0..4 {
        session.send(Bytes::from(vec![7; RING_BYTES / 2])).expect("room in the outbox");
    }
    transport.flush(&mut session).expect("a full ring is no error");
    assert!(session.next_part(1).is_some(), "the ring is full");

    release_what_was_never_written(&memory);
    let error = transport.flush(&mut session).expect_err("the ring is broken");
    assert!(matches!(error, LinkError::Protocol(_)), "{error}");

    transport.drop_ring();
    session.reset(ResetCode::Protocol, "for the test");
    transport.flush(&mut session).expect("the stream is whole");
    let mut buffer = [0; 1 << 10];
    let read = far.read(&mut buffer).expect("a frame");
    let (frame, _) = decode(&buffer[..read], MAX_BODY).expect("a frame").expect("all of it");
    assert!(matches!(frame, Frame::Reset { code: ResetCode::Protocol, .. }), "{frame:?}");
}

fn connected() -> Session {
    let limits = Limits::new(1 << 20, 1 << 20, 1 << 20);
    let mut session = Session::new(SocketId(7), limits);
    let hello = session.hello([0; 16], Features::default());
    let (_, welcome) = Session::accept(&hello, VERSION_MAX, 1, limits).expect("a fine hello");
    session.attach(&welcome).expect("a fine welcome");
    session.use_store();
    session
}

fn release_what_was_never_written(memory: &OwnedFd) {
    let written = rustix::io::pwrite(memory, &(!7_u64).to_ne_bytes(), UP_RELEASED);
    assert_eq!(written, Ok(8));
}
