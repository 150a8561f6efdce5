//! Waiting on a ring: spins, requests for wake-ups, and notifications.

use std::cell::Cell;
use std::time::Duration;

use open_channel_proto::Session;
use open_channel_ring::{Mapped, Position, RingWatch, Spin};

use super::Ring;
use crate::connection::transport::error::LinkError;
use crate::connection::waiters::{Interest, Waiters, WakeMode, Wakes};

/// A spin of a caller, without the connection's lock.
pub(crate) struct Spinning {
    watch: RingWatch<Mapped>,
    spin: Spin,
    awaited: Awaited,
    at_most: Duration,
    /// The number of the transport whose ring it watches.
    pub(crate) transport: u64,
}

#[derive(Debug, Clone, Copy)]
enum Awaited {
    Message,
    Acknowledgement,
    Room,
}

impl Spinning {
    pub(crate) fn run(&mut self) {
        self.spin.until(self.at_most, || self.watch.is_due());
    }

    pub(crate) fn took(&self) -> Duration {
        self.spin.took()
    }
}

/// The longest spin of a task, which holds up the other tasks of its thread.
const TASK: Duration = Duration::from_micros(200);
/// The same, if another connection's task has spun on this thread since.
const BUSY_TASK: Duration = Duration::from_micros(20);
/// The longest spin for room, which comes half a ring at a time: a longer one gains little.
const ROOM: Duration = Duration::from_micros(50);

thread_local! {
    /// The connection for which a task of this thread has spun last.
    static LAST_SPUN: Cell<*const Waiters> = const { Cell::new(std::ptr::null()) };
}

fn longest_of_a_task(connection: *const Waiters) -> Duration {
    let last = LAST_SPUN.replace(connection);
    if last.is_null() || last == connection { TASK } else { BUSY_TASK }
}

/// Once this direction has ended, no call may be left that waits for its acknowledgement.
pub(crate) fn is_ending(session: &Session) -> bool {
    session.is_finished() && !session.is_flushed()
}

impl Ring {
    /// Polls the ring in both directions, and notifies the calls that wait for the results. `true`
    /// if a call with this interest waits for one.
    pub(crate) fn poll(
        &mut self,
        session: &mut Session,
        wakes: &mut Wakes,
        interest: Interest,
    ) -> Result<bool, LinkError> {
        let released = self.take_releases(session, wakes)?;
        // Messages that were claimed together with an earlier one are in the session.
        let ready = session.is_readable() || self.consumer.is_ready();
        if ready && !self.notified {
            self.notified = true;
            wakes.notify(Interest::Recv);
        }
        Ok(match interest {
            // The announced release may have come, while more is to be announced: another round
            // does that.
            Interest::Recv => {
                ready || released && (session.has_untransmitted() || is_ending(session))
            }
            Interest::Acks => released,
        })
    }

    /// A call waits for the acknowledgement of everything before `next`.
    pub(crate) fn await_acknowledgement(&mut self, session: &Session, next: u64) {
        let end = session.stored_end(next);
        self.sending.room_awaited = end == 0;
        if self.sending.room_awaited {
            self.wait_for_room();
        } else {
            self.sending.wait_for(end);
        }
    }

    /// A call waits for room.
    pub(crate) fn await_room(&mut self) {
        self.sending.room_awaited = true;
        self.wait_for_room();
    }

    /// Waits for half of the unreleased bytes: early enough to go on, and seldom enough. In an
    /// empty ring it waits for the first release.
    fn wait_for_room(&mut self) {
        let halfway = self.producer.halfway().bytes();
        self.sending.wait_for(halfway.max(self.sending.released + 1));
    }

    /// Asks the other side to ring the doorbell at the awaited releases. A poll has to follow.
    pub(crate) fn announce(&mut self, session: &Session, wakes: &mut Wakes) {
        if is_ending(session) {
            self.sending.wait_for(self.producer.tail().bytes());
        }
        if session.has_untransmitted() {
            self.wait_for_room();
        }
        self.consumer.prepare_park();
        let awaited = self.sending.awaited;
        if awaited != 0 {
            let rung = self.producer.prepare_park(Position::new(awaited));
            let asked_before = std::mem::replace(&mut self.sending.announced, awaited) != 0;
            if asked_before && rung {
                // The wake-up may have come before the last awaited release, and the call that it
                // woke may wait for another one.
                wakes.notify(Interest::Acks);
            }
        }
    }

    /// Whether a release is waited for without a request for a wake-up.
    pub(crate) fn must_announce(&self, session: &Session) -> bool {
        let sending = &self.sending;
        let unreleased = self.producer.tail().bytes() > sending.released;
        unreleased
            && (sending.awaited == 0 || sending.announced != sending.awaited)
            && (session.has_untransmitted() || is_ending(session))
    }

    /// A spin before a call goes to sleep, if spins tend to pay.
    pub(crate) fn spinning(
        &mut self,
        mode: WakeMode,
        interest: Interest,
        waiters: *const Waiters,
        transport: u64,
    ) -> Option<Spinning> {
        let (awaited, watch, spin) = match interest {
            Interest::Recv => {
                let watch = match self.watch.take() {
                    Some(watch) => self.consumer.watch_again(watch),
                    None => self.consumer.watch(),
                };
                self.recv_spin.expect_soon(self.producer.found_awake());
                (Awaited::Message, watch, &self.recv_spin)
            }
            Interest::Acks if self.sending.awaited == 0 => return None,
            Interest::Acks => {
                let watch = self.producer.watch(Position::new(self.sending.awaited));
                if self.sending.room_awaited {
                    (Awaited::Room, watch, &self.room_spin)
                } else {
                    (Awaited::Acknowledgement, watch, &self.ack_spin)
                }
            }
        };
        let spin = spin.clone();
        let enough = if matches!(awaited, Awaited::Room) { ROOM } else { Duration::MAX };
        let at_most = match mode {
            WakeMode::Task => enough.min(longest_of_a_task(waiters)),
            _ => enough,
        };
        Some(Spinning { watch, spin, awaited, at_most, transport })
    }

    /// The next spin learns from the result of this one.
    pub(crate) fn spun(&mut self, spinning: Spinning) {
        match spinning.awaited {
            Awaited::Message => self.recv_spin = spinning.spin,
            Awaited::Acknowledgement => self.ack_spin = spinning.spin,
            Awaited::Room => self.room_spin = spinning.spin,
        }
        self.watch = Some(spinning.watch);
    }

    /// A call that has waited, and so perhaps slept, is ready. The spin for room does not learn
    /// from it, so that it does not probe such waits early.
    pub(crate) fn note_wake_up(&mut self, interest: Interest) {
        match interest {
            Interest::Recv => self.recv_spin.woken(),
            Interest::Acks if self.sending.room_awaited => {}
            Interest::Acks => self.ack_spin.woken(),
        }
    }
}
