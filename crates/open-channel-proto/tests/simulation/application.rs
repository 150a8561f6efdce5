//! Applications: they send messages one by one and in packs, take them one by one and many
//! at a time, and handle them in any order.

use std::num::NonZeroU32;
use std::ops::Range;

use bytes::Bytes;
use open_channel_proto::{
    DataFlags, Frame, Incoming, MAX_CHUNK, MAX_PACK_COST, Pack, ReceivedPack, Refused, ResetCode,
    Session,
};

use crate::endpoint::{Endpoint, Slot};
use crate::ledger::Content;
use crate::world::{Side, World, end_of, note};

/// Sending.
impl World {
    pub fn send(&mut self, side: Side) {
        let Some(pack) = self.next_to_send(side) else { return };
        if self.random.chance(30) && self.store_first(side, &pack) {
            let next = self.end(side).sent.next();
            note!(self, "{side:?} stores and sends {} before {next}", pack.count());
        } else {
            self.offer(side, pack);
        }
    }

    fn next_to_send(&mut self, side: Side) -> Option<Pack> {
        if let Some(waiting) = self.end(side).waiting.take() {
            return Some(waiting);
        }
        if self.end(side).packer.is_empty() {
            self.compose(side)?;
        }
        let packer = &mut self.end(side).packer;
        let next = packer.peek()?;
        let peeked = (Bytes::copy_from_slice(next.bytes), next.count, next.longest, next.cost);
        let pack = packer.pop()?;
        assert_eq!(peeked, (pack.bytes().clone(), pack.count(), pack.longest(), pack.cost()));
        assert_eq!(
            pack.cost(),
            pack.iter().map(|message| message.len() + 64).sum::<usize>(),
            "a pack's cost"
        );
        Some(pack)
    }

    /// The next message of the plan, and perhaps some more that happen to be small.
    fn compose(&mut self, side: Side) -> Option<()> {
        let planned = self.end(side).plan.pop_front()?;
        let packs = self.end(side).habits.packs;
        let more = if !self.random.chance(packs) {
            0
        } else if self.random.chance(10) {
            self.random.below(40)
        } else {
            self.random.below(6)
        };
        let most = if self.big { 12_000 } else { self.max_message.min(40) };
        let at = self.random.below(more + 1);
        for place in 0..=more {
            let length = if place == at { planned } else { self.random.below(most + 1) };
            self.written += 1;
            let message = payload(self.written, length);
            self.end(side).packer.push(&message);
        }
        Some(())
    }

    fn offer(&mut self, side: Side, pack: Pack) {
        let max = self.max_message;
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let had_room = end.session.has_room_for(pack.cost());
        match send_either_way(&mut end.session, pack.clone(), self.random.chance(50)) {
            Ok(first) => {
                assert!(pack.longest() <= max, "a message that is too long was accepted");
                assert!(had_room, "a message was accepted without room");
                assert_eq!(first, end.sent.next(), "the number of a message");
                end.sent.push_pack(&pack);
                note!(self, "{side:?} sends {} from {first}", pack.count());
            }
            Err(Refused::Full(back)) => {
                assert!(!had_room && end.session.outbox_bytes() > 0, "full without reason");
                assert_eq!(back, pack);
                self.tally.refused += 1;
                self.tally.packs_refused += u64::from(pack.count() > 1);
                end.waiting = Some(back);
            }
            Err(Refused::TooLarge(back)) => {
                assert!(back.longest() > max, "a message of {} bytes is too large", back.longest());
                assert_eq!(back, pack);
                self.tally.packs_too_large += u64::from(pack.count() > 1);
            }
            Err(Refused::Closed(_)) => {
                let over = end.is_closed() || end.session.is_finished();
                assert!(over, "a message was refused by an open session");
                end.forget_plan();
            }
        }
    }

    pub fn finish(&mut self, side: Side) {
        let end = self.end(side);
        if end.session.is_finished() || end.is_closed() {
            return;
        }
        end.forget_plan();
        end.session.finish();
        end.sent.push_end();
        note!(self, "{side:?} finishes");
    }

    pub fn reset(&mut self, side: Side) {
        if self.end(side).is_closed() {
            return;
        }
        note!(self, "{side:?} resets");
        self.end(side).session.reset(ResetCode::Destroyed, "enough");
        if let Side::Peer(socket) = side {
            self.sockets[socket].end.given_up = true;
        }
    }

