//! Silence: what stays unacknowledged on the other side, or unhandled on this one, and for how
//! long.

use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use open_channel_proto::SocketId;

use super::Connection;
use super::age::Age;
use super::inner::Inner;
use crate::error::Error;
use crate::event::{Stall, StallEnd};
use crate::stats::SocketStats;

/// What the regular looks at a connection have found.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// When the last look was.
    now: Duration,
    unacknowledged: Age,
    unhandled: Age,
    /// Reported, and not over.
    stall: Option<Stalled>,
}

#[derive(Debug)]
struct Stalled {
    stall: Stall,
    /// How many messages were acknowledged then.
    acknowledged: u64,
    /// When the last of them was found to be.
    since: Duration,
}

/// What is to be reported after a look.
#[derive(Debug)]
pub(crate) enum Change {
    Began(Stall),
    Ended(StallEnd),
}

/// The messages that wait for somebody.
struct Open {
    /// From the first to behind the last; those in between may be withdrawn.
    unacknowledged: Range<u64>,
    /// How many they are.
    messages: u64,
    /// How many were acknowledged.
    acknowledged: u64,
    unhandled: Range<u64>,
    bytes: usize,
    generation: u64,
}

impl Inner {
    fn open(&mut self) -> Open {
        if !self.session.holds_no_message() {
            // On a ring, nobody else may have looked.
            self.take_releases();
        }
        let over = self.over().is_some();
        let session = &self.session;
        let (mut unacknowledged, mut unhandled) = (session.unacknowledged(), session.unhandled());
        // What lies in the ring has arrived, too; one is enough to know how old the oldest is.
        unhandled.end += u64::from(self.ring.as_ref().is_some_and(|ring| ring.has_arrived()));
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

    /// Looks at `now` for messages that have made no progress for `stall_after`.
    pub(crate) fn look_for_silence(&self, now: Duration, stall_after: Duration) -> Option<Change> {
        let open = self.with(Inner::open);
        let mut silence = self.silence();
        silence.now = now;
        silence.unacknowledged.look(now, &open.unacknowledged, open.acknowledged);
        silence.unhandled.look(now, &open.unhandled, open.unhandled.start);
        let change = silence.change(&open, stall_after, self.id, self.is_accepted());
        drop(silence);
        if change.is_some() || self.is_over() {
            self.waiters.notify_change();
        }
        change
    }

    /// Whether a stall was found by the last look.
    pub(crate) fn is_stalled(&self) -> bool {
        self.silence().stall.is_some()
    }

    /// Resolves when messages have made no progress for long, at once if that is so.
    pub(crate) async fn stalled(&self) -> Result<Stall, Error> {
        self.check_process()?;
        loop {
            let mut changed = std::pin::pin!(self.waiters.change());
            // From here on, no change is missed.
            changed.as_mut().enable();
            let stall = self.silence().stall.as_ref().map(|stalled| stalled.stall.clone());
            if let Some(stall) = stall {
                return Ok(stall);
            }
            if let Some(error) = self.lock().over() {
                return Err(error);
            }
            changed.await;
        }
    }

    pub(crate) fn stats(&self) -> SocketStats {
        let open = self.with(Inner::open);
        let inner = self.lock();
        let session = &inner.session;
        let (sent, received) = (session.messages_sent(), session.messages_received());
        let (unacknowledged, unhandled) = (session.messages_unacknowledged(), session.messages_unhandled());
        let mut stats = SocketStats {
            id: self.id,
            accepted: inner.fence.is_some(),
            link: inner.link.as_ref().map(|link| link.kind()),
            peer: inner.link.as_ref().map(|link| link.peer()),
            links: inner.links,
            generation: session.generation(),
            sent,
            acknowledged: session.messages_acknowledged(),
            unacknowledged,
            outbox_bytes: session.bytes_unacknowledged(),
            outbox_limit: session.outbox_limit(),
            received,
            handled: received.saturating_sub(unhandled),
            held: inner.held as u64,
            inbox_bytes: session.unhandled_bytes(),
            inbox_limit: session.window(),
            redelivered: inner.redelivered,
            oldest_unacknowledged: None,
            oldest_unhandled: None,
            stalled: None,
        };
        drop(inner);
        if self.check_process().is_err() {
            return stats;
        }
        let silence = self.silence();
        stats.oldest_unacknowledged = silence.unacknowledged.of_oldest(silence.now, &open.unacknowledged);
        stats.oldest_unhandled = silence.unhandled.of_oldest(silence.now, &open.unhandled);
        // One that has gone on since the last look is about to be over.
        let stall = silence.stall.as_ref().filter(|stall| stall.acknowledged == open.acknowledged);
        stats.stalled = stall.map(|stall| silence.now.saturating_sub(stall.since));
        stats
    }
}

impl Silence {
    fn change(
        &mut self,
        open: &Open,
        stall_after: Duration,
        socket: SocketId,
        accepted: bool,
    ) -> Option<Change> {
        let Self { now, unacknowledged, stall, .. } = self;
        let silent = unacknowledged.without_progress(*now, open.acknowledged).unwrap_or_default();
        let oldest = unacknowledged.of_oldest(*now, &open.unacknowledged).unwrap_or_default();
        let unmoved = |stalled: &Stalled| stalled.acknowledged == open.acknowledged;
        let empty = open.unacknowledged.is_empty();
        if let Some(over) = stall.take_if(|stalled| !unmoved(stalled) || empty) {
            let lasted = now.saturating_sub(over.since);
            return Some(Change::Ended(StallEnd { socket, accepted, lasted, acknowledged: !unmoved(&over) }));
        }
        // What waited longer may have been taken back.
        if stall.is_some() || empty || silent.min(oldest) < stall_after {
            return None;
        }
        let began = Stall {
            socket,
            accepted,
            generation: open.generation,
            oldest,
            messages: open.messages,
            bytes: open.bytes,
        };
        let since = now.saturating_sub(silent);
        *stall = Some(Stalled { stall: began.clone(), acknowledged: open.acknowledged, since });
        Some(Change::Began(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL_AFTER: Duration = Duration::from_secs(10);

    /// What a look at each second reports when these messages are unacknowledged.
    fn reported(open: impl IntoIterator<Item = Range<u64>>) -> Vec<(u64, Change)> {
        let mut silence = Silence::default();
        let mut changes = Vec::new();
        for (second, unacknowledged) in (1..).zip(open) {
            silence.now = Duration::from_secs(second);
            let Range { start, end } = unacknowledged;
            silence.unacknowledged.look(silence.now, &unacknowledged, start);
            let open = Open {
                unacknowledged,
                messages: end - start,
                acknowledged: start,
                unhandled: 1..1,
                bytes: 0,
                generation: 1,
            };
            let change = silence.change(&open, STALL_AFTER, SocketId(7), false);
            changes.extend(change.map(|change| (second, change)));
        }
        changes
    }

    #[test]
    fn a_backlog_that_moves_never_stalls_however_old_its_messages_are() {
        let moving = (1..1000).map(|second| second / 9..second + 1);
        assert!(reported(moving).is_empty());
        assert!(reported((1..1000).map(|_| 5..5)).is_empty());
    }

    #[test]
    fn a_stall_is_reported_once_and_so_is_its_end() {
        let stuck = (0..50).map(|second: u64| 1..second.min(20) + 2);
        let changes = reported(stuck.chain((0..12).map(|_| 10..22)));
        match &changes[..] {
            [(11, Change::Began(first)), (51, Change::Ended(end)), (61, Change::Began(second))] => {
                assert_eq!((first.oldest, first.messages), (STALL_AFTER, 11));
                assert_eq!((end.lasted, end.acknowledged), (Duration::from_secs(50), true));
                assert_eq!((second.oldest, second.messages), (Duration::from_secs(51), 12));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_socket_that_is_over_is_stalled_no_longer() {
        let changes = reported((0..20).map(|_| 3..9).chain(std::iter::once(3..3)));
        match &changes[..] {
            [(11, Change::Began(_)), (21, Change::Ended(end))] => assert!(!end.acknowledged),
            other => panic!("{other:?}"),
        }
    }
}
