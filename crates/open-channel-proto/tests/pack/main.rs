//! Several small messages in one piece, between two sides of one session: what is whole stays
//! whole.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used)]

mod receive;
#[path = "../simulation/store.rs"]
mod ring;
mod session;
mod store;

use bytes::Bytes;
use open_channel_proto::{
    Attachment, ChannelKey, DataFlags, Features, Frame, Hello, Incoming, Limits, MAX_BODY,
    MESSAGE_OVERHEAD, Pack, Packer, ReceivedPack, Session, SocketId, TransmitBuffer, decode,
};

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(1 << 20, 1 << 20, 1024);
const WHOLE: DataFlags =
    DataFlags { first: true, last: true, redelivered: false, packed: true, attempt: 0 };

fn peer() -> Session {
    Session::new(SocketId(1), LIMITS)
}

fn hello(peer: &Session) -> Hello {
    peer.hello(CHANNEL, Features::default())
}

fn meet_with(peer: &mut Session, generation: u64, limits: Limits) -> Session {
    peer.detach();
    let (host, welcome) = Session::accept(&hello(peer), 1, generation, limits).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Fresh));
    host
}

fn meet(peer: &mut Session, generation: u64) -> Session {
    meet_with(peer, generation, LIMITS)
}

fn resume(peer: &mut Session, host: &mut Session) {
    peer.detach();
    host.detach();
    let welcome = host.resume(&hello(peer), 1).unwrap();
    assert_eq!(peer.attach(&welcome), Ok(Attachment::Resumed));
}

fn frames(from: &mut Session) -> Vec<Frame> {
    let mut out = TransmitBuffer::default();
    from.transmit(&mut out);
    from.transmit_ack(&mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let Some((frame, len)) = decode(rest, MAX_BODY).unwrap() {
        frames.push(frame.into_owned());
        rest = &rest[len..];
    }
    frames
}

fn deliver(from: &mut Session, to: &mut Session) {
    for frame in frames(from) {
        to.handle(frame).unwrap();
    }
}

fn pack(messages: &[&[u8]]) -> Pack {
    let mut packer = Packer::default();
    messages.iter().for_each(|message| packer.push(message));
    let pack = packer.pop().unwrap();
    assert!(packer.is_empty(), "it makes more than one pack");
    pack
}

fn send(from: &mut Session, messages: &[&[u8]]) -> u64 {
    from.send_pack(pack(messages)).unwrap()
}

fn recv_all(side: &mut Session) -> Vec<Incoming> {
    std::iter::from_fn(|| side.recv()).collect()
}

fn recv_all_many(side: &mut Session) -> Vec<(u64, Vec<Bytes>, bool)> {
    std::iter::from_fn(|| side.recv_many()).map(taken_apart).collect()
}

fn taken_apart(received: ReceivedPack) -> (u64, Vec<Bytes>, bool) {
    let messages = received.pack.iter().map(Bytes::copy_from_slice).collect();
    (received.first, messages, received.attempt > 1)
}

fn many(first: u64, messages: &[&[u8]], redelivered: bool) -> (u64, Vec<Bytes>, bool) {
    (first, messages.iter().map(|message| Bytes::copy_from_slice(message)).collect(), redelivered)
}

fn message(seq: u64, payload: &'static [u8], redelivered: bool) -> Incoming {
    Incoming::Message {
        seq,
        payload: Bytes::from_static(payload),
        attempt: 1 + u32::from(redelivered),
    }
}

fn cost(lengths: &[usize]) -> usize {
    lengths.iter().map(|length| length + MESSAGE_OVERHEAD).sum()
}

/// Messages as they travel in a pack, whatever their lengths are said to be.
fn raw(messages: &[(u32, &[u8])]) -> Bytes {
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|(length, bytes)| [&length.to_le_bytes()[..], bytes].concat())
        .collect();
    bytes.into()
}