    /// Says once more what was said on this link, as a sender may: it is to be ignored.
    pub fn repeat(&mut self, side: Side) {
        let random = &mut self.random;
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let said = end.session.messages_in_flight();
        if !end.session.is_attached()
            || end.has_store
            || end.is_closed()
            || said == 0
            || end.out.len() > 1000
        {
            return;
        }
        let unit = end.sent.unit(end.session.first_unacknowledged() + random.below(said) as u64);
        let (seq, packed) = (unit.start, unit.end - unit.start > 1);
        let redelivered = random.chance(50);
        let attempt = if end.version < 2 {
            0
        } else {
            1 + u8::from(redelivered) * (1 + random.below(254) as u8)
        };
        let flags = DataFlags { first: true, last: true, redelivered, packed, attempt };
        let frame = match end.sent.travels(unit) {
            Content::Message(payload) if payload.len() <= MAX_CHUNK => {
                Frame::Data { seq, flags, total: payload.len() as u64, payload }
            }
            Content::End => Frame::Fin { seq },
            Content::Nothing => Frame::Skip { seq },
            Content::Message(_) => return,
        };
        frame.encode(&mut end.out);
        self.tally.repeated += 1;
        self.tally.packs_repeated += u64::from(packed);
    }
}

fn send_either_way(session: &mut Session, pack: Pack, bare: bool) -> Result<u64, Refused<Pack>> {
    if pack.count() > 1 || !bare {
        return session.send_pack(pack);
    }
    session.send(pack.into_bytes()).map_err(|refused| match refused {
        Refused::Full(message) => Refused::Full(Pack::one(message)),
        Refused::TooLarge(message) => Refused::TooLarge(Pack::one(message)),
        Refused::Closed(message) => Refused::Closed(Pack::one(message)),
    })
}

/// Taking.
impl World {
    pub fn deliver(&mut self, side: Side) {
        while self.end(side).session.is_readable() {
            self.deliver_some(side);
        }
        let end = self.end(side);
        assert!(
            end.is_discarded() || end.undelivered().is_none(),
            "something arrived and is not delivered"
        );
    }

    pub fn deliver_some(&mut self, side: Side) {
        let many = self.end(side).habits.takes_many;
        if !self.random.chance(many) || !self.deliver_many(side) {
            self.deliver_one(side);
        }
    }

    fn deliver_one(&mut self, side: Side) {
        match self.end(side).session.recv() {
            Some(Incoming::Message { seq, payload, attempt }) => {
                self.delivered(side, seq, Content::Message(payload), attempt);
            }
            Some(Incoming::End { seq }) => self.delivered(side, seq, Content::End, 1),
            None => {}
        }
    }

    /// Takes as many as make one pack, which are as many as the model says; none when the end comes
    /// next.
    fn deliver_many(&mut self, side: Side) -> bool {
        let due = self.end(side).due_together();
        let Some(ReceivedPack { first, pack, attempt }) = self.end(side).session.recv_many() else {
            let end = self.end(side);
            assert!(due.is_empty() || end.is_discarded(), "{side:?} is not given {due:?}");
            return false;
        };
        assert_eq!(first..first + u64::from(pack.count()), due, "{side:?} is given many");
        assert!(
            pack.count() == 1 || pack.cost() <= MAX_PACK_COST,
            "a pack that is too large is received"
        );
        let longest = pack.iter().map(<[u8]>::len).max();
        assert_eq!(Some(pack.longest()), longest, "the longest of what is received");
        self.count_many(side, &due, attempt);
        for (seq, message) in (first..).zip(pack.iter()) {
            self.delivered(side, seq, Content::Message(Bytes::copy_from_slice(message)), attempt);
        }
        true
    }

