//! One session on one transport at a time, driven by the calls on it.
//!
//! `send`, `recv` and `flush` run the session and the link in the caller, behind one short lock; no
//! task is crossed. While a caller waits it watches the link itself, on its own runtime or thread.
//!
//! The connection's [driver] on the background runtime runs only when no caller watches, after a
//! grace period. So acknowledgements and heartbeats never depend on the application.
//!
//! ```text
//!   calls ─▶ poll ─▶ Connection ─ lock ─▶ State ─▶ Session, Transport
//!                        ▲
//!   driver ──────────────┘
//! ```
//! A connection knows numbers and bytes. The layer above makes the application's types of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use open_channel_proto::{
    Attachment, ChannelKey, Features, Frame, Hello, Limits, ResetCode, Session, SocketId, Welcome,
};
use open_channel_ring::{Mapped, ProcessLocal, RingWatch};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::connection::silence::Silence;
use crate::connection::state::State;
use crate::connection::tap::TapEnd;
use crate::connection::transport::ring::Ring;
use crate::connection::waiters::Waiters;
use crate::error::Error;
use crate::link::{Link, LinkKind, PeerInfo};

mod age;
mod budget;
mod calls;
pub(crate) mod driver;
#[cfg(feature = "metrics")]
pub(crate) mod meter;
mod polling;
mod recalls;
pub(crate) mod received;
mod returned;
mod returning;
pub(crate) mod silence;
pub(crate) mod stall;
mod state;
pub(crate) mod stats;
pub(crate) mod tap;
#[cfg(test)]
mod tests;
mod traffic;
mod transport;
pub(crate) mod waiters;
mod watching;

pub(crate) use crate::connection::state::HostCheck;

#[derive(Debug)]
pub(crate) struct Connection {
    state: ProcessLocal<Mutex<State>>,
    /// Replaces `state` in a forked child: a connection that is over.
    inherited: OnceLock<Box<Mutex<State>>>,
    /// Shared with `state`, for calls without the lock.
    waiters: Arc<Waiters>,
    /// Apart from `state`, because it is checked at intervals.
    silence: Mutex<Silence>,
    /// The link was lost or the session is over: notifies its supervisor on the background runtime.
    pub(crate) changed: Notify,
    /// A message came back as undeliverable, or no message will any more.
    returned: Notify,
    background: Handle,
    id: SocketId,
    limits: Limits,
    /// Whether it ends with the first host that it met.
    pinned: AtomicBool,
    #[cfg(feature = "metrics")]
    meter: OnceLock<Arc<meter::Meter>>,
}

#[cfg(feature = "metrics")]
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.get()
            && self.check_process().is_ok()
        {
            meter.retire(&self.stats());
        }
    }
}

