//! Waiting on a ring: what to look at, what the other side rings for, and whom it concerns.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use open_channel_ring::{Mapped, Position, RingWatch, Spin};

use crate::connection::WakeMode;
use crate::connection::inner::{Inner, Read};
use crate::waiters::{Interest, Waiters};

/// What a caller looks at while it spins, without the connection's lock.
pub(in crate::connection) struct Spinning {
    watch: RingWatch<Mapped>,
    spin: Spin,
    awaited: Awaited,
    at_most: Duration,
    /// The number of the link whose ring it looks at.
    link: u64,
}

#[derive(Debug, Clone, Copy)]
enum Awaited {
    Message,
    Acknowledgement,
    Room,
}

impl Spinning {
    pub(in crate::connection) fn run(&mut self) {
        self.spin.until(self.at_most, || self.watch.is_due());
    }
}

/// The longest that a task spins, which holds up the other tasks of its thread.
const TASK: Duration = Duration::from_micros(200);
/// If one of those is a connection's, too, and has spun since.
const BUSY_TASK: Duration = Duration::from_micros(20);
/// Of who waits for room, which comes by half a ring: there is little to win.
const ROOM: Duration = Duration::from_micros(50);

thread_local! {
    /// The connection for which a task of this thread has spun last.
    static LAST_SPUN: Cell<*const Waiters> = const { Cell::new(std::ptr::null()) };
}

fn longest_of_a_task(connection: *const Waiters) -> Duration {
    let last = LAST_SPUN.replace(connection);
    if last.is_null() || last == connection { TASK } else { BUSY_TASK }
}

impl Inner {
    /// Looks at the ring in both directions; whoever waits for what is found is woken. `true` when it is what somebody
    /// with this interest waits for.
    fn look_both_ways(&mut self, interest: Interest) -> bool {
        let released = self.take_releases();
        let Some(ring) = &mut self.ring else { return true };
        // What was claimed together with what a caller took lies in the session.
        let ready = self.session.is_readable() || ring.consumer.is_ready();
        if ready && !ring.told {
            ring.told = true;
            self.waiters.collect(Interest::Recv, self.polling, &mut self.woken);
        }
        match interest {
            // What was announced may be used up, while more is to be announced: another round does that.
            Interest::Recv => ready || released && (self.session.has_untransmitted() || self.is_ending()),
            Interest::Acks => released,
        }
    }

    pub(in crate::connection) fn read_ring(&mut self) -> Read {
        if self.look_both_ways(Interest::Recv) { Read::Last } else { Read::Nothing }
    }

    /// Looks at the ring and at the stream beside it.
    pub(crate) fn read_both(&mut self) {
        self.read_ring();
        self.read_stream();
    }

    /// Notes that somebody waits for the acknowledgement of everything before `next`.
    pub(in crate::connection) fn await_acknowledgement(&mut self, next: u64) {
        if let Some(ring) = &mut self.ring {
            let end = self.session.stored_end(next);
            ring.room_awaited = end == 0;
            if ring.room_awaited {
                ring.wait_for_room();
            } else {
                ring.wait_for(end);
            }
        }
    }

