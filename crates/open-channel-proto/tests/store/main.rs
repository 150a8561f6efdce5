//! Two sides of one session and a link with a store: what a ring in shared memory
//! means to a session.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

mod pass;
mod reclaim;
mod refuse;
#[path = "../simulation/store.rs"]
mod ring;
mod window;

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, Features, Frame, Hello, Incoming, Limits, MAX_BODY, ProtocolError,
    Session, SocketId, TransmitBuffer, decode,
};
use ring::Store;

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
        let parts = store.unreleased();
        self.look();
        let result = self.session.reclaim(parts);
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
    Incoming::Message {
        seq,
        payload: Bytes::copy_from_slice(payload),
        attempt: 1 + u32::from(redelivered),
    }
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
