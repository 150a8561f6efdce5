//! Messages that the application wants back, before anybody has taken them.

use std::collections::BTreeMap;

use bytes::Bytes;
use open_channel_proto::{GivenUp, TakeBack, Undeliverable};

use super::State;
use crate::connection::waiters::Interest;
use crate::error::Error;

/// The numbers that the other side was asked for, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    calls: BTreeMap<u64, Call>,
    /// With so many of them, those that are answered and dropped are looked for.
    crowded: usize,
}

/// Fewer calls are not worth to be looked through.
const FEW: usize = 32;

#[derive(Debug)]
enum Call {
    Waiting,
    /// Nobody waits for the answer any more.
    Dropped,
    Taken(Bytes),
}

/// How a call began that wants a message back.
pub(in crate::connection) enum Begun {
    Answered(Option<Bytes>),
    /// To be followed by [`taken_back`](State::taken_back), or by [`stop_taking_back`](State::stop_taking_back).
    Asked,
}

impl State {
    pub(in crate::connection) fn begin_taking_back(&mut self, seq: u64) -> Result<Begun, Error> {
        if let Some(bytes) = self.returned.fetch_taken_back(seq) {
            return Ok(Begun::Answered(Some(bytes)));
        }
        if let Some(error) = self.over() {
            return Err(error);
        }
        self.take_releases();
        let Self { session, recalls, .. } = self;
        if recalls.calls.len() >= recalls.crowded {
            let is_open =
                |seq: &u64, call: &mut Call| !matches!(call, Call::Dropped) || session.is_recalling(*seq);
            recalls.calls.retain(is_open);
            recalls.crowded = 2 * recalls.calls.len().max(FEW);
        }
        match recalls.calls.get_mut(&seq) {
            Some(call @ Call::Dropped) => {
                *call = Call::Waiting;
                return Ok(Begun::Asked);
            }
            // Another call has it, or will.
            Some(_) => return Ok(Begun::Answered(None)),
            None => {}
        }
        match session.take_back(seq) {
            TakeBack::Taken(bytes) => {
                // There is room again, and less to wait for.
                self.wakes.notify(Interest::Acks);
                self.write();
                Ok(Begun::Answered(Some(bytes)))
            }
            TakeBack::Asked => {
                recalls.calls.insert(seq, Call::Waiting);
                self.write();
                Ok(Begun::Asked)
            }
            _ => Ok(Begun::Answered(None)),
        }
    }

    pub(in crate::connection) fn taken_back(&mut self, seq: u64) -> Option<Result<Option<Bytes>, Error>> {
        self.take_releases();
        let open = self.session.is_recalling(seq) && self.over().is_none();
        if open && matches!(self.recalls.calls.get(&seq), Some(Call::Waiting)) {
            self.await_acknowledgement(seq + 1);
            return None;
        }
        match self.recalls.calls.remove(&seq) {
            Some(Call::Taken(bytes)) => Some(Ok(Some(bytes))),
            _ => Some(self.over().map_or(Ok(None), Err)),
        }
    }

    /// Nobody waits for that answer: the message, if it comes back, is undeliverable.
    pub(in crate::connection) fn stop_taking_back(&mut self, seq: u64) {
        match self.recalls.calls.remove(&seq) {
            Some(Call::Taken(bytes)) => self.nobody_fetched(seq, bytes),
            Some(Call::Waiting) if self.over().is_none() => {
                self.recalls.calls.insert(seq, Call::Dropped);
            }
            _ => {}
        }
    }

    /// Takes over what has come back to those who asked for it.
    pub(super) fn take_what_was_asked_for(&mut self) {
        while let Some((seq, bytes)) = self.session.taken_back() {
            match self.recalls.calls.get_mut(&seq) {
                Some(call @ Call::Waiting) => *call = Call::Taken(bytes),
                _ => {
                    self.recalls.calls.remove(&seq);
                    self.nobody_fetched(seq, bytes);
                }
            }
        }
        if self.session.take_recall_news() {
            self.wakes.notify(Interest::Acks);
        }
    }

    fn nobody_fetched(&mut self, seq: u64, payload: Bytes) {
        let message = Undeliverable { seq, attempts: 1, reason: GivenUp::TakenBack, payload };
        let limit = self.session.limits().outbox;
        self.returned.push(self.session.id(), message, limit);
    }
}
