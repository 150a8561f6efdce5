//! Bytes and frames on their way from one side to the other.

use crate::endpoint::{CHANNEL, Slot};
use crate::ledger::Content;
use bytes::Buf;
use open_channel_proto::{
    Closed, Features, Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, MAX_BODY, TransmitBuffer, decode,
};
use std::num::NonZeroU32;

use crate::world::{Side, World, end_of, note};

/// Bytes in and out.
impl World {
    pub fn write(&mut self, side: Side, most: usize) {
        self.look(side);
        let parts = self.parts(most);
        self.put(side, parts);
        let end = self.end(side);
        let Some(link) = end.link else { return };
        let mut most = most;
        loop {
            end_of(&mut self.sockets, &mut self.hosts, side).transmit();
            let end = end_of(&mut self.sockets, &mut self.hosts, side);
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let used = end.out.slices(&mut slices);
            let pipe = match side {
                Side::Peer(_) => &mut self.links[link].up,
                Side::Host(..) => &mut self.links[link].down,
            };
            let mut written = 0;
            for slice in &slices[..used] {
                let take = slice.len().min(most - written);
                pipe.write(&slice[..take]);
                written += take;
            }
            end.out.advance(written);
            most -= written;
            if written == 0 {
                return;
            }
        }
    }

    pub fn acknowledge(&mut self, side: Side) {
        let end = self.end(side);
        if end.link.is_some() && end.out.len() < TransmitBuffer::HIGH_WATER {
            end.session.transmit_ack(&mut end.out);
        }
    }

    /// How many parts correspond to so many bytes: a few, or all.
    fn parts(&mut self, bytes: usize) -> usize {
        if bytes == usize::MAX { usize::MAX } else { self.random.below(4) }
    }

    pub fn read(&mut self, side: Side, most: usize) {
        let parts = self.parts(most);
        self.claim(side, parts);
        let Some(link) = self.end(side).link else { return };
        let now = self.now;
        let pipe = match side {
            Side::Peer(_) => &mut self.links[link].down,
            Side::Host(..) => &mut self.links[link].up,
        };
        let bytes = pipe.read(now, most);
        let at_end = pipe.is_at_end(now);
        self.end(side).buf.extend_from_slice(&bytes);
        loop {
            let end = self.end(side);
            if end.link != Some(link) {
                return;
            }
            let most = if end.session.is_attached() { MAX_BODY } else { HANDSHAKE_MAX_BODY };
            let Some((frame, len)) = decode(&end.buf, most).expect("frames from an honest side")
            else {
                break;
            };
            let frame = frame.into_owned();
            end.buf.advance(len);
            self.take(side, link, frame);
        }
        assert!(
            self.end(side).buf.len() < MAX_BODY + HEADER_LEN,
            "half a frame is longer than a frame"
        );
        if at_end {
            self.lose(side);
        }
    }

    fn take(&mut self, side: Side, link: usize, frame: Frame) {
        match (side, frame) {
            (Side::Peer(socket), Frame::Welcome(welcome)) => self.attach(socket, link, &welcome),
            (Side::Peer(socket), Frame::Reject(reject)) => {
                note!(self, "socket {socket} is rejected: {reject:?}");
                self.lose(side);
            }
            (_, frame) => self.handle(side, link, frame),
        }
    }

    fn handle(&mut self, side: Side, link: usize, frame: Frame) {
        note!(self, "{side:?} takes {}", brief(&frame));
        if let Frame::Data { flags, .. } = &frame {
            self.tally.in_parts += u64::from(flags.first && !flags.last);
            self.tally.packs_in_frames += u64::from(flags.packed);
            assert_eq!(
                self.end(side).version < 2,
                flags.attempt == 0,
                "only version 2 has attempts"
            );
        }
        if matches!(frame, Frame::Skip { .. }) {
            assert_eq!(self.end(side).version, 2, "version 1 has no gaps");
            self.tally.gaps_in_frames += 1;
        }
        if self.end(side).has_store {
            let in_the_store = matches!(
                frame,
                Frame::Data { .. } | Frame::Fin { .. } | Frame::Skip { .. } | Frame::AckRequest
            );
            assert!(!in_the_store, "{frame:?} beside a store");
            self.tally.acks_beside_a_store += u64::from(matches!(frame, Frame::Ack { .. }));
        }
        let reset = matches!(frame, Frame::Reset { .. });
        if reset || matches!(frame, Frame::GoAway | Frame::Recall { .. }) {
            // It was said after everything that is in the store.
            self.drain(side);
        }
        let open = !self.end(side).is_closed();
        let copy = frame.clone();
        if let Err(error) = self.end(side).session.handle(frame) {
            panic!("{side:?} takes its honest other side for a liar: {error}");
        }
        if open {
            self.heard(side, link, copy);
        }
        let socket = self.links[link].socket;
        if reset && open && self.sockets[socket].end.session.closed() != Some(&Closed::Finished) {
            self.sockets[socket].end.given_up = true;
        }
        self.arrived(side, link);
        self.acknowledged(side);
        self.check(side);
    }

