//! Messages that the application gives back or wants back, and those that come back to it.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::Undeliverable;

use crate::connection::Connection;
use crate::connection::received::Delivered;
use crate::connection::waiters::{Interest, WaiterKey, WakeMode};
use crate::error::Error;

/// Received messages that were not handled.
impl Connection {
    /// The application gives these messages back, which it was given before; they are delivered again
    /// after `pause`.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        messages: impl IntoIterator<Item = Delivered>,
        pause: Duration,
    ) {
        if self.check_process().is_err() {
            return;
        }
        let again = self.with(|state| {
            let again: Vec<u64> =
                messages.into_iter().filter_map(|message| state.give_back(message)).collect();
            // One whose sender cannot be told counts as handled.
            state.release();
            state.after_giving_back();
            again
        });
        if again.is_empty() {
            return;
        }
        if pause.is_zero() {
            return self.with(|state| state.deliver_again(&again));
        }
        // The messages stay with the connection, and go with it.
        let connection = Arc::downgrade(self);
        self.background.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(connection) = connection.upgrade() {
                connection.with(|state| state.deliver_again(&again));
            }
        });
    }

    /// Nobody is to try this message again.
    pub(crate) fn reject(&self, seq: u64, attempt: u32, reason: &str) {
        if self.check_process().is_err() {
            return;
        }
        self.with(|state| {
            state.delivery.held -= 1;
            if state.gives_back() {
                state.session.reject(seq, attempt, reason);
                state.release();
                state.after_giving_back();
            }
        });
    }
}

/// Sent messages that nobody has handled.
impl Connection {
    /// Asks for message `seq` of this side: its bytes or `None` if it is too late. Pending: to be
    /// followed by [`poll_taken_back`](Self::poll_taken_back), or by
    /// [`stop_taking_back`](Self::stop_taking_back).
    pub(crate) fn begin_taking_back(&self, seq: u64) -> Poll<Result<Option<Bytes>, Error>> {
        self.check_process()?;
        self.with(|state| state.begin_taking_back(seq))
    }

    /// Numbers of messages, and of the end, that are not acknowledged.
    pub(crate) fn unacknowledged_numbers(&self) -> Range<u64> {
        self.with(|state| {
            state.take_releases();
            state.session.first_unacknowledged()..state.session.next_seq()
        })
    }

    /// The answer to [`begin_taking_back`](Self::begin_taking_back).
    pub(crate) fn poll_taken_back(
        &self,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
        seq: u64,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.poll(cx, key, mode, Interest::Acks, |state| state.taken_back(seq))
    }

    /// Nobody waits for that answer: the message, if it comes back, is undeliverable.
    pub(crate) fn stop_taking_back(&self, seq: u64) {
        if self.check_process().is_ok() {
            self.with(|state| state.stop_taking_back(seq));
        }
    }

    /// The next message that is not delivered any more, oldest first.
    pub(crate) async fn undeliverable(&self) -> Result<Undeliverable, Error> {
        loop {
            // Before the look, so that nothing that comes in between is missed.
            let returned = self.returned.notified();
            if let Some(found) = self.try_undeliverable() {
                return found;
            }
            returned.await;
        }
    }

    /// [`undeliverable`](Self::undeliverable), or why there will be none.
    pub(crate) fn try_undeliverable(&self) -> Option<Result<Undeliverable, Error>> {
        let mut state = self.lock();
        state.returned.pop().map(Ok).or_else(|| state.over().map(Err))
    }

    /// [`undeliverable`](Self::undeliverable) for one caller at a time, who is woken when it may be
    /// ready.
    pub(crate) fn poll_undeliverable(&self, cx: &mut Context<'_>) -> Poll<Result<Undeliverable, Error>> {
        let mut state = self.lock();
        match state.returned.pop().map(Ok).or_else(|| state.over().map(Err)) {
            Some(found) => Poll::Ready(found),
            None => {
                state.returned.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
