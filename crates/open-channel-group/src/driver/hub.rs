//! The switchboard in the process that hosts, and the sockets of its members.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use open_channel::hosting::{self, Tenure};
use open_channel::{Error as ChannelError, Message, Socket};
use tokio::sync::{Notify, watch};

use super::clock::{self, sleep_until};
use super::directory::{Directory, Life};
use super::owned::own;
use crate::core::{Limits, LinkId, MemberId, Start, Switchboard};

/// Messages that are taken together, before others of the background thread have a turn.
const BATCH: usize = 128;
/// Between two looks at the members that a new host waits for.
const LOOK: Duration = Duration::from_millis(10);

/// What a switchboard needs of the member in its own process.
pub(super) trait Seed: Send + Sync {
    /// What the host of this generation begins with.
    fn start(&self, generation: u64) -> Start;
    fn directory(&self) -> Directory;
}

/// Runs the switchboard whenever this process hosts.
pub(super) struct Hosting {
    limits: Limits,
    seed: OnceLock<Weak<dyn Seed>>,
    hub: Mutex<Option<Arc<Hub>>>,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosting").finish_non_exhaustive()
    }
}

impl Hosting {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, seed: OnceLock::new(), hub: Mutex::new(None) }
    }

    /// Sets the member of this process.
    pub(super) fn plant(&self, seed: Weak<dyn Seed>) {
        // Set once, when its driver is made.
        let _ = self.seed.set(seed);
    }

    /// How the group of this name is, if this process hosts it; as bytes, else none.
    pub(super) fn describe(&self, name: &str, most: usize) -> Bytes {
        let hub = lock(&self.hub).clone();
        let status = hub.and_then(|hub| {
            let state = hub.lock();
            state.switchboard.as_ref().map(|switchboard| switchboard.status(name, most))
        });
        status.map(|status| status.encode()).unwrap_or_default()
    }

    /// The listener of the channel.
    pub(super) async fn serve(self: Arc<Self>, socket: Socket) {
        let Some(hub) = self.hub(&socket) else { return };
        drop(self);
        hub.serve(socket).await;
    }

    /// The switchboard of the tenure in which this socket was accepted.
    fn hub(&self, socket: &Socket) -> Option<Arc<Hub>> {
        let tenure = Tenure::of(socket)?;
        let mut hub = lock(&self.hub);
        if let Some(hub) = hub.as_ref()
            && hub.tenure.generation() == tenure.generation()
        {
            return Some(Arc::clone(hub));
        }
        let seed = self.seed.get()?.upgrade()?;
        let generation = tenure.generation();
        let start = seed.start(generation);
        tracing::debug!(generation, first = matches!(start, Start::First), "a switchboard begins");
        let switchboard = Switchboard::new(generation, start, self.limits, clock::now());
        let made = Arc::new(Hub {
            tenure,
            state: Mutex::new(State {
                switchboard: Some(switchboard),
                links: BTreeMap::new(),
                last: 0,
                armed: None,
            }),
            timer: Notify::new(),
            over: watch::Sender::new(false),
        });
        if let Some(before) = hub.replace(Arc::clone(&made)) {
            before.end();
        }
        drop(hub);
        tokio::spawn(run(Arc::clone(&made), Arc::downgrade(&seed)));
        Some(made)
    }
}

/// The switchboard of one tenure.
struct Hub {
    tenure: Tenure,
    state: Mutex<State>,
    /// The next timeout is sooner than before.
    timer: Notify,
    over: watch::Sender<bool>,
}

struct State {
    /// Nothing once this process hosts no longer.
    switchboard: Option<Switchboard>,
    links: BTreeMap<LinkId, Link>,
    last: u64,
    armed: Option<Duration>,
}

struct Link {
    socket: Arc<Socket>,
    /// A message that the socket had no room for.
    outgoing: Option<Bytes>,
    /// Its task has to look at it.
    wake: Arc<Notify>,
    /// Its member broke the protocol: it ends when everything is sent.
    ending: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn end(&self) {
        self.lock().switchboard = None;
        self.over.send_replace(true);
    }

    /// Lets the switchboard do something, unless this process hosts no longer; then sends what
    /// comes of it.
    fn with(&self, act: impl FnOnce(&mut Switchboard)) {
        let mut state = self.lock();
        if state.switchboard.is_none() {
            return;
        }
        if !self.tenure.holds() {
            drop(state);
            return self.end();
        }
        let State { switchboard: Some(switchboard), links, armed, .. } = &mut *state else {
            return;
        };
        act(switchboard);
        for (&id, link) in links.iter_mut() {
            link.send(id, switchboard);
        }
        let due = switchboard.next_timeout();
        if due.is_some_and(|due| armed.is_none_or(|armed| due < armed)) {
            self.timer.notify_one();
        }
    }

