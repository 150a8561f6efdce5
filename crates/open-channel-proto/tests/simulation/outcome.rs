//! The fate of messages that were sent, beside the session's own report.

use crate::tally::Tally;
use bytes::Bytes;
use open_channel_proto::{Fate, GivenUp, StoredPart, Undeliverable, Welcome};
use std::num::NonZeroU32;

use crate::endpoint::Endpoint;
use crate::ledger::{Content, Entry};

impl Endpoint {
    /// The other side gives a message up, or goes on with it, after this attempt.
    pub fn hears_of(&mut self, seq: u64, fate: Fate, attempt: u8, reason: &str, tally: &mut Tally) {
        let generation = self.session.generation();
        if seq < self.session.first_unacknowledged() || self.is_closed() {
            return;
        }
        let entry = self.sent.entry(seq).expect("accepted");
        match fate {
            Fate::Again => {
                let counted = entry.counted.entry(generation).or_insert(1);
                *counted = (*counted).max(u32::from(attempt) + 1);
            }
            Fate::GivenUp if !entry.is_withdrawn() => {
                entry.withdrawn_from = Some(generation + 1);
                (entry.taken_out, entry.handled) = (true, true);
                let Content::Message(payload) = entry.content.clone() else {
                    panic!("an end is given up")
                };
                let exceeds =
                    self.limits.max_attempts.is_some_and(|max| u32::from(attempt) >= max.get());
                let by_count = exceeds && reason.is_empty();
                let reason = if by_count {
                    GivenUp::MaxAttempts
                } else {
                    GivenUp::Rejected(reason.to_owned())
                };
                let due = Undeliverable { seq, attempts: attempt.into(), reason, payload };
                assert_eq!(self.session.take_undeliverable(), Some(due), "{seq} comes back");
                tally.given_up_at_a_host += 1;
            }
            Fate::GivenUp => tally.given_up_once_more += 1,
            Fate::Recalled if !entry.is_withdrawn() => {
                entry.withdrawn_from = Some(generation + 1);
                entry.taken_out = true;
                let (packed, stored) = (entry.count > 1, entry.stored_at.is_some());
                let back = self.session.taken_back().expect("the other side will not deliver it");
                self.is_back(seq, &back);
                tally.taken_back_on_the_link += 1;
                tally.taken_back_out_of_a_store += u64::from(stored);
                tally.taken_back_out_of_a_pack += u64::from(packed);
            }
            Fate::Recalled => {}
            Fate::TooLate => {
                assert!(!self.session.is_recalling(seq), "{seq} was answered");
                tally.taken_back_too_late += 1;
            }
            _ => panic!("a fate that nobody knows: {fate:?}"),
        }
        assert_eq!(self.session.taken_back(), None, "more is taken back than was given back");
        assert_eq!(self.session.take_undeliverable(), None, "more comes back than was given up");
    }

    /// Nobody has it, and nobody will.
    pub fn is_back(&mut self, seq: u64, back: &(u64, Bytes)) {
        let entry = self.sent.entry(seq).expect("accepted");
        assert_eq!((back.0, Content::Message(back.1.clone())), (seq, entry.content.clone()));
        assert!(entry.delivered_by.is_empty(), "{seq} is taken back, and some application has it");
        assert!(!std::mem::replace(&mut entry.taken_back, true), "{seq} is taken back twice");
        entry.handled = true;
    }

    /// It was on no link: the present host, too, finds its number passed over.
    pub fn is_back_at_once(&mut self, seq: u64, back: &(u64, Bytes)) {
        let generation = self.session.generation();
        self.is_back(seq, back);
        self.sent.entry(seq).expect("accepted").withdrawn_from = Some(generation);
        let unit = self.sent.unit(seq);
        if unit.end - unit.start > 1 {
            self.sent.all_of(unit).iter_mut().for_each(|entry| entry.apart_from = Some(generation));
        }
    }

    /// A link is gone or another is there: what nobody has seen on the last one comes back.
    pub fn take_back_what_was_not_seen(&mut self, tally: &mut Tally) {
        while let Some(back) = self.session.taken_back() {
            self.is_back_at_once(back.0, &back);
            tally.taken_back_after_the_link += 1;
        }
    }

    /// A new host: each message that an earlier one may have seen is counted by itself, if there is
    /// a limit, and what has had all its attempts comes back.
    pub fn take_apart_and_back(&mut self, welcome: &Welcome, tally: &mut Tally) {
        let given_up: Vec<Undeliverable> =
            std::iter::from_fn(|| self.session.take_undeliverable()).collect();
        let Some(max) = self.limits.max_attempts.map(NonZeroU32::get) else {
            assert_eq!(given_up, [], "without a limit nothing is given up");
            if !self.is_closed() {
                let base = self.session.first_unacknowledged().max(self.acknowledged);
                let packs = self.sent.take_apart_what_came_back(base, welcome.generation);
                tally.packs_taken_apart_that_came_back += packs as u64;
                self.forget_what_was_taken_out();
            }
            return;
        };
        if self.is_closed() {
            return;
        }
        self.forget_what_was_taken_out();
        let base = self.session.first_unacknowledged().max(self.acknowledged);
        tally.packs_taken_apart += self.sent.take_apart(base, welcome.generation) as u64;
        for Undeliverable { seq, attempts, reason, payload } in given_up {
            assert_eq!((welcome.version, reason), (2, GivenUp::MaxAttempts));
            let entry = self.sent.entry(seq).expect("accepted");
            assert!(
                entry.content == Content::Message(payload),
                "{seq} comes back with other bytes"
            );
            assert!(!entry.is_withdrawn(), "{seq} comes back twice");
            let next = entry.attempts(welcome.generation);
            assert!(
                next.contains(&(attempts + 1)),
                "{seq} had {attempts} attempts, not {next:?} less one"
            );
            // More than that only with hosts that know no gaps.
            assert!(attempts >= max, "{seq} is given up with attempts left");
            entry.withdrawn_from = Some(welcome.generation);
            entry.handled = true;
            tally.undeliverable += 1;
        }
    }

    /// Puts what the session wants to say into the buffer and remembers what that was.
    pub fn transmit(&mut self) {
        self.session.transmit(&mut self.out);
        if self.session.is_attached() {
            self.remember_what_was_sent();
        }
    }

    pub fn remember_what_was_sent(&mut self) {
        let generation = self.session.generation();
        let begun = self.session.first_unacknowledged() + self.session.messages_in_flight() as u64;
        for seq in self.session.first_unacknowledged()..begun {
            let entry = self.sent.entry(seq).expect("in flight, so accepted");
            if !entry.sent_to.contains(&generation) {
                entry.sent_to.push(generation);
            }
        }
        if let Some(entry) = self.sent.entry(begun).filter(|entry| entry.content.is_chunked()) {
            // In a store nobody takes the half of a message for the whole.
            if !self.has_store && !entry.begun_to.contains(&generation) {
                entry.begun_to.push(generation);
            }
        }
    }

    /// The store is given up: what no host has claimed was never sent, on this link.
    pub fn remember_what_was_stored(&mut self, parts: &[StoredPart]) {
        for entry in &mut self.sent.entries {
            let Some(end) = entry.stored_at.take() else { continue };
            if parts.iter().any(|part| part.end == end && !part.claimed) {
                entry.was_not_seen();
            }
        }
        if let Some(seq) = self.half_stored.take() {
            let unit = self.sent.unit(seq);
            self.sent.all_of(unit).iter_mut().for_each(Entry::was_not_seen);
        }
    }
}
