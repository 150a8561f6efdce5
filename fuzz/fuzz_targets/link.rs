//! Two sessions on a ring, driven as the library drives them, while the input writes what it likes
//! into the shared words. Messages may be lost and links end; panics, endless loops, and queues
//! beyond their limits are not allowed.
//!
//! `cargo +nightly fuzz run link`, on Linux. Inputs that once failed: `cargo +nightly fuzz run link
//! regressions/link/*`.
#![no_main]

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use open_channel_proto::{
    ChannelKey, Features, Incoming, Limits, MAX_BODY, MAX_PACK_COST, MESSAGE_OVERHEAD, PartFlags,
    PartKind, ReceivedPart, Session, SocketId, StoredPart, TransmitBuffer, VERSION_MAX,
    VERSION_MIN, decode,
};
use open_channel_ring::*;

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits::new(8192, 8192, 20_000).with_max_attempts(NonZeroU32::new(3));
/// Bytes of the input for a step.
const STEP: usize = 12;
/// Bytes before the payload of a first part.
const TOTAL: usize = 8;
const PART: usize = MIN_CAPACITY / 8 - TOTAL;

#[derive(Clone)]
struct Quiet;

impl Wake for Quiet {
    fn wake(&self) {}
}

/// The other side broke a rule.
struct Broken;

impl From<RingError> for Broken {
    fn from(_: RingError) -> Self {
        Broken
    }
}

impl From<open_channel_proto::ProtocolError> for Broken {
    fn from(_: open_channel_proto::ProtocolError) -> Self {
        Broken
    }
}

struct Side {
    session: Session,
    ring: RingEnds<Heap, Quiet>,
    /// Handed out and not handled: the number, the attempt, the bytes.
    held: Vec<Held>,
    /// Given back, and to be delivered again.
    again: VecDeque<Held>,
}

type Held = (u64, u32, Bytes);

/// Bytes that a transmit buffer holds, and nothing of it any more.
fn taken(out: &mut TransmitBuffer) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let used = out.slices(&mut slices);
        let before = bytes.len();
        slices[..used].iter().for_each(|slice| bytes.extend_from_slice(slice));
        out.advance(bytes.len() - before);
    }
    bytes
}

impl Side {
    fn store(&mut self) -> Result<(), Broken> {
        while let Some(part) = self.session.next_part(PART) {
            let first = part.kind == PartKind::First;
            let len = part.payload.len();
            let mut slot = match self.ring.producer.reserve(if first { TOTAL + len } else { len }) {
                Err(RingError::Full { .. } | RingError::Reserved) => break,
                slot => slot?,
            };
            if first {
                slot.append(&(part.total as u64).to_le_bytes());
            }
            slot.append(part.payload);
            let end = slot.commit(part.kind.to_bits(), part.flags.0);
            self.session.part_stored(len, end.bytes());
        }
        Ok(())
    }

    /// As `Socket::reserve`: written apart, and committed if nothing came between.
    fn send_in_place(&mut self, len: usize, commit: bool) {
        if !self.session.may_store(len) {
            return;
        }
        let Ok(mut slot) = self.ring.producer.reserve_apart(len) else { return };
        slot.append(&vec![7; len]);
        if commit {
            let end = self.ring.producer.commit(slot, PartKind::Whole.to_bits(), 0);
            self.session.message_stored(len, end.bytes());
        } else {
            // Its words may have been written by others meanwhile, but its length is our own.
            assert_eq!(slot.into_vec().len(), len);
            self.ring.producer.abandon();
        }
    }

    fn take_releases(&mut self) -> Result<(), Broken> {
        let released = self.ring.producer.released()?;
        Ok(self.session.released(released.bytes())?)
    }

    fn claim(&mut self) -> Result<(), Broken> {
        while !self.session.is_readable() {
            let Some(record) = self.ring.consumer.claim()? else { break };
            let kind = PartKind::from_bits(record.kind()).ok_or(Broken)?;
            let (mut total, mut len) = (0, record.len());
            if kind == PartKind::First {
                len = len.checked_sub(TOTAL).ok_or(Broken)?;
                total = record.word(0);
            }
            let flags = PartFlags(record.flags());
            let arrival = ReceivedPart { kind, flags, total, len, end: record.end().bytes() };
            let skip = record.len() - len;
            self.session.receive_part(arrival, |bytes| record.append_to(bytes, skip))?;
            if !kind.completes() {
                self.ring.consumer.release(Position::new(self.session.releasable()))?;
            }
        }
        Ok(())
    }