    fn count_many(&mut self, side: Side, due: &Range<u64>, attempt: u32) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let tally = &mut self.tally;
        let in_reach = |slot: &&Slot| due.contains(&slot.seq);
        let units = end.slots.iter().filter(in_reach).filter(|slot| slot.is_last()).count();
        let packs = end
            .slots
            .iter()
            .filter(in_reach)
            .filter(|slot| slot.is_last() && slot.is_packed())
            .count();
        tally.many_of_singles += u64::from(units > 1 && packs == 0);
        tally.many_of_packs += u64::from(packs > 1);
        let first = end.undelivered().expect("the model said that there is something");
        tally.many_behind_one += u64::from(first.place > 0);
        let Some(next) = end.slots.iter().find(|slot| slot.seq == due.end) else { return };
        match &next.content {
            Content::End => tally.many_up_to_the_end += 1,
            Content::Nothing => {}
            Content::Message(_) if !next.attempts.contains(&attempt) => {
                tally.many_up_to_a_mark += 1
            }
            Content::Message(_) => tally.many_up_to_the_limit += 1,
        }
    }

    pub fn delivered(&mut self, side: Side, seq: u64, content: Content, attempt: u32) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let slot = end.undelivered().expect("nothing is delivered that did not arrive");
        slot.delivered = true;
        slot.announced = attempt;
        let again = slot.given_back;
        assert_eq!(seq, slot.seq, "the order of messages");
        assert!(content == slot.content, "message {seq} has other bytes");
        let is_end = content == Content::End;
        assert!(is_end || slot.attempts.contains(&attempt), "attempt {attempt} at {seq}");
        let redelivered = attempt > 1;
        let first_of_pack = slot.place == 0 && slot.is_packed();
        note!(self, "{side:?} is given {seq}, attempt {attempt}");
        self.tally.delivered += 1;
        self.tally.redelivered += u64::from(redelivered);
        self.tally.third_attempts += u64::from(attempt > 2);
        self.tally.packs_redelivered += u64::from(redelivered && first_of_pack);
        let taken_back =
            self.sender_of(side, seq).sent.entry(seq).is_some_and(|entry| entry.taken_back);
        assert!(!taken_back, "{seq} is delivered, and its sender has it back");
        if let Side::Host(host, socket) = side {
            let entry = self.sockets[socket].end.sent.entry(seq).expect("accepted");
            assert!(
                again || !entry.delivered_by.contains(&host),
                "host {host} is given {seq} twice"
            );
            let comes_again = !entry.delivered_by.is_empty();
            assert!(!comes_again || redelivered || is_end, "{seq} comes again without a mark");
            entry.delivered_by.push(host);
        }
    }
}

/// Giving back.
impl World {
    pub fn give_back_some(&mut self, side: Side) {
        self.release_held(side);
        let unhandled = self.end(side).unhandled();
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let messages: Vec<u64> = unhandled
            .into_iter()
            .filter(|seq| {
                end.slots.iter().any(|slot| slot.seq == *seq && slot.content != Content::End)
            })
            .collect();
        if messages.is_empty() || end.is_closed() {
            return;
        }
        let seq = self.random.pick(&messages);
        if self.random.chance(20) {
            self.reject(side, seq)
        } else {
            self.give_back(side, seq)
        }
        self.check(side);
    }

    fn give_back(&mut self, side: Side, seq: u64) {
        let held = self.random.chance(40);
        let max = self.sender_of(side, seq).limits.max_attempts.map_or(u32::MAX, NonZeroU32::get);
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let max = if end.version < 2 { u32::MAX } else { max };
        let slot = end.slots.iter_mut().find(|slot| slot.seq == seq).expect("is there");
        // Known since it was delivered.
        let attempt = slot.announced;
        let next = end.session.give_back(seq, attempt);
        assert_eq!(next, (attempt < max).then_some(attempt + 1), "{side:?} gives {seq} back");
        note!(self, "{side:?} gives {seq} back after attempt {attempt}");
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let slot = end.slots.iter_mut().find(|slot| slot.seq == seq).expect("is there");
        match next {
            None => {
                slot.given_up = true;
                self.tally.given_back_for_the_last_time += 1;
            }
            Some(next) => {
                (slot.given_back, slot.delivered, slot.held) = (true, false, held);
                slot.attempts = next..=next;
                self.tally.given_back += 1;
                self.tally.given_back_and_held += u64::from(held);
                if !held {
                    self.ready_again(side, seq);
                }
            }
        }
    }