    /// Serves one socket until it is over, or this process hosts no longer.
    async fn serve(self: Arc<Self>, socket: Socket) {
        let (socket, wake) = (Arc::new(socket), Arc::new(Notify::new()));
        let id = {
            let mut state = self.lock();
            state.last += 1;
            let id = LinkId(state.last);
            let link = Link {
                socket: Arc::clone(&socket),
                outgoing: None,
                wake: Arc::clone(&wake),
                ending: false,
            };
            state.links.insert(id, link);
            id
        };
        let mut over = self.over.subscribe();
        let ended = tokio::select! {
            ended = self.carry(id, &socket, &wake) => ended,
            _ = over.wait_for(|over| *over) => return,
        };
        tracing::debug!(link = %id, reason = ?ended, "a member's socket is over");
        self.lock().links.remove(&id);
        match ended {
            // The next host takes this socket on.
            Some(ChannelError::HandedOver | ChannelError::Fenced | ChannelError::Closed) => {
                self.end();
            }
            _ => self.with(|switchboard| switchboard.lost(id, clock::now())),
        }
    }

    /// Carries messages in both directions until the socket is over.
    async fn carry(&self, id: LinkId, socket: &Socket, wake: &Notify) -> Option<ChannelError> {
        let mut silent = false;
        loop {
            let blocked = {
                let state = self.lock();
                let link = state.links.get(&id)?;
                if link.ending && link.outgoing.is_none() {
                    None
                } else {
                    Some(link.outgoing.as_ref().map(Bytes::len))
                }
            };
            let Some(blocked) = blocked else {
                // The member learns why first.
                let _ = socket.finish();
                return None;
            };
            tokio::select! {
                received = socket.recv() => match received {
                    Ok(Some(message)) => {
                        silent = false;
                        self.receive(id, socket, message);
                    }
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                },
                room = hosting::room(socket, blocked.unwrap_or(0)), if blocked.is_some() => {
                    match room {
                        Ok(()) => self.with(|_| ()),
                        Err(error) => return Some(error),
                    }
                }
                stall = socket.stalled(), if !silent => {
                    silent = true;
                    if stall.is_ok() {
                        self.with(|switchboard| switchboard.silent(id, clock::now()));
                    }
                }
                () = wake.notified() => {}
            }
        }
    }

    fn receive(&self, id: LinkId, socket: &Socket, message: Message) {
        let mut violation = None;
        self.with(|switchboard| {
            let mut next = Some(message);
            let mut taken = 0;
            // None is taken out that is not handled: it would come back after those behind it.
            while let Some(message) = next {
                if let Err(error) = switchboard.receive(id, own(message), clock::now()) {
                    violation = Some(error);
                    return;
                }
                taken += 1;
                next = (taken < BATCH).then(|| socket.try_recv().ok().flatten()).flatten();
            }
        });
        if let Some(error) = violation {
            tracing::warn!(link = %id, %error, "a member broke the protocol");
            if let Some(link) = self.lock().links.get_mut(&id) {
                link.ending = true;
                link.wake.notify_one();
            }
        }
    }
}

impl Link {
    /// Sends what lies ready for it, as far as there is room.
    fn send(&mut self, id: LinkId, switchboard: &mut Switchboard) {
        let was_blocked = self.outgoing.is_some();
        while let Some(message) = self.outgoing.take().or_else(|| switchboard.poll_send(id)) {
            if let Err(refused) = self.socket.try_send(message)
                && matches!(refused.error, ChannelError::Full)
            {
                self.outgoing = Some(refused.message);
                break;
            }
            // The end of a socket is noticed by its task.
        }
        if self.outgoing.is_some() != was_blocked || self.ending {
            self.wake.notify_one();
        }
    }
}

/// The timers of a switchboard, and its look at the members that it waits for.
async fn run(hub: Arc<Hub>, seed: Weak<dyn Seed>) {
    let mut over = hub.over.subscribe();
    loop {
        let (due, is_recovering) = {
            let mut state = hub.lock();
            let Some(switchboard) = &state.switchboard else { return };
            let (due, is_recovering) = (switchboard.next_timeout(), !switchboard.is_serving());
            state.armed = due;
            (due, is_recovering)
        };
        tokio::select! {
            () = sleep_until(due) => {
                hub.lock().armed = None;
                hub.with(|switchboard| switchboard.handle_timeout(clock::now()));
            }
            () = tokio::time::sleep(LOOK), if is_recovering => {
                let Some(seed) = seed.upgrade() else { return };
                look(&hub, &seed.directory());
            }
            () = hub.timer.notified() => {}
            _ = over.wait_for(|over| *over) => return,
        }
        if is_recovering && let Some(seed) = seed.upgrade() {
            sweep(&hub, &*seed);
        }
    }
}

/// Looks which of the members that a new host waits for are dead.
fn look(hub: &Hub, directory: &Directory) {
    hub.with(|switchboard| {
        let expected: Vec<MemberId> =
            switchboard.expected().iter().map(|member| member.id).collect();
        for id in expected {
            if directory.life(id) == Life::Dead {
                tracing::debug!(member = %id, "a member that was waited for is dead");
                switchboard.gone(id, clock::now());
            }
        }
    });
}

/// Once the host serves, it removes what dead members have left behind.
fn sweep(hub: &Hub, seed: &dyn Seed) {
    let members = {
        let state = hub.lock();
        let Some(switchboard) = &state.switchboard else { return };
        if !switchboard.is_serving() {
            return;
        }
        switchboard.members()
    };
    seed.directory().sweep(&members);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