    fn recv(&mut self) -> Result<(), Broken> {
        self.claim()?;
        match self.session.recv() {
            Some(Incoming::Message { seq, payload, attempt }) => {
                self.held.push((seq, attempt, payload))
            }
            Some(Incoming::End { seq }) => self.session.handled(seq),
            None => {}
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Broken> {
        Ok(self.ring.consumer.release(Position::new(self.session.releasable()))?)
    }

    fn handle(&mut self, which: usize) -> Result<(), Broken> {
        if !self.held.is_empty() {
            let (seq, ..) = self.held.swap_remove(which % self.held.len());
            self.session.handled(seq);
        }
        self.release()
    }

    /// As a message that is dropped, or rejected.
    fn give_back(&mut self, which: usize, reject: bool) -> Result<(), Broken> {
        if !self.held.is_empty() {
            let (seq, attempt, payload) = self.held.swap_remove(which % self.held.len());
            if reject {
                self.session.reject(seq, attempt, "no");
            } else if let Some(next) = self.session.give_back(seq, attempt) {
                self.again.push_back((seq, next, payload));
            }
        }
        self.release()
    }

    fn deliver_again(&mut self) {
        if let Some((seq, attempt, payload)) = self.again.pop_front() {
            self.session.ready_again(seq, payload, attempt);
        }
    }

    /// Passes on the frames that travel beside the ring.
    fn pass_frames(&mut self, other: &mut Self) -> Result<(), Broken> {
        let mut out = TransmitBuffer::default();
        self.session.transmit(&mut out);
        let bytes = taken(&mut out);
        let mut rest = &bytes[..];
        while let Some((frame, len)) = decode(rest, MAX_BODY).expect("an honest frame") {
            other.session.handle(frame)?;
            rest = &rest[len..];
        }
        while let Some(end) = other.session.wanted() {
            let mut stored = other.ring.producer.unreleased().map_while(Result::ok);
            let found = stored.find(|stored| stored.record.end().bytes() == end);
            let found = found.map(|found| found.record.to_vec().into());
            other.session.found(found)?;
        }
        while other.session.take_undeliverable().is_some() {}
        other.release()
    }

    fn check(&self) {
        self.session.assert_credit_is_conserved();
        // One message or one pack may always come, when nothing else is there. Zeros that are
        // marked as a pack are many empty messages, each of which costs more than its bytes.
        let alone = MAX_PACK_COST.max(LIMITS.max_message + MESSAGE_OVERHEAD);
        assert!(self.session.unhandled_bytes() <= LIMITS.window.max(alone));
        assert!(
            self.session.outbox_bytes() <= LIMITS.outbox.max(LIMITS.max_message + MESSAGE_OVERHEAD)
        );
    }

    /// The link is lost; what comes next is a link of frames, to a host that knows nothing.
    fn move_on(mut self) {
        let _ = self.ring.producer.fence();
        let parts: Vec<StoredPart> = self
            .ring
            .producer
            .unreleased()
            .map_while(Result::ok)
            .filter_map(|stored| {
                let kind = PartKind::from_bits(stored.record.kind())?;
                kind.completes().then(|| StoredPart {
                    end: stored.record.end().bytes(),
                    claimed: stored.maybe_claimed,
                    payload: stored.record.to_vec().into(),
                })
            })
            .collect();
        if let Ok(released) = self.ring.producer.released() {
            let _ = self.session.released(released.bytes());
        }
        let reclaimed = self.session.reclaim(parts);
        self.session.detach();
        if reclaimed.is_err() || self.session.closed().is_some() {
            return;
        }
        self.session.assert_credit_is_conserved();
        let hello = self.session.hello(CHANNEL, Features::default());
        let version = hello.version_max;
        let (_, welcome) = Session::accept(&hello, version, hello.generation + 1, LIMITS)
            .expect("an honest hello");
        self.session.attach(&welcome).expect("an honest welcome");
        self.session.transmit(&mut TransmitBuffer::default());
        self.session.assert_credit_is_conserved();
    }
}

fuzz_target!(|input: &[u8]| {
    let layout = Layout::new(MIN_CAPACITY, MIN_CAPACITY).unwrap();
    let memory = Heap::new(layout);
    let mut peer = Session::new(SocketId(1), LIMITS);
    let hello = peer.hello(CHANNEL, Features::default());
    // By what is left of the input beside the steps.
    let version = if input.len() % STEP == 1 { VERSION_MIN } else { VERSION_MAX };
    let (mut host, welcome) = Session::accept(&hello, version, 2, LIMITS).expect("an honest hello");
    peer.attach(&welcome).expect("an honest welcome");
    peer.use_store();
    host.use_store();
    let ring = RingEnds::offering(memory.clone(), layout, Quiet, Quiet);
    let mut peer = Side { session: peer, ring, held: Vec::new(), again: VecDeque::new() };
    let ring = RingEnds::accepting(memory.clone(), layout, Quiet, Quiet);
    let mut host = Side { session: host, ring, held: Vec::new(), again: VecDeque::new() };
    let words = memory.words();
    // Twelve bytes a step: what to do, where, and with what.
    for step in input.chunks_exact(STEP) {
        let place = usize::from(u16::from_le_bytes([step[1], step[2]]));
        let value = u64::from_le_bytes(step[4..].try_into().unwrap());
        let (side, other) =
            if step[3] & 1 == 0 { (&mut peer, &mut host) } else { (&mut host, &mut peer) };
        let went = match step[0] % 16 {
            0..3 => {
                let _ = side.session.send(vec![step[4]; place % LIMITS.max_message].into());
                side.store()
            }
            3 | 4 => side.recv(),
            5 => side.handle(place),
            6 => side.take_releases().and_then(|()| side.store()),
            7 => {
                side.send_in_place(place % (MIN_CAPACITY / 2), step[4] & 1 == 0);
                Ok(())
            }
            8 if step[4] == 0 => {
                side.session.finish();
                side.store()
            }
            8 => {
                side.ring.consumer.prepare_park();
                Ok(())
            }
            9 => {
                words[place % words.len()].store(value, Relaxed);
                Ok(())
            }
            12 => side.give_back(place, step[4] & 1 == 0),
            13 => {
                side.deliver_again();
                Ok(())
            }
            14 => side.pass_frames(other),
            // Near a valid value, or in the control lines, reaches further than noise.
            _ => {
                let word = &words[place % if step[3] & 2 == 0 { 160 } else { words.len() }];
                word.store(word.load(Relaxed) ^ (1 << (value % 64)), Relaxed);
                Ok(())
            }
        };
        peer.check();
        host.check();
        if went.is_err() {
            break;
        }
    }
    // The peer takes in what is left, as far as that makes sense.
    for _ in 0..1000 {
        if peer.recv().is_err() || !peer.session.is_readable() && !peer.ring.consumer.is_ready() {
            break;
        }
    }
    peer.move_on();
});
