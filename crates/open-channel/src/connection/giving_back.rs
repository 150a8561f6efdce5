//! Messages that the application gives back: delivered again, at once or after a while, or never.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Connection, Inner};
use crate::connection::inner::Trouble;
use crate::connection::waiters::Interest;

/// Before a message that was merely dropped is delivered again: doubled with each attempt, so that a handler that
/// always fails does not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after this attempt at a message that was dropped.
pub(crate) fn pause_after(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// A message on its way back.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
    pub(crate) payload: Bytes,
}

impl Connection {
    /// The application gives these messages back, which it was given before; they are delivered again after `pause`.
    pub(crate) fn give_back(self: &Arc<Self>, messages: impl IntoIterator<Item = Back>, pause: Duration) {
        if self.check_process().is_err() {
            return;
        }
        let again = self.with(|inner| {
            let again: Vec<u64> = messages.into_iter().filter_map(|back| inner.give_back(back)).collect();
            // One that nobody can be told of counts as handled.
            inner.release();
            inner.after_giving_back();
            again
        });
        if again.is_empty() {
            return;
        }
        if pause.is_zero() {
            return self.deliver_again(again);
        }
        // The messages stay with the connection, and go with it.
        let connection = Arc::downgrade(self);
        self.background.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(connection) = connection.upgrade() {
                connection.deliver_again(again);
            }
        });
    }

    fn deliver_again(&self, seqs: Vec<u64>) {
        self.with(|inner| {
            let backs: Vec<Back> = seqs.iter().filter_map(|seq| inner.coming_back.remove(seq)).collect();
            // Else the next host is to deliver them, and this is no attempt.
            if !inner.gives_back() || !inner.may_deliver() {
                return;
            }
            for Back { seq, attempt, payload } in backs {
                inner.session.ready_again(seq, payload, attempt);
            }
            if inner.session.is_readable() {
                inner.waiters.collect(Interest::Recv, 0, &mut inner.woken);
            }
            // Before the application has them: they may be its end.
            inner.after_giving_back();
        });
    }

    /// Nobody is to try this message again.
    pub(crate) fn reject(&self, seq: u64, attempt: u32, reason: &str) {
        if self.check_process().is_err() {
            return;
        }
        self.with(|inner| {
            inner.held -= 1;
            if inner.gives_back() {
                inner.session.reject(seq, attempt, reason);
                inner.release();
                inner.after_giving_back();
            }
        });
    }
}

impl Inner {
    /// Whether what the application has not handled is this side's to deliver: if not, the next host gets it.
    fn gives_back(&self) -> bool {
        !self.handing_over && self.failed.is_none() && self.session.closed().is_none()
    }

    /// The number of the message, if it is to be delivered again.
    fn give_back(&mut self, mut back: Back) -> Option<u64> {
        self.held -= 1;
        if !self.gives_back() {
            return None;
        }
        back.attempt = self.session.give_back(back.seq, back.attempt)?;
        let seq = back.seq;
        self.coming_back.insert(seq, back);
        Some(seq)
    }

    fn after_giving_back(&mut self) {
        if self.session.has_returned() {
            self.write();
        }
    }

    /// After frames were taken in: they may have been about messages that were given back.
    pub(super) fn answer_what_came_back(&mut self) {
        if self.ring.is_some() {
            self.release();
        }
        if self.session.has_returned() {
            self.write();
        }
    }

    /// Takes out of the outbox and the ring what the other side has given up, and tells it so.
    pub(super) fn take_back_given_up(&mut self) -> Result<(), Trouble> {
        while let Some(end) = self.session.wanted() {
            let stored = self.ring.as_mut().and_then(|ring| ring.stored(end));
            self.session.found(stored)?;
        }
        self.take_back();
        Ok(())
    }
}
