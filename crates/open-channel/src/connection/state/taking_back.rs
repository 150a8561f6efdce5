//! Messages that the application takes back before a handler has taken them.

use std::task::Poll;

use bytes::Bytes;
use open_channel_proto::{GivenUp, TakeBack, Undeliverable};

use super::State;
use crate::connection::recalls::Begin;
use crate::connection::waiters::Interest;
use crate::error::Error;

impl State {
    /// The message, or `None` if it is too late. While this is pending, call
    /// [`taken_back`](Self::taken_back), or [`stop_taking_back`](Self::stop_taking_back) to give
    /// up.
    pub(in crate::connection) fn begin_taking_back(
        &mut self,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(bytes) = self.returned.fetch_taken_back(seq) {
            return Poll::Ready(Ok(Some(bytes)));
        }
        if let Some(error) = self.over() {
            return Poll::Ready(Err(error));
        }
        self.take_releases();
        let Self { session, recalls, .. } = self;
        match recalls.begin(seq, |seq| session.is_recalling(seq)) {
            Begin::First => {}
            Begin::Joined => return Poll::Pending,
            Begin::Refused => return Poll::Ready(Ok(None)),
        }
        match session.take_back(seq) {
            TakeBack::Taken(bytes) => {
                // There is room again, and less to wait for.
                self.wakes.notify(Interest::Acks);
                self.write();
                Poll::Ready(Ok(Some(bytes)))
            }
            TakeBack::Asked => {
                recalls.wait(seq);
                self.write();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(None)),
        }
    }

    /// The answer; `None` if not yet.
    pub(in crate::connection) fn taken_back(
        &mut self,
        seq: u64,
    ) -> Option<Result<Option<Bytes>, Error>> {
        self.take_releases();
        let open = self.session.is_recalling(seq) && self.over().is_none();
        if open && self.recalls.is_waiting(seq) {
            self.await_acknowledgement(seq + 1);
            return None;
        }
        match self.recalls.end(seq) {
            Some(bytes) => Some(Ok(Some(bytes))),
            None => Some(self.over().map_or(Ok(None), Err)),
        }
    }

    /// Gives up the wait for that answer. The message, if it comes back, is undeliverable.
    pub(in crate::connection) fn stop_taking_back(&mut self, seq: u64) {
        if self.recalls.is_waiting(seq) && self.over().is_none() {
            self.recalls.drop_waiting(seq);
        } else if let Some(bytes) = self.recalls.end(seq) {
            self.nobody_fetched(seq, bytes);
        }
    }

    /// Passes the messages that came back to the calls that asked for them.
    pub(super) fn take_what_was_asked_for(&mut self) {
        while let Some((seq, bytes)) = self.session.taken_back() {
            if let Some(bytes) = self.recalls.answer(seq, bytes) {
                self.nobody_fetched(seq, bytes);
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