    fn ready_again(&mut self, side: Side, seq: u64) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let slot = end.slots.iter_mut().find(|slot| slot.seq == seq).expect("is there");
        slot.held = false;
        let Content::Message(payload) = slot.content.clone() else {
            panic!("an end was given back")
        };
        let attempt = *slot.attempts.start();
        end.session.ready_again(seq, payload, attempt);
    }

    /// Their pauses are over.
    pub fn release_held(&mut self, side: Side) {
        if self.end(side).is_closed() {
            // The application has had them, and nobody waits for them any more.
            let held = self.end(side).slots.iter_mut().filter(|slot| slot.held);
            return held.for_each(|slot| (slot.held, slot.delivered) = (false, true));
        }
        let held: Vec<u64> =
            self.end(side).slots.iter().filter(|slot| slot.held).map(|slot| slot.seq).collect();
        held.into_iter().for_each(|seq| self.ready_again(side, seq));
    }

    fn reject(&mut self, side: Side, seq: u64) {
        let reason = self.random.pick(&["", "no"]);
        note!(self, "{side:?} rejects {seq}");
        let old = self.end(side).version < 2 || self.is_of_an_earlier_host(side, seq);
        if old {
            // Nobody can take it out.
            self.was_handled(side, seq);
            self.end(side).drop_whole_units();
        }
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let slot = end.slots.iter_mut().find(|slot| slot.seq == seq);
        let attempt = slot.as_ref().map_or(1, |slot| slot.announced);
        if let Some(slot) = slot.filter(|_| !old) {
            slot.given_up = true;
        }
        end.session.reject(seq, attempt, reason);
        self.tally.rejected += 1;
        self.tally.rejected_and_nobody_to_tell += u64::from(old);
    }

    fn is_of_an_earlier_host(&mut self, side: Side, seq: u64) -> bool {
        let end = self.end(side);
        seq < end.first_of_sender && matches!(side, Side::Peer(_))
    }

    fn sender_of(&mut self, side: Side, seq: u64) -> &mut Endpoint {
        let from =
            self.end(side).slots.iter().find(|slot| slot.seq == seq).map_or(0, |slot| slot.from);
        match side {
            Side::Peer(socket) => self.end(Side::Host(from, socket)),
            Side::Host(_, socket) => self.end(Side::Peer(socket)),
        }
    }
}

/// Handling.
impl World {
    pub fn handle_some(&mut self, side: Side) {
        let Some(seqs) = self.choose_to_handle(side) else { return };
        note!(self, "{side:?} has handled {seqs:?}");
        self.count_handled(side, &seqs);
        let answers: Vec<bool> = seqs.clone().map(|seq| self.was_handled(side, seq)).collect();
        let end = self.end(side);
        end.drop_whole_units();
        if seqs.end - seqs.start == 1 {
            end.session.handled(seqs.start);
        } else {
            end.session.handled_all(seqs);
        }
        if self.calm || self.random.chance(80) {
            self.release(side);
        }
        answers.into_iter().filter(|is_message| *is_message).for_each(|_| self.reply(side));
    }

    /// One message or several in a row, wherever units begin and end.
    fn choose_to_handle(&mut self, side: Side) -> Option<Range<u64>> {
        let unhandled = self.end(side).unhandled();
        let habits = self.end(side).habits;
        if unhandled.is_empty() {
            return None;
        }
        let at = if habits.out_of_order { self.random.below(unhandled.len()) } else { 0 };
        let most =
            if self.random.chance(habits.handles_many) { 1 + self.random.below(9) } else { 1 };
        let first = unhandled[at];
        let row =
            unhandled[at..].iter().zip(first..).take(most).take_while(|(seq, due)| **seq == *due);
        Some(first..first + row.count() as u64)
    }

    /// The model hears of it first. Whether it was a message.
    fn was_handled(&mut self, side: Side, seq: u64) -> bool {
        let slot = self.end(side).slots.iter_mut().find(|slot| slot.seq == seq).expect("is there");
        slot.handled = true;
        let (from, is_message) = (slot.from, slot.content != Content::End);
        let sender = match side {
            Side::Peer(socket) => Side::Host(from, socket),
            Side::Host(_, socket) => Side::Peer(socket),
        };
        if let Some(entry) = self.end(sender).sent.entry(seq) {
            entry.handled = true;
        }
        is_message
    }

    fn count_handled(&mut self, side: Side, seqs: &Range<u64>) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let of = |seq: u64| end.slots.iter().find(move |slot| slot.seq == seq).expect("is there");
        let (first, last) = (of(seqs.start), of(seqs.end - 1));
        let before = first.unit().start..first.seq;
        let backwards = end.slots.iter().any(|slot| before.contains(&slot.seq) && !slot.handled);
        self.tally.handled_backwards_in_a_pack += u64::from(backwards);
        let across = first.unit() != last.unit() && (first.is_packed() || last.is_packed());
        self.tally.handled_across_packs += u64::from(across);
    }

    fn reply(&mut self, side: Side) {
        let replies = self.end(side).habits.replies;
        if self.random.chance(replies) && !self.end(side).session.is_finished() {
            let length = self.length();
            self.end(side).plan.push_back(length);
        }
    }
}

/// Bytes that no other message has, and no other place in this one.
fn payload(number: u64, length: usize) -> Bytes {
    let mut bytes = vec![number as u8; length];
    for (part, place) in bytes.chunks_mut(4096).enumerate() {
        let mark = (number << 16 | part as u64).to_le_bytes();
        let width = place.len().min(8);
        place[..width].copy_from_slice(&mark[..width]);
    }
    bytes.into()
}
