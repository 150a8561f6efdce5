//! Two sessions on a ring, driven as the library drives them, while the input writes what it likes into the shared
//! words. Messages may be lost and links end; panics, endless loops, and queues beyond their limits are not allowed.
//!
//! `cargo +nightly fuzz run link`, on Linux. Inputs that once failed: `cargo +nightly fuzz run link regressions/link/*`.
#![no_main]

use std::sync::atomic::Ordering::Relaxed;

use libfuzzer_sys::fuzz_target;
use open_channel_proto::{
    Arrival, ChannelKey, Features, Incoming, Kept, Limits, MAX_PACK_COST, MESSAGE_OVERHEAD, PartFlags, PartKind,
    Session, SocketId, TransmitBuffer,
};
use open_channel_ring::*;

const CHANNEL: ChannelKey = [0; 16];
const LIMITS: Limits = Limits { outbox: 8192, window: 8192, max_message: 20_000, max_attempts: None };
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
    ring: RingLink<Heap, Quiet>,
    /// Handed out and not handled.
    held: Vec<u64>,
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
            let end =
                slot.commit(part.kind.to_bits(), part.flags.0);
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
            let arrival = Arrival { kind, flags, total, len, end: record.end().bytes() };
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
        if let Some(Incoming::Message { seq, .. } | Incoming::End { seq }) = self.session.recv() {
            self.held.push(seq);
        }
        Ok(())
    }

    fn handle(&mut self, which: usize) -> Result<(), Broken> {
        if !self.held.is_empty() {
            let seq = self.held.swap_remove(which % self.held.len());
            self.session.handled(seq);
            self.ring.consumer.release(Position::new(self.session.releasable()))?;
        }
        Ok(())
    }

    fn check(&self) {
        self.session.assert_credit_is_conserved();
        // One message or one pack may always come, when nothing else is there. Zeros that are marked as a pack are many
        // empty messages, each of which costs more than its bytes.
        let alone = MAX_PACK_COST.max(LIMITS.max_message + MESSAGE_OVERHEAD);
        assert!(self.session.unhandled_bytes() <= LIMITS.window.max(alone));
        assert!(self.session.outbox_bytes() <= LIMITS.outbox.max(LIMITS.max_message + MESSAGE_OVERHEAD));
    }

    /// The link is lost; what comes next is a link of frames, to a host that knows nothing.
    fn move_on(mut self) {
        let _ = self.ring.producer.fence();
        let kept: Vec<Kept> = self
            .ring
            .producer
            .unreleased()
            .map_while(Result::ok)
            .filter_map(|stored| {
                let kind = PartKind::from_bits(stored.record.kind())?;
                kind.completes().then(|| Kept {
                    end: stored.record.end().bytes(),
                    claimed: stored.maybe_claimed,
                    payload: stored.record.to_vec().into(),
                })
            })
            .collect();
        if let Ok(released) = self.ring.producer.released() {
            let _ = self.session.released(released.bytes());
        }
        let reclaimed = self.session.reclaim(kept);
        self.session.detach();
        if reclaimed.is_err() || self.session.closed().is_some() {
            return;
        }
        self.session.assert_credit_is_conserved();
        let hello = self.session.hello(CHANNEL, Features::default());
        let (_, welcome) = Session::accept(&hello, 1, hello.generation + 1, LIMITS).expect("an honest hello");
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
    let (mut host, welcome) = Session::accept(&hello, 1, 2, LIMITS).expect("an honest hello");
    peer.attach(&welcome).expect("an honest welcome");
    peer.use_store();
    host.use_store();
    let ring = RingLink::offering(memory.clone(), layout, Quiet, Quiet);
    let mut peer = Side { session: peer, ring, held: Vec::new() };
    let ring = RingLink::accepting(memory.clone(), layout, Quiet, Quiet);
    let mut host = Side { session: host, ring, held: Vec::new() };
    let words = memory.words();
    // Twelve bytes a step: what to do, where, and with what.
    for step in input.chunks_exact(12) {
        let place = usize::from(u16::from_le_bytes([step[1], step[2]]));
        let value = u64::from_le_bytes(step[4..].try_into().unwrap());
        let side = if step[3] & 1 == 0 { &mut peer } else { &mut host };
        let went = match step[0] % 12 {
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
