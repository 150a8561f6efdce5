//! Messages that the application wants back, before anybody has taken them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::task::{Context, Poll};

use bytes::Bytes;
use open_channel_proto::{GivenUp, TakeBack, Undeliverable};

use super::{Connection, Inner, WakeMode};
use crate::error::Error;
use crate::message::MessageId;
use crate::waiters::{Interest, Seat};

/// The numbers that the other side was asked for, and what came of it.
#[derive(Debug, Default)]
pub(super) struct TakingBack {
    calls: BTreeMap<u64, Call>,
}

#[derive(Debug)]
enum Call {
    Waiting,
    /// Nobody waits for the answer any more.
    Dropped,
    Taken(Bytes),
}

/// How a call began that wants a message back.
pub(crate) enum Begun {
    Answered(Option<Bytes>),
    /// To be followed by [`Connection::poll_taken_back`], or by [`Connection::stop_taking_back`].
    Asked,
}

impl Connection {
    pub(crate) fn begin_taking_back(&self, id: MessageId) -> Result<Begun, Error> {
        self.check_process()?;
        if id.socket != self.id {
            return Ok(Begun::Answered(None));
        }
        self.with(|inner| inner.begin_taking_back(id.seq))
    }

    /// Of messages, and of the end, that are not acknowledged.
    pub(crate) fn unacknowledged_numbers(&self) -> Range<u64> {
        self.with(|inner| {
            inner.take_releases();
            inner.session.first_unacknowledged()..inner.session.next_seq()
        })
    }

    /// The answer to a call that was [asked](Begun::Asked).
    pub(crate) fn poll_taken_back(
        &self,
        cx: &mut Context<'_>,
        seat: &mut Seat,
        mode: WakeMode,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.poll(cx, seat, mode, Interest::Acks, |inner| inner.taken_back(seq))
    }

    /// Nobody waits for that answer: the message, if it comes back, is undeliverable.
    pub(crate) fn stop_taking_back(&self, seq: u64) {
        if self.check_process().is_err() {
            return;
        }
        self.with(|inner| match inner.taking_back.calls.remove(&seq) {
            Some(Call::Taken(bytes)) => inner.nobody_fetched(seq, bytes),
            Some(Call::Waiting) if inner.over().is_none() => {
                inner.taking_back.calls.insert(seq, Call::Dropped);
            }
            _ => {}
        });
    }
}

impl Inner {
    fn begin_taking_back(&mut self, seq: u64) -> Result<Begun, Error> {
        if let Some(bytes) = self.returned.fetch_taken_back(seq) {
            return Ok(Begun::Answered(Some(bytes)));
        }
        if let Some(error) = self.over() {
            return Err(error);
        }
        self.take_releases();
        let Self { session, taking_back, .. } = self;
        taking_back.calls.retain(|seq, call| !matches!(call, Call::Dropped) || session.is_recalling(*seq));
        match taking_back.calls.get_mut(&seq) {
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
                self.waiters.collect(Interest::Acks, 0, &mut self.woken);
                self.write();
                Ok(Begun::Answered(Some(bytes)))
            }
            TakeBack::Asked => {
                taking_back.calls.insert(seq, Call::Waiting);
                self.write();
                Ok(Begun::Asked)
            }
            _ => Ok(Begun::Answered(None)),
        }
    }

    fn taken_back(&mut self, seq: u64) -> Option<Result<Option<Bytes>, Error>> {
        self.take_releases();
        let open = self.session.is_recalling(seq) && self.over().is_none();
        if open && matches!(self.taking_back.calls.get(&seq), Some(Call::Waiting)) {
            self.await_acknowledgement(seq + 1);
            return None;
        }
        match self.taking_back.calls.remove(&seq) {
            Some(Call::Taken(bytes)) => Some(Ok(Some(bytes))),
            _ => Some(self.over().map_or(Ok(None), Err)),
        }
    }

    /// Takes over what has come back to those who asked for it.
    pub(super) fn take_what_was_asked_for(&mut self) {
        while let Some((seq, bytes)) = self.session.taken_back() {
            match self.taking_back.calls.get_mut(&seq) {
                Some(call @ Call::Waiting) => *call = Call::Taken(bytes),
                _ => {
                    self.taking_back.calls.remove(&seq);
                    self.nobody_fetched(seq, bytes);
                }
            }
        }
        if self.session.take_recall_news() {
            self.waiters.collect(Interest::Acks, 0, &mut self.woken);
        }
    }

    fn nobody_fetched(&mut self, seq: u64, payload: Bytes) {
        let message = Undeliverable { seq, attempts: 1, reason: GivenUp::TakenBack, payload };
        self.returned.push(self.session.id(), message, self.outbox_limit);
    }
}
