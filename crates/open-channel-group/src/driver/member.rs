//! The driver of a member: its task on the background thread, and the lock around its state.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use open_channel::hosting;
use open_channel::{Builder, Channel, Error as ChannelError, Message, Socket};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};

use super::background;
use super::clock::{self, sleep_until};
use super::directory::Directory;
use super::hub::{Hosting, Seed};
use super::name_space::NAME_SPACE;
use super::owned::own;
use super::state::{Shown, Standing, State, random_id};
use crate::core::{Limits, Member, MemberInfo, Start};
use crate::engine::View;
use crate::error::Error;

/// Events that are kept for a receiver that does not keep up; the oldest are dropped.
pub(crate) const BACKLOG: usize = 1024;
/// Messages that are taken together, before others of the background thread have a turn.
const BATCH: usize = 128;
/// Before a socket that has ended is replaced, and between attempts at the group's directory.
const PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 40;

/// What a driver is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) channel: Builder,
    pub(crate) limits: Limits,
    pub(crate) info: MemberInfo,
}

/// The engine on a channel. It lives until it has left, or failed.
pub(crate) struct Driver {
    state: Mutex<State>,
    channel: Channel,
    patience: Duration,
    background: Handle,
    /// The task has something to do that no event of the socket tells.
    wake: Notify,
    /// Something that was full may have room, or something under way is complete.
    progress: Notify,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("channel", &self.channel.name()).finish_non_exhaustive()
    }
}

impl Driver {
    /// Opens the channel, and begins to join.
    pub(crate) fn start(setup: Setup) -> Result<Arc<Self>, Error> {
        let Setup { channel, limits, info } = setup;
        let background = background::handle()?;
        let hosting = Arc::new(Hosting::new(limits));
        let channel = {
            // The listener runs there, in the process that hosts.
            let _background = background.enter();
            let hosting = Arc::clone(&hosting);
            channel.build(move |socket| Arc::clone(&hosting).serve(socket))?
        };
        let name = channel.name().strip_prefix(NAME_SPACE).unwrap_or_default().to_owned();
        let described = Arc::clone(&hosting);
        hosting::describe_with(&channel, move |most| described.describe(&name, most));
        let member = Member::new(random_id()?, info, limits, clock::now());
        let shown = Shown {
            view: watch::Sender::new(View::default()),
            events: broadcast::Sender::new(BACKLOG),
            standing: watch::Sender::new(Standing::Joining),
        };
        let driver = Arc::new_cyclic(|this: &std::sync::Weak<Self>| {
            hosting.plant(this.clone());
            Self {
                state: Mutex::new(State::new(member, channel.connect(), shown)),
                channel,
                patience: limits.host_timeout,
                background,
                wake: Notify::new(),
                progress: Notify::new(),
            }
        });
        driver.background.spawn(Arc::clone(&driver).run());
        Ok(driver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state. Nothing may come of that.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.lock())
    }

    /// Changes the state, and does what comes of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state);
        let was_blocked = state.blocked.is_some();
        if let Err(error) = state.settle() {
            state.failed.get_or_insert(error);
        }
        state.blocked = state.send();
        let due = state.next_timeout();
        let sooner = due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed));
        let calls = sooner
            || state.blocked.is_some() && !was_blocked
            || state.failed.is_some()
            || state.left;
        let wakes = std::mem::take(&mut state.board.wakes);
        let closing = state.closing;
        drop(state);
        wakes.into_iter().for_each(std::task::Waker::wake);
        if closing {
            // It may have been the last thing under way, and no message follows.
            self.progress.notify_waiters();
        }
        if calls {
            self.wake.notify_one();
        }
        result
    }

    pub(super) fn progress(&self) -> &Notify {
        &self.progress
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn background(&self) -> &Handle {
        &self.background
    }

    fn directory(&self) -> Directory {
        Directory::beside(&self.channel.directory())
    }
}

/// The task.
impl Driver {
    async fn run(self: Arc<Self>) {
        let error = self.drive().await;
        if let Some(error) = &error {
            tracing::warn!(group = self.channel.name(), %error, "the group is over");
            // Without its member this process does not host either.
            let _ = self.channel.close().await;
        }
        let wakes = self.lock().end(error);
        wakes.into_iter().for_each(std::task::Waker::wake);
        self.progress.notify_waiters();
    }

