//! Messages that the application gives or takes back, and those that come back to it.

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
    /// The application gives these messages back; they are delivered again after `pause`.
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
            // A message whose sender cannot be notified counts as handled.
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
        // The messages stay with the connection, and are dropped with it.
        let connection = Arc::downgrade(self);
        self.background.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(connection) = connection.upgrade() {
                connection.with(|state| state.deliver_again(&again));
            }
        });
    }

    /// Rejects this message, so that it is not tried again.
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

/// Sent messages that were not handled.
impl Connection {
    /// Takes back message `seq` of this side: its bytes, or `None` if it is too late. While this is
    /// pending, call [`poll_taken_back`](Self::poll_taken_back), or
    /// [`stop_taking_back`](Self::stop_taking_back) to give up.
    pub(crate) fn begin_taking_back(&self, seq: u64) -> Poll<Result<Option<Bytes>, Error>> {
        self.check_process()?;
        self.with(|state| state.begin_taking_back(seq))
    }

    /// The numbers of the messages, and of the end, that are not acknowledged.
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

    /// Gives up the wait for that answer. The message, if it comes back, is undeliverable.
    pub(crate) fn stop_taking_back(&self, seq: u64) {
        if self.check_process().is_ok() {
            self.with(|state| state.stop_taking_back(seq));
        }
    }

    /// The next message that is not delivered any more, oldest first.
    pub(crate) async fn undeliverable(&self) -> Result<Undeliverable, Error> {
        loop {
            // Registered before the check, so that no change in between is missed.
            let returned = self.returned.notified();
            if let Some(found) = self.try_undeliverable() {
                return found;
            }
            returned.await;
        }
    }

    /// [`undeliverable`](Self::undeliverable), or the reason why there will be none.
    pub(crate) fn try_undeliverable(&self) -> Option<Result<Undeliverable, Error>> {
        let mut state = self.lock();
        state.returned.pop().map(Ok).or_else(|| state.over().map(Err))
    }

    /// [`undeliverable`](Self::undeliverable) for one caller at a time, which is woken to poll
    /// again.
    pub(crate) fn poll_undeliverable(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Undeliverable, Error>> {
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
