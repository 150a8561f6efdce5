//! The driver's part of a connection: when it is needed, and its actions.

use super::{DriverState, State};
use crate::connection::transport::ring::is_ending;
use crate::connection::waiters::Interest;

impl State {
    /// Whether to call the driver, after a call on the connection.
    pub(in crate::connection) fn needs_driver(&mut self) -> bool {
        let needed = match &mut self.transport {
            None => false,
            Some(transport) => match transport.ring() {
                None => self.stream_needs_driver(),
                Some(ring) => match self.driver {
                    DriverState::Dormant => self.needs_ring_watched() || self.has_unwritten(),
                    DriverState::Armed => false,
                    // A caller that silenced the doorbell may have consumed the ring that the
                    // driver waits for.
                    DriverState::Watching => ring.must_announce(&self.session),
                },
            },
        };
        if needed {
            self.driver = DriverState::Armed;
        }
        needed
    }

    fn stream_needs_driver(&self) -> bool {
        let Some(transport) = &self.transport else { return false };
        let waiting = self.has_unwritten() || self.session.is_sendable();
        match self.driver {
            DriverState::Armed => false,
            DriverState::Watching => {
                waiting && !(transport.frames.is_blocked() && transport.frames.room_watched)
            }
            DriverState::Dormant => waiting || !self.wakes.waiters.are_watching(),
        }
    }

    fn has_unwritten(&self) -> bool {
        let flushed = self.transport.as_ref().is_none_or(|transport| transport.frames.is_flushed());
        self.session.ack_pending() || !flushed || self.session.has_returned()
    }

    /// Whether the driver has to watch the ring, because callers may not.
    fn needs_ring_watched(&self) -> bool {
        self.session.has_untransmitted()
            || is_ending(&self.session)
            || self.wakes.waiters.any_unwatching()
    }

    /// A round of the driver: writes everything out. Returns its next state.
    pub(crate) fn driven(&mut self) -> DriverState {
        self.write_all();
        if self.has_ring() {
            let watch = self.needs_ring_watched();
            self.driver = if watch { DriverState::Watching } else { DriverState::Dormant };
            return self.driver;
        }
        let blocked = self.is_write_blocked();
        let at_ease = self.wakes.waiters.are_answering() && !blocked;
        // Callers that come and go poll the link themselves before they wait.
        let busy = std::mem::take(&mut self.calls) > 0 && !blocked;
        self.driver = match (at_ease, busy) {
            (true, _) => DriverState::Dormant,
            (false, true) => DriverState::Armed,
            (false, false) => DriverState::Watching,
        };
        self.driver
    }

    /// Called before the driver watches: whether it has to watch for room to write, too.
    pub(crate) fn watch_for_room(&mut self) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        transport.frames.room_watched = transport.frames.is_blocked();
        transport.frames.room_watched
    }

    /// The driver watches the doorbell now. Takes in everything that came before.
    pub(crate) fn watch_ring(&mut self) {
        loop {
            let Self { transport: Some(transport), session, wakes, .. } = self else { return };
            let Some(ring) = transport.ring() else { return };
            ring.announce(session, wakes);
            if !self.poll_ring(Interest::Acks) || !self.has_ring() {
                return;
            }
        }
    }

    /// Polls the ring and the stream beside it.
    pub(crate) fn read_both(&mut self) {
        self.read();
        self.read_frames();
    }

    /// Whether a call waits beside a ring without watching the doorbell, so that the driver must
    /// not delay.
    pub(crate) fn is_urgent(&self) -> bool {
        self.has_ring() && self.wakes.waiters.any_unwatching()
    }
}