    /// Until the member has left, or cannot go on.
    async fn drive(&self) -> Option<Error> {
        let mut known = 0;
        loop {
            let (socket, blocked, due) = {
                let mut state = self.lock();
                if let Some(error) = state.failed.take() {
                    return Some(error);
                }
                if state.left {
                    return None;
                }
                state.armed = state.next_timeout();
                (Arc::clone(&state.socket), state.blocked, state.armed)
            };
            let step = tokio::select! {
                received = socket.recv() => self.receive(&socket, received),
                host = hosting::next_host(&socket, known) => match host {
                    Ok(generation) => match self.connected(&socket, generation).await {
                        Ok(()) => {
                            known = generation;
                            Ok(())
                        }
                        Err(error) => return Some(error),
                    },
                    Err(error) => Err(error),
                },
                room = hosting::room(&socket, blocked.unwrap_or(0)), if blocked.is_some() => {
                    room.map(|()| self.with(|_| ()))
                }
                () = sleep_until(due) => {
                    self.with(State::handle_timeout);
                    Ok(())
                }
                () = self.wake.notified() => Ok(()),
            };
            self.progress.notify_waiters();
            match step {
                Ok(()) => {}
                Err(ChannelError::Reset { .. } | ChannelError::Protocol(_)) => {
                    known = 0;
                    self.replace_socket().await;
                }
                Err(error) => return Some(error.into()),
            }
        }
    }

    fn receive(
        &self,
        socket: &Socket,
        received: Result<Option<Message>, ChannelError>,
    ) -> Result<(), ChannelError> {
        let Some(message) = received? else {
            // Its host has ended it.
            return Err(ChannelError::Protocol("the host has ended the socket".into()));
        };
        self.with(|state| {
            let taken = state.receive(own(message));
            taken.and_then(|()| take_all(state, socket, BATCH))
        })
        .map_err(|error| {
            tracing::warn!(group = self.channel.name(), %error, "the host broke the protocol");
            ChannelError::Protocol(error.to_string())
        })
    }

    /// Messages of the last host that are here are taken first.
    async fn connected(&self, socket: &Socket, generation: u64) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            // Another one after a while, if something has removed this one.
            let directory = self.directory();
            let connected = self.with(|state| {
                let _ = take_all(state, socket, usize::MAX);
                state.connected(generation, directory)
            });
            attempts += 1;
            match connected {
                Err(_) if attempts < ATTEMPTS => tokio::time::sleep(PAUSE).await,
                connected => return connected,
            }
        }
    }

    async fn replace_socket(&self) {
        tokio::time::sleep(PAUSE).await;
        let socket = Arc::new(self.channel.connect());
        self.with(|state| {
            state.member.disconnected(clock::now());
            state.socket.destroy();
            state.socket = socket;
        });
    }
}

/// Leaving.
impl Driver {
    /// Finishes what is under way, leaves the view, and closes the channel; all within a few times
    /// the host timeout.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        self.with(|state| {
            state.closing = true;
            state.board.stop_serving(&mut state.member);
        });
        let idle = self.wait_until(|state| state.member.is_idle() || state.left).await;
        self.with(|state| state.member.leave());
        self.wait_until(|state| state.left).await;
        self.with(|state| state.left = true);
        let closed = self.channel.close().await;
        match self.standing() {
            Standing::Over(Some(error)) => Err(error),
            _ if !idle => Err(Error::Unfinished),
            // Nothing of the application's was under way on the socket.
            _ => closed.or(Ok(())),
        }
    }

    /// Leaves as if this process had been killed.
    pub(crate) fn abandon(&self) {
        // The process lives on, and the host would wait for the session to be resumed.
        self.read(|state| state.socket.destroy());
        // Nothing is sent or acknowledged from here on.
        open_channel::ffi::abandon(&self.channel);
        let wakes = self.lock().abandon();
        wakes.into_iter().for_each(std::task::Waker::wake);
        self.progress.notify_waiters();
        self.wake.notify_one();
    }

    async fn wait_until(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let waiting = async {
            loop {
                let progress = self.progress.notified();
                if is_so(&self.lock()) {
                    return;
                }
                progress.await;
            }
        };
        tokio::time::timeout(self.patience, waiting).await.is_ok()
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().shown.standing.borrow().clone()
    }

    /// Waits until a host serves this member.
    pub(crate) async fn joined(&self) -> Result<(), Error> {
        let mut standing = self.read(|state| state.shown.standing.subscribe());
        let settled = standing.wait_for(|standing| !matches!(standing, Standing::Joining)).await;
        match settled.as_deref() {
            Ok(Standing::Over(error)) => Err(error.clone().unwrap_or(Error::Left)),
            _ => Ok(()),
        }
    }
}

impl Seed for Driver {
    fn start(&self, generation: u64) -> Start {
        let (known, id) = self.with(|state| {
            let socket = Arc::clone(&state.socket);
            let _ = take_all(state, &socket, usize::MAX);
            (state.member.known(), state.member.id())
        });
        match known {
            Some(known) => Start::Successor(known),
            None if self.directory().is_anybody_there(Some(id), generation) => Start::Newcomer,
            None => Start::First,
        }
    }

    fn directory(&self) -> Directory {
        self.directory()
    }
}

/// Takes the messages that are here.
fn take_all(
    state: &mut State,
    socket: &Socket,
    most: usize,
) -> Result<(), crate::core::ProtocolError> {
    for _ in 0..most {
        let Ok(Some(message)) = socket.try_recv() else { break };
        state.receive(own(message))?;
    }
    Ok(())
}