    /// The news in a frame of messages that were given back.
    fn heard(&mut self, side: Side, link: usize, frame: Frame) {
        while let Some(end) = self.end(side).session.wanted() {
            let stored = self.links[link].own_store(side).at(end);
            assert!(stored.is_some(), "what is wanted back is not in the store");
            self.end(side).session.found(stored).expect("an honest store");
            self.tally.given_up_out_of_a_store += 1;
        }
        match frame {
            Frame::Returned { seq, fate, attempt, reason } => {
                assert_eq!(self.end(side).version, 2, "version 1 is given something back");
                let end = end_of(&mut self.sockets, &mut self.hosts, side);
                end.hears_of(seq, fate, attempt, &reason, &mut self.tally);
            }
            Frame::Recall { seq } => self.wants_back(side, seq),
            Frame::Withdrawn { seq } => {
                self.tally.withdrawn_answers += 1;
                let end = self.end(side);
                if let Some(slot) =
                    end.slots.iter_mut().find(|slot| slot.seq == seq && slot.given_up)
                {
                    slot.handled = true;
                }
                end.drop_whole_units();
                self.release(side);
            }
            _ => {}
        }
    }

    /// All that the session counts as received goes into the model, with the content that the
    /// sender's ledger has.
    pub fn arrived(&mut self, side: Side, link: usize) {
        let other = self.other(side, link);
        let host = self.links[link].host;
        let generation = self.hosts[host].generation;
        let next = self.end(side).session.hello(CHANNEL, Features::default()).recv_next;
        self.arrived_whole(side, other, next, generation);
        for seq in self.end(side).received_next..next {
            let sender = self.end(other);
            let entry = sender.sent.entry(seq).expect("nothing arrives that was never accepted");
            assert!(entry.was_ever_sent(), "{seq} arrives and was never sent");
            let mut attempts =
                if matches!(side, Side::Peer(_)) { 1..=1 } else { entry.attempts(generation) };
            let max = sender.limits.max_attempts.map_or(u32::MAX, NonZeroU32::get);
            let exceeds =
                *attempts.start() > max && entry.travels_as(generation) != Content::Nothing;
            if self.end(side).version < 2 {
                // A mark is all that it has to say.
                attempts = (*attempts.start()).min(2)..=(*attempts.end()).min(2);
                self.tally.more_attempts_than_allowed_by_version_1 += u64::from(exceeds);
            } else {
                assert!(
                    !exceeds
                        || self
                            .end(other)
                            .sent
                            .entry(seq)
                            .is_some_and(|entry| entry.content == Content::End),
                    "{seq} comes once too often"
                );
            }
            let slot = Slot::new(seq, &self.end(other).sent, attempts, host, generation);
            let end = self.end(side);
            end.slots.push_back(slot);
            end.received_next = seq + 1;
        }
        self.end(side).drop_whole_units();
    }

    /// A pack arrives as a whole or not at all.
    fn arrived_whole(&mut self, side: Side, other: Side, next: u64, generation: u64) {
        let from = self.end(side).received_next;
        if from < next {
            let window = self.end(side).limits.window;
            let sent = &self.end(other).sent;
            let (first, last) =
                (sent.unit_for(from, generation), sent.unit_for(next - 1, generation));
            assert_eq!((first.start, last.end), (from, next), "a part of a pack arrives");
            let beyond = next - from > 1 && sent.cost(from, next) > window;
            self.tally.packs_beyond_the_window += u64::from(beyond);
        }
    }

    /// Acknowledged means handled.
    pub fn acknowledged(&mut self, side: Side) {
        let end = self.end(side);
        let through = end.session.first_unacknowledged();
        for seq in end.acknowledged..through {
            let handled = end.sent.entry(seq).is_none_or(|entry| entry.handled);
            assert!(handled, "{side:?}: {seq} is acknowledged and was not handled");
        }
        end.acknowledged = through;
    }
}

pub fn all_bytes(out: &TransmitBuffer) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let used = out.slices(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn brief(frame: &Frame) -> String {
    match frame {
        Frame::Data { seq, flags, payload, .. } => {
            format!("data {seq}, {} bytes, {flags:?}", payload.len())
        }
        other => format!("{other:?}"),
    }
}
