//! Starting over with a new host: what the last one may have seen has one attempt less.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::Outbox;
use super::entry::{Content, Entry, taken_apart};
use super::returned::GivenBack;
use crate::message::{GivenUp, Undeliverable};
use crate::version::ATTEMPTS;

impl Outbox {
    /// Starts over with a host that does not know this session, on a link of this version.
    ///
    /// Without a limit of attempts, everything goes out as it went before. With a limit, each
    /// message is counted by itself, so packs that were seen are taken apart. `give_up` gets the
    /// messages that have had their last attempt.
    pub(crate) fn restart(&mut self, version: u16, give_up: impl FnMut(Undeliverable)) {
        if self.has_ended() {
            self.queue.next -= 1;
            self.queue.push_end();
        }
        self.queue.set_cursor(0);
        self.turn_into_gaps();
        if self.queue.entries.iter().any(|entry| self.is_counted_one_by_one(entry)) {
            self.count_one_by_one(version, give_up);
        } else {
            self.queue.entries.iter_mut().for_each(Entry::lose_host);
        }
        self.given_back = GivenBack::default();
        self.queue.set_cursor(0);
        self.in_flight = 0;
        self.alone = false;
        self.carried = None;
    }

    fn is_counted_one_by_one(&self, entry: &Entry) -> bool {
        self.max_attempts.is_some() && entry.was_seen()
            || entry.is_packed() && self.given_back.knows(entry)
    }

    fn count_one_by_one(&mut self, version: u16, mut give_up: impl FnMut(Undeliverable)) {
        let entries = std::mem::take(&mut self.queue.entries);
        let mut payloads = std::mem::take(&mut self.queue.payloads).into_iter();
        for mut entry in entries {
            let payload = if entry.content == Content::Message { payloads.next() } else { None };
            match payload {
                Some(payload) if self.is_counted_one_by_one(&entry) => {
                    self.cost -= entry.held();
                    for (mut entry, payload) in taken_apart(entry, payload) {
                        entry.attempt = entry.attempt.max(self.given_back.attempt(entry.first));
                        entry.lose_host();
                        self.start_again(entry, payload, version, &mut give_up);
                    }
                }
                payload => {
                    entry.lose_host();
                    self.queue.entries.push_back(entry);
                    self.queue.payloads.extend(payload);
                }
            }
        }
    }

    /// An entry that some host may have seen, for its next attempt, if it has one. A link without
    /// gaps gets the message once more.
    fn start_again(
        &mut self,
        mut entry: Entry,
        payload: Bytes,
        version: u16,
        give_up: &mut impl FnMut(Undeliverable),
    ) {
        let may = |max: NonZeroU32| u32::from(entry.attempt) <= max.get();
        let is_gone = self.given_back.is_gone(entry.first);
        if is_gone {
            entry.content = Content::Withdrawn;
            self.gaps += 1;
        } else if version < ATTEMPTS || self.max_attempts.is_none_or(may) {
            self.queue.payloads.push_back(payload);
        } else {
            let attempts = u32::from(entry.attempt) - 1;
            give_up(Undeliverable {
                seq: entry.first,
                attempts,
                reason: GivenUp::MaxAttempts,
                payload,
            });
            entry.content = Content::Withdrawn;
            self.gaps += 1;
            self.withdrawn += 1;
        }
        self.cost += entry.held();
        self.queue.entries.push_back(entry);
    }

    /// Whether the numbers to come have gaps, which need a link of version 2.
    pub(crate) fn has_gaps(&self) -> bool {
        self.gaps > 0 || self.given_back.has_gone()
    }
}
