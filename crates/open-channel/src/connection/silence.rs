//! Silence: how long messages stay unacknowledged on the other side, or unhandled on this one.

use std::ops::Range;
use std::time::Duration;

use open_channel_proto::SocketId;

use crate::connection::age::Age;
use crate::connection::stall::{Stall, StallEnd};

/// The results of the regular checks of a connection.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The time of the last check.
    now: Duration,
    unacknowledged: Age,
    unhandled: Age,
    /// Reported, and not over.
    stall: Option<Stalled>,
}

#[derive(Debug)]
struct Stalled {
    stall: Stall,
    /// The number of messages that were acknowledged at that time.
    acknowledged: u64,
    /// The time of the check that found the last of them acknowledged.
    since: Duration,
}

/// A change that a check reports.
#[derive(Debug)]
pub(crate) enum Change {
    Began(Stall),
    Ended(StallEnd),
}

/// The open messages of both directions.
pub(super) struct Open {
    /// The range of the unacknowledged ones; some of them may be withdrawn.
    pub(super) unacknowledged: Range<u64>,
    /// Their number.
    pub(super) messages: u64,
    /// The number of acknowledged ones.
    pub(super) acknowledged: u64,
    pub(super) unhandled: Range<u64>,
    pub(super) bytes: usize,
    pub(super) generation: u64,
}

impl Silence {
    /// A check at `now`; returns the change to report.
    pub(super) fn check(
        &mut self,
        now: Duration,
        open: &Open,
        stall_after: Duration,
        socket: SocketId,
        accepted: bool,
    ) -> Option<Change> {
        self.now = now;
        self.unacknowledged.check(now, &open.unacknowledged, open.acknowledged);
        self.unhandled.check(now, &open.unhandled, open.unhandled.start);
        self.change(open, stall_after, socket, accepted)
    }

    pub(super) fn stall(&self) -> Option<&Stall> {
        self.stall.as_ref().map(|stalled| &stalled.stall)
    }

    pub(super) fn oldest_unacknowledged(&self, open: &Open) -> Option<Duration> {
        self.unacknowledged.of_oldest(self.now, &open.unacknowledged)
    }

    pub(super) fn oldest_unhandled(&self, open: &Open) -> Option<Duration> {
        self.unhandled.of_oldest(self.now, &open.unhandled)
    }

    /// The time without progress, while that is a stall. A stall with progress since the last check
    /// is about to be over.
    pub(super) fn stalled(&self, open: &Open) -> Option<Duration> {
        let stall = self.stall.as_ref();
        let stall = stall.filter(|stall| stall.acknowledged == open.acknowledged);
        stall.map(|stall| self.now.saturating_sub(stall.since))
    }

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
            return Some(Change::Ended(StallEnd {
                socket,
                accepted,
                lasted,
                acknowledged: !unmoved(&over),
            }));
        }
        // A message that waited longer may have been taken back.
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

    /// The reports of one check per second when these messages are unacknowledged.
    fn reported(open: impl IntoIterator<Item = Range<u64>>) -> Vec<(u64, Change)> {
        let mut silence = Silence::default();
        let mut changes = Vec::new();
        for (second, unacknowledged) in (1..).zip(open) {
            silence.now = Duration::from_secs(second);
            let Range { start, end } = unacknowledged;
            silence.unacknowledged.check(silence.now, &unacknowledged, start);
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