    /// Notes that somebody waits for room.
    pub(in crate::connection) fn await_room(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.room_awaited = true;
            ring.wait_for_room();
        }
    }

    /// Asks the other side to ring for what is waited for; to be followed by a look.
    fn announce(&mut self) {
        let ending = self.is_ending();
        let Some(ring) = &mut self.ring else { return };
        if ending {
            ring.wait_for(ring.producer.tail().bytes());
        }
        if self.session.has_untransmitted() {
            ring.wait_for_room();
        }
        ring.consumer.prepare_park();
        if ring.awaited != 0 {
            let rung = ring.producer.prepare_park(Position::new(ring.awaited));
            let asked_before = std::mem::replace(&mut ring.announced, ring.awaited) != 0;
            if asked_before && rung {
                // Perhaps before all that is waited for was released, and whoever was woken may not be who waits for it.
                self.waiters.collect(Interest::Acks, self.polling, &mut self.woken);
            }
        }
    }

    /// Whether something waits for the other side to release what it has, and that side does not know.
    pub(in crate::connection) fn must_announce(&self) -> bool {
        let Some(ring) = &self.ring else { return false };
        let unreleased = ring.producer.tail().bytes() > ring.released;
        unreleased
            && (ring.awaited == 0 || ring.announced != ring.awaited)
            && (self.session.has_untransmitted() || self.is_ending())
    }

    /// Once this direction has ended, nobody may be left who waits for it to be acknowledged.
    fn is_ending(&self) -> bool {
        self.session.is_finished() && !self.session.is_flushed()
    }

    /// Before a call goes to sleep: what to look at for a while, if that tends to pay.
    pub(in crate::connection) fn spinning(&mut self, mode: WakeMode, interest: Interest) -> Option<Spinning> {
        let ring = self.ring.as_mut().filter(|_| mode.may_spin())?;
        let (awaited, watch, spin) = match interest {
            Interest::Recv => {
                let watch = match ring.watch.take() {
                    Some(watch) => ring.consumer.watch_again(watch),
                    None => ring.consumer.watch(),
                };
                ring.recv_spin.expect_soon(ring.producer.found_awake());
                (Awaited::Message, watch, &ring.recv_spin)
            }
            Interest::Acks if ring.awaited == 0 => return None,
            Interest::Acks => {
                let watch = ring.producer.watch(Position::new(ring.awaited));
                if ring.room_awaited {
                    (Awaited::Room, watch, &ring.room_spin)
                } else {
                    (Awaited::Acknowledgement, watch, &ring.ack_spin)
                }
            }
        };
        let spin = spin.clone();
        let enough = if matches!(awaited, Awaited::Room) { ROOM } else { Duration::MAX };
        let at_most = match mode {
            WakeMode::Task => enough.min(longest_of_a_task(Arc::as_ptr(&self.waiters))),
            _ => enough,
        };
        Some(Spinning { watch, spin, awaited, at_most, link: self.links })
    }

    /// The ring learns from how it went.
    pub(in crate::connection) fn spun(&mut self, spinning: Spinning) {
        self.owed.add_spin(spinning.spin.took());
        if let Some(ring) = &mut self.ring
            && spinning.link == self.links
        {
            match spinning.awaited {
                Awaited::Message => ring.recv_spin = spinning.spin,
                Awaited::Acknowledgement => ring.ack_spin = spinning.spin,
                Awaited::Room => ring.room_spin = spinning.spin,
            }
            ring.watch = Some(spinning.watch);
        }
    }

    /// A call that has had a seat, and so perhaps slept, has what it waited for. Of waits for room the spin is not told, which keeps
    /// early probes off them.
    pub(in crate::connection) fn note_wake_up(&mut self, interest: Interest) {
        let Some(ring) = &mut self.ring else { return };
        match interest {
            Interest::Recv => ring.recv_spin.woken(),
            Interest::Acks if ring.room_awaited => {}
            Interest::Acks => ring.ack_spin.woken(),
        }
    }

    /// Looks at the ring before a call goes to sleep; `true` when something happened.
    pub(in crate::connection) fn look_at_ring(&mut self, mode: WakeMode, interest: Interest) -> bool {
        let Some(link) = self.link.clone() else { return false };
        if mode == WakeMode::Task && self.hear_doorbell() {
            return true;
        }
        if matches!(mode, WakeMode::Thread | WakeMode::Loop) {
            // Before the announcement, which a late ring for what was found long ago uses up: that ring has to stay. Others
            // may have been meant by what this silences: the look below finds that too, and wakes them.
            link.silence();
        }
        self.announce();
        self.look_both_ways(interest)
    }

    /// Whether the background thread has to watch the ring, because callers may not.
    pub(in crate::connection) fn needs_ring_watched(&self) -> bool {
        self.session.has_untransmitted() || self.is_ending() || self.waiters.has_passive()
    }

    /// The background thread watches the doorbell now; takes in what there was already.
    pub(crate) fn attend_ring(&mut self) {
        loop {
            self.announce();
            if !self.look_both_ways(Interest::Acks) || self.ring.is_none() {
                return;
            }
        }
    }

    /// Whether a call waits that does not watch the doorbell itself, so that the background thread should not dally.
    pub(crate) fn has_passive_waiters(&self) -> bool {
        self.ring.is_some() && self.waiters.has_passive()
    }
}
