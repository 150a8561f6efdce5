//! Polls the link for a call that is about to wait.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use super::State;
use crate::connection::transport::frames::Read;
use crate::connection::transport::reactor::Reactor;
use crate::connection::transport::ring::Spinning;
use crate::connection::waiters::{Interest, WakeMode};

impl State {
    /// Registers a waiting call with the link, if it can watch the link itself.
    pub(in crate::connection) fn watch_link(&mut self, mode: WakeMode) -> bool {
        let Self { transport: Some(transport), wakes, .. } = self else { return false };
        match mode {
            WakeMode::Thread | WakeMode::EventLoop => return true,
            WakeMode::Woken => return false,
            WakeMode::Task => {}
        }
        let Ok(runtime) = Handle::try_current() else { return false };
        if transport.reactor.as_ref().is_some_and(|reactor| reactor.is_of(&runtime)) {
            return true;
        }
        // The driver watches for the calls that wait on the other runtime from here on.
        transport.reactor = None;
        wakes.waiters.stop_watching();
        transport.reactor = Reactor::register(&transport.link, &runtime);
        transport.reactor.is_some()
    }

    /// Polls the link; `true` if something happened.
    pub(in crate::connection) fn poll_link(&mut self, mode: WakeMode, interest: Interest) -> bool {
        if self.has_ring() {
            return self.poll_beside_ring(mode, interest);
        }
        if mode.is_level_triggered() { self.poll_stream() } else { self.poll_reactor() }
    }

    /// For a caller that watches the descriptor by itself.
    fn poll_stream(&mut self) -> bool {
        if self.is_write_blocked() {
            self.writable();
        }
        let Some(transport) = &mut self.transport else { return false };
        // After a short read there is no more; new bytes wake the caller's next wait.
        if std::mem::take(&mut transport.frames.drained) {
            return false;
        }
        let read = self.read();
        if let Some(transport) = &mut self.transport {
            transport.frames.drained = read == Read::Last;
        }
        read != Read::Nothing
    }

    fn poll_reactor(&mut self) -> bool {
        self.wakes.waiters.answer();
        let Some(reactor) = self.take_reactor() else { return false };
        let waker = Waker::from(Arc::clone(&self.wakes.waiters));
        let mut cx = Context::from_waker(&waker);
        let mut progress = false;
        if self.is_write_blocked()
            && let Poll::Ready(Ok(mut guard)) = reactor.poll_writable(&mut cx)
        {
            self.writable();
            if self.is_write_blocked() {
                guard.clear_ready();
            }
            progress = true;
        }
        loop {
            match reactor.poll_readable(&mut cx) {
                Poll::Ready(Ok(mut guard)) => {
                    let read = self.read();
                    if read != Read::More {
                        guard.clear_ready();
                    }
                    // A pipe stays ready until a read finds nothing.
                    if read == Read::Nothing && self.transport.is_some() {
                        continue;
                    }
                    progress = true;
                }
                // The runtime that it was registered with is gone: the next round uses the present
                // one.
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => {}
            }
            break;
        }
        self.put_reactor_back(reactor);
        progress
    }

    fn take_reactor(&mut self) -> Option<Reactor> {
        self.transport.as_mut()?.reactor.take()
    }

    /// Unless there is another link by now.
    fn put_reactor_back(&mut self, reactor: Reactor) {
        if let Some(transport) = &mut self.transport
            && Arc::ptr_eq(&transport.link, reactor.link())
        {
            transport.reactor = Some(reactor);
        }
    }

    fn poll_beside_ring(&mut self, mode: WakeMode, interest: Interest) -> bool {
        if mode == WakeMode::Task && self.has_rung() {
            return true;
        }
        let Self { transport: Some(transport), session, wakes, .. } = self else { return false };
        if mode.is_level_triggered() {
            // Silenced before the announcement. A late wake-up for an earlier wait would use up the
            // announcement, and has to stay. If a silenced wake-up was for other waiters, the poll
            // below finds its cause, too, and wakes them.
            transport.link.silence();
        }
        if let Some(ring) = transport.ring() {
            ring.announce(session, wakes);
        }
        self.poll_ring(interest)
    }

    /// Whether the doorbell beside a ring woke the calls whose runtime watches it.
    fn has_rung(&mut self) -> bool {
        self.wakes.waiters.answer();
        let Some(reactor) = self.take_reactor() else { return false };
        let waker = Waker::from(Arc::clone(&self.wakes.waiters));
        let rung = match reactor.poll_readable(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok(mut guard)) => {
                guard.clear_ready();
                true
            }
            // The runtime that it was registered with is gone: the next round uses the present one.
            Poll::Ready(Err(_)) => return true,
            Poll::Pending => false,
        };
        self.put_reactor_back(reactor);
        rung
    }

    /// Polls the ring in both directions. `true` if a call with this interest is concerned, or the
    /// link is lost.
    pub(super) fn poll_ring(&mut self, interest: Interest) -> bool {
        let Self { transport: Some(transport), session, wakes, .. } = self else { return true };
        let Some(ring) = transport.ring() else { return true };
        let found = ring.poll(session, wakes, interest);
        self.or_lose_link(found).unwrap_or(true)
    }

    /// A call waits for the acknowledgement of everything before `next`.
    pub(in crate::connection) fn await_acknowledgement(&mut self, next: u64) {
        let Self { transport: Some(transport), session, .. } = self else { return };
        if let Some(ring) = transport.ring() {
            ring.await_acknowledgement(session, next);
        }
    }

    /// A call waits for room.
    pub(in crate::connection) fn await_room(&mut self) {
        if let Some(ring) = self.transport.as_mut().and_then(|transport| transport.ring()) {
            ring.await_room();
        }
    }

    /// A spin before a call goes to sleep, if spins tend to pay.
    pub(in crate::connection) fn spinning(
        &mut self,
        mode: WakeMode,
        interest: Interest,
    ) -> Option<Spinning> {
        if !mode.may_spin() {
            return None;
        }
        let waiters = Arc::as_ptr(&self.wakes.waiters);
        let number = self.transports;
        self.transport.as_mut()?.ring()?.spinning(mode, interest, waiters, number)
    }

    /// The ring learns from the result of the spin.
    pub(in crate::connection) fn spun(&mut self, spinning: Spinning) {
        self.traffic.budget.add_spin(spinning.took());
        if spinning.transport == self.transports
            && let Some(ring) = self.transport.as_mut().and_then(|transport| transport.ring())
        {
            ring.spun(spinning);
        }
    }

    /// A call that has waited, and so perhaps slept, is ready.
    pub(in crate::connection) fn note_wake_up(&mut self, interest: Interest) {
        if let Some(ring) = self.transport.as_mut().and_then(|transport| transport.ring()) {
            ring.note_wake_up(interest);
        }
    }
}