/// The lock.
impl Connection {
    pub(crate) fn new(
        session: Session,
        host_check: Option<HostCheck>,
        background: Handle,
    ) -> Arc<Self> {
        let (id, limits) = (session.id(), session.limits());
        let waiters = Arc::new(Waiters::default());
        let state = State::new(session, Arc::clone(&waiters), host_check);
        Arc::new(Self {
            state: ProcessLocal::new(Mutex::new(state)),
            inherited: OnceLock::new(),
            waiters,
            silence: Mutex::default(),
            changed: Notify::new(),
            returned: Notify::new(),
            background,
            id,
            limits,
            pinned: AtomicBool::new(false),
            #[cfg(feature = "metrics")]
            meter: OnceLock::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.state.get().unwrap_or_else(|| self.inherited());
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn inherited(&self) -> &Mutex<State> {
        self.inherited.get_or_init(|| {
            let session = Session::new(self.id, self.limits);
            let mut state = State::new(session, Arc::default(), None);
            state.failed = Some(Error::Forked);
            Box::new(Mutex::new(state))
        })
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.state.is_inherited() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Runs `act` on the locked state. Then wakes waiters, driver and supervisor as needed.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.tend(self.lock(), act)
    }

    fn tend<T>(&self, mut state: MutexGuard<'_, State>, act: impl FnOnce(&mut State) -> T) -> T {
        let had_link = state.transport.is_some();
        let result = act(&mut state);
        state.drop_finished_link();
        let lost = had_link && state.transport.is_none();
        let call_driver = state.needs_driver();
        let returned = std::mem::take(&mut state.returned.news);
        if returned {
            let waker = state.returned.waker.take();
            state.wakes.add(waker);
        }
        let woken = state.wakes.take();
        drop(state);
        if call_driver || lost {
            self.waiters.call_driver();
        }
        if lost {
            self.changed.notify_one();
        }
        if returned {
            self.returned.notify_waiters();
        }
        woken.into_iter().for_each(Waker::wake);
        result
    }
}

/// Its life, from link to link.
impl Connection {
    /// Its numbers go to this meter when it is gone. The first one stays.
    #[cfg(feature = "metrics")]
    pub(crate) fn meter(&self, meter: &Arc<meter::Meter>) {
        let _ = self.meter.set(Arc::clone(meter));
    }

    /// Lets the taps on its host see its messages. Called before it has a link.
    pub(crate) fn allow_taps(&self, tap: TapEnd) {
        self.lock().tap = Some(tap);
    }

    pub(crate) fn hello(&self, channel: ChannelKey) -> Hello {
        self.lock().session.hello(channel, Features::default())
    }

    /// Attaches the peer's side to a link that the host has welcomed. To be
    /// [driven](driver::drive).
    fn attach(
        &self,
        link: Arc<Link>,
        ring: Option<Ring>,
        welcome: &Welcome,
    ) -> Result<Attachment, Error> {
        self.with(|state| {
            let attached = state.session.attach(welcome);
            let attachment = attached.map_err(|error| Error::Protocol(error.to_string()))?;
            state.take_back();
            state.take_transport(link, ring, self.background.clone());
            Ok(attachment)
        })
    }

    /// Attaches the host's side to a link, the first one or a later one. To be
    /// [driven](driver::drive).
    fn begin(&self, link: Arc<Link>, ring: Option<Ring>) {
        self.with(|state| state.take_transport(link, ring, self.background.clone()));
    }

    /// The peer comes with a new link. Returns the answer, which is to be sent before anything
    /// else.
    pub(crate) fn resume(&self, hello: &Hello, version: u16) -> Result<Welcome, Error> {
        self.with(|state| {
            state.lose_link();
            let welcome = state.session.resume(hello, version);
            state.take_back();
            welcome.map_err(|error| Error::Protocol(error.to_string()))
        })
    }

    /// The host is gone: takes the messages that have arrived, then drops the link.
    pub(crate) fn abandon_link(&self) {
        self.with(State::drain_and_lose);
    }

    /// Pins it to its host, with which it ends from here on.
    pub(crate) fn pin(&self) {
        if self.check_process().is_err() {
            return;
        }
        self.pinned.store(true, Ordering::Relaxed);
        self.call_supervisor();
    }

    /// The only host that it may have, if it is pinned to one.
    pub(crate) fn only_host(&self) -> Option<u64> {
        let generation = self.pinned.load(Ordering::Relaxed).then(|| self.generation());
        generation.filter(|generation| *generation > 0)
    }

    /// Ends it for this side with `error`.
    pub(crate) fn fail(&self, error: Error) {
        self.with(|state| {
            state.failed.get_or_insert(error);
            state.lose_link();
            state.wake_all();
        });
    }

    /// The application gets no more messages. It may still answer those that it has.
    pub(crate) fn stop_delivery(&self) {
        self.with(|state| {
            state.delivery.handing_over = true;
            state.wake_all();
        });
    }

    /// Sends the last frame of a host that hands over. If the link takes it later, the task that
    /// writes it is returned.
    pub(crate) fn say_go_away(&self) -> Option<JoinHandle<()>> {
        self.with(|state| {
            state.write_all();
            if let Some(transport) = &mut state.transport {
                transport.frames.add_last(&Frame::GoAway);
                state.write();
            }
            state.failed.get_or_insert(Error::HandedOver);
            state.lose_link();
            state.wake_all();
            state.lingering.take()
        })
    }

    /// Ends it for both sides. Messages that were not acknowledged are given up.
    pub(crate) fn reset(&self, code: ResetCode, reason: &str) {
        self.with(|state| {
            if state.session.closed().is_some() {
                // This side has closed it now, even if the other side did so before.
                state.failed.get_or_insert(Error::Closed);
            } else if !state.delivery.handing_over {
                // The other side learns first which messages were handled.
                state.write_all();
                state.session.reset(code, reason);
                state.write();
                state.wake_all();
            }
        });
        self.call_supervisor();
    }

    /// Notifies the supervisor on the background runtime, which a forked child does not have.
    fn call_supervisor(&self) {
        if self.check_process().is_ok() {
            self.changed.notify_one();
        }
    }
}

/// Getters.
impl Connection {
    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    /// Whether it is the host's end.
    pub(crate) fn is_accepted(&self) -> bool {
        self.lock().delivery.host_check.is_some()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.lock().transport.is_some()
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.lock().link().cloned()
    }

    /// The number of links that it has had.
    pub(crate) fn links(&self) -> u64 {
        self.lock().transports
    }

    /// Watches the place in the ring where the next message appears.
    pub(crate) fn message_watch(&self) -> Option<RingWatch<Mapped>> {
        self.lock().transport.as_ref().and_then(|transport| transport.message_watch())
    }

    pub(crate) fn link_kind(&self) -> Option<LinkKind> {
        self.lock().link().map(|link| link.kind())
    }

    pub(crate) fn peer(&self) -> Option<PeerInfo> {
        self.lock().link().map(|link| link.peer().clone())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().session.generation()
    }

    pub(crate) fn max_message(&self) -> usize {
        self.lock().session.max_message()
    }

    /// Whether the link's descriptor is to be watched for room to write, too.
    pub(crate) fn waits_to_write(&self) -> bool {
        let state = self.lock();
        state.is_write_blocked() && !state.has_ring()
    }

    /// Whether it is over, with nothing left to send.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.failed.is_some() || state.session.closed().is_some() && state.transport.is_none()
    }

    /// Whether its host hands over, so that its peer goes on with the next host.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.lock().delivery.handing_over
    }

    /// Whether no new link is needed: both directions have ended, and no message waits.
    pub(crate) fn needs_no_link(&self) -> bool {
        let state = self.lock();
        let session = &state.session;
        session.is_finished() && session.is_remote_finished() && session.holds_no_message()
    }

    /// The number of messages that are accepted and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.lock().session.messages_unacknowledged()
    }

    /// Whether the other side's direction has ended, and the application has seen the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().delivery.ended
    }

    /// Whether every message that the application took is handled and all its replies are
    /// acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.with(|state| state.take_releases());
        let state = self.lock();
        state.failed.is_some()
            || state.session.closed().is_some()
            || state.delivery.held == 0 && state.session.is_flushed()
    }
}
