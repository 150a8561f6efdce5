//! Regular checks of a connection, and its statistics.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use crate::connection::Connection;
use crate::connection::silence::{Change, Open, Silence};
use crate::connection::stall::Stall;
use crate::connection::state::State;
use crate::connection::stats::SocketStats;
use crate::connection::transport::Transport;
use crate::error::Error;

impl State {
    fn open(&mut self) -> Open {
        if !self.session.holds_no_message() {
            // On a ring, no other call may have taken the releases.
            self.take_releases();
        }
        let over = self.over().is_some();
        let session = &self.session;
        let (mut unacknowledged, mut unhandled) = (session.unacknowledged(), session.unhandled());
        // Messages in the ring have arrived, too. One is enough for the age of the oldest.
        unhandled.end += u64::from(self.transport.as_ref().is_some_and(Transport::has_message));
        if over {
            (unacknowledged.end, unhandled.end) = (unacknowledged.start, unhandled.start);
        }
        Open {
            unacknowledged,
            messages: session.messages_unacknowledged(),
            acknowledged: session.messages_acknowledged(),
            unhandled,
            bytes: session.bytes_unacknowledged(),
            generation: session.generation(),
        }
    }
}

impl Connection {
    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks at `now` for messages that have made no progress for `stall_after`.
    pub(crate) fn check_silence(&self, now: Duration, stall_after: Duration) -> Option<Change> {
        let open = self.with(State::open);
        let mut silence = self.silence();
        let change = silence.check(now, &open, stall_after, self.id, self.is_accepted());
        drop(silence);
        if change.is_some() || self.is_over() {
            self.waiters.notify_change();
        }
        change
    }

    /// Whether the last check found a stall.
    pub(crate) fn is_stalled(&self) -> bool {
        self.silence().stall().is_some()
    }

    /// Resolves when the socket is stalled, at once if it is already.
    pub(crate) async fn stalled(&self) -> Result<Stall, Error> {
        self.check_process()?;
        loop {
            let mut changed = std::pin::pin!(self.waiters.change());
            // From here on, no change is missed.
            changed.as_mut().enable();
            if let Some(stall) = self.present_stall() {
                return Ok(stall);
            }
            if let Some(error) = self.lock().over() {
                return Err(error);
            }
            changed.await;
        }
    }

    /// Resolves when there is a link to another host than that of the generation `known`.
    pub(crate) async fn next_host(&self, known: u64) -> Result<u64, Error> {
        self.check_process()?;
        loop {
            let mut changed = std::pin::pin!(self.waiters.change());
            // From here on, no change is missed.
            changed.as_mut().enable();
            let (connected, generation, over) = {
                let state = self.lock();
                (state.transport.is_some(), state.session.generation(), state.over())
            };
            match over {
                None if connected && generation != known => return Ok(generation),
                Some(error) => return Err(error),
                None => changed.await,
            }
        }
    }

    /// The stall that the last check found, unless messages have made progress since.
    fn present_stall(&self) -> Option<Stall> {
        let open = self.with(State::open);
        let silence = self.silence();
        silence.stalled(&open).and(silence.stall()).cloned()
    }

    pub(crate) fn stats(&self) -> SocketStats {
        let open = self.with(State::open);
        let state = self.lock();
        let session = &state.session;
        let (sent, received) = (session.messages_sent(), session.messages_received());
        let (unacknowledged, unhandled) =
            (session.messages_unacknowledged(), session.messages_unhandled());
        let mut stats = SocketStats {
            id: self.id,
            accepted: state.delivery.host_check.is_some(),
            link: state.link().map(|link| link.kind()),
            peer: state.link().map(|link| link.peer().clone()),
            links: state.transports,
            generation: session.generation(),
            sent,
            sent_bytes: state.traffic.sent,
            acknowledged: session.messages_acknowledged(),
            unacknowledged,
            outbox_bytes: session.bytes_unacknowledged(),
            outbox_limit: session.outbox_limit(),
            received,
            received_bytes: state.traffic.received,
            handled: received.saturating_sub(unhandled),
            held: state.delivery.held as u64,
            inbox_bytes: session.unhandled_bytes(),
            inbox_limit: session.window(),
            redelivered: state.delivery.redelivered,
            highest_attempt: state.delivery.highest_attempt,
            oldest_unacknowledged: None,
            oldest_unhandled: None,
            stalled: None,
        };
        drop(state);
        if self.check_process().is_err() {
            return stats;
        }
        let silence = self.silence();
        stats.oldest_unacknowledged = silence.oldest_unacknowledged(&open);
        stats.oldest_unhandled = silence.oldest_unhandled(&open);
        stats.stalled = silence.stalled(&open);
        stats
    }
}
