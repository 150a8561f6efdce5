//! A channel: a named meeting place, joined by this process as host or peer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use open_channel_proto::{Session, SocketId};
use tokio::sync::{broadcast, watch};

use crate::background;
use crate::channel::connect::ConnectOptions;
use crate::channel::event::{Events, Role, State};
use crate::channel::settings::{NO_TIME_TO_CONNECT, Settings};
use crate::channel::shared::{ChannelGuard, Closing, Listener, Place, Shared, lock};
use crate::channel::stats::ChannelStats;
use crate::connection::Connection;
use crate::error::Error;
use crate::membership::{self, peer};
use crate::rendezvous::generation_file::GenerationFile;
use crate::rendezvous::identity::{Identity, Scope};
use crate::rendezvous::root::{self, Root};
use crate::socket::{Socket, close_within};

pub(crate) mod builder;
pub(crate) mod connect;
pub(crate) mod event;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod settings;
pub(crate) mod shared;
mod silence;
mod stall;
pub(crate) mod stats;

/// A named meeting place of processes; cheap to clone.
///
/// Nothing happens before the first [`connect`](Self::connect) or [`join`](Self::join). From then
/// on this process takes part, and hosts the channel when no other process does. As the host it
/// runs the listener given to [`new`](Self::new) once for each socket that connects.
///
/// The channel is closed in the background when the last clone and the last socket from `connect`
/// are gone. [`close`](Self::close) does it in an orderly way.
///
/// # Forks
/// A child of `fork(2)` makes channels of its own. Everything that it inherited (channels, sockets,
/// events, messages, reservations, readers) fails with [`Error::Forked`]. Using or dropping it in
/// the child changes nothing for the parent. Programs that are started with
/// [`Command`](std::process::Command) inherit nothing. A child of the bare system call `clone(2)`,
/// past the C library, is not noticed.
#[derive(Debug, Clone)]
pub struct Channel {
    guard: Arc<ChannelGuard>,
}

impl Channel {
    pub(crate) fn with(
        name: String,
        mut settings: Settings,
        listener: Option<Listener>,
    ) -> Result<Self, Error> {
        settings.check()?;
        settings.complete()?;
        let scope = settings.scope.take().map_or_else(Scope::from_environment, Ok)?;
        let identity = Identity::new(&name, scope)?;
        let root = Arc::new(Root::choose(settings.runtime_dir.as_deref())?);
        let generations = settings.generation_file.as_deref().map(root::absolute).transpose()?;
        let generations = generations.map(|path| GenerationFile::new(path, settings.privacy()));
        let shared = Shared {
            name,
            identity,
            root,
            generations,
            listener,
            background: background::handle()?,
            connect_timeout: Mutex::new(settings.connect_timeout),
            settings,
            place: watch::Sender::new(Place::Initiated),
            closing: watch::Sender::new(Closing::No),
            events: broadcast::Sender::new(Events::BACKLOG),
            connections: Mutex::default(),
            stalled: Mutex::default(),
            describe: OnceLock::new(),
            #[cfg(feature = "metrics")]
            meter: Arc::default(),
            #[cfg(feature = "metrics")]
            metered: Mutex::default(),
        };
        let guard = Arc::new(ChannelGuard::new(shared));
        #[cfg(feature = "metrics")]
        metrics::begin(&guard.shared);
        Ok(Self { guard })
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    pub(crate) fn shared(&self) -> Result<&Arc<Shared>, Error> {
        self.guard.check()
    }

    fn place<T>(&self, read: impl FnOnce(&Place) -> T) -> T {
        match self.shared() {
            Ok(shared) => read(&shared.place.borrow()),
            Err(forked) => read(&Place::Closed(Some(forked))),
        }
    }

    /// A new socket to the host, the present one and each one after it. Returns at once; messages
    /// sent before the connection exists are queued. Several sockets are independent of each other.
    ///
    /// When the channel is not reached within the connect timeout, the socket's calls fail with
    /// [`Error::Timeout`]; calling `connect` again tries again. After [`close`](Self::close) they
    /// fail with [`Error::Closed`].
    pub fn connect(&self) -> Socket {
        self.connect_with(ConnectOptions::new())
    }

    /// [`connect`](Self::connect) with a connect timeout, which becomes the channel's own. With a
    /// timeout of zero, the socket's calls fail with [`Error::InvalidSetting`].
    pub fn connect_within(&self, timeout: Duration) -> Socket {
        self.connect_with(ConnectOptions::new().timeout(timeout))
    }

    /// [`connect`](Self::connect) with other options than the defaults.
    pub fn connect_with(&self, options: ConnectOptions) -> Socket {
        let shared = &self.guard.shared;
        let session = Session::new(random_id(), shared.settings.limits);
        let connection = Connection::new(session, None, shared.background.clone());
        if options.reconnect == Some(false) {
            connection.pin();
        }
        match self.shared() {
            Err(forked) => connection.fail(forked),
            Ok(_) if options.timeout == Some(Duration::ZERO) => connection.fail(NO_TIME_TO_CONNECT),
            Ok(shared) => {
                if let Some(timeout) = options.timeout {
                    *lock(&shared.connect_timeout) = timeout;
                }
                supervise(shared, &connection);
            }
        }
        Socket::connecting(connection, Arc::clone(&self.guard), options.reconnect)
    }

    /// Takes part without a socket: waits until this process hosts the channel or is connected to
    /// its host.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`], and errors that waiting does not cure, such as
    /// [`Error::PermissionDenied`].
    ///
    /// # Cancel safety
    /// Cancel safe: the channel goes on joining.
    pub async fn join(&self) -> Result<Role, Error> {
        let shared = self.shared()?;
        start(shared);
        let mut place = shared.place.subscribe();
        match place.wait_for(Place::is_settled).await.as_deref() {
            Ok(Place::Closed(error)) => Err(error.clone().unwrap_or(Error::Closed)),
            Ok(place) => Ok(place.role()),
            Err(_) => Err(Error::Closed),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.guard.shared.name
    }

    /// The programs that share it: the scope given to [`Builder::scope`](crate::Builder::scope), or
    /// that of the environment when the channel was made.
    pub fn scope(&self) -> &Scope {
        &self.guard.shared.identity.scope
    }

    /// A digest of its name and scope, as 32 hexadecimal digits, for logs and comparisons.
    /// Processes meet on it if their keys and their [directories](Self::directory) are the same.
    pub fn key(&self) -> String {
        self.guard.shared.key().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The directory of this channel, absolute: the one in which this process meets the others, or
    /// would search for them now.
    ///
    /// Two processes that name the same channel and do not meet use different directories: compare
    /// these first. Its parent is the runtime directory, which
    /// [`Builder::runtime_dir`](crate::Builder::runtime_dir) and `$OPEN_CHANNEL_DIR` choose.
    pub fn directory(&self) -> PathBuf {
        match self.shared() {
            Ok(shared) => shared.directory(),
            Err(_) => self.guard.shared.future_directory(),
        }
    }

    /// The state of the channel.
    pub fn state(&self) -> State {
        self.place(Place::state)
    }

    /// Whether there is a host, perhaps this process.
    pub fn connected(&self) -> bool {
        self.state() == State::Connected
    }

    /// The role of this process.
    pub fn role(&self) -> Role {
        self.place(Place::role)
    }

    /// The generation of the present host, 0 if there is none. It grows with every change of host
    /// and can serve as a fencing token.
    ///
    /// It grows for as long as the runtime directory stays. Without
    /// [`Builder::generation_file`](crate::Builder::generation_file) it begins anew at 1 after a
    /// restart of the machine, after the user's last logout, or when something has removed the
    /// directory. In the last case two processes may have hosted under one generation. A resource
    /// that outlives these needs that file.
    pub fn generation(&self) -> u64 {
        self.place(Place::generation)
    }

    /// Subscribes to the events of the channel, from this call on.
    pub fn events(&self) -> Events {
        let Ok(shared) = self.shared() else { return Events::inherited() };
        // Subscribed before the check, so that a change in between is not missed.
        let receiver = shared.events.subscribe();
        let over = matches!(*shared.place.borrow(), Place::Closed(None));
        Events::new(receiver, over)
    }

    /// Statistics of the channel and all its sockets in this process. Takes the lock of each of
    /// them for a moment.
    ///
    /// Any thread may call it, also while a listener hangs in another one. The messages of that
    /// listener are those that are [held](crate::SocketStats::held), for [so
    /// long](crate::SocketStats::oldest_unhandled).
    pub fn stats(&self) -> ChannelStats {
        self.shared().map_or_else(|_| ChannelStats::inherited(self.name()), |shared| shared.stats())
    }

    /// Closes the channel in an orderly way: flushes and closes the sockets from
    /// [`connect`](Self::connect), and hands over if this process hosts.
    ///
    /// From the call on, a host that hands over delivers no more messages from other processes:
    /// these wait for the next host. Handlers may still answer and acknowledge the messages they
    /// have. The next host takes over when all of these are acknowledged, at the latest after the
    /// host timeout. It gets the others, marked as redelivered.
    ///
    /// Flushing takes at most the host timeout too, so that closing takes at most twice as long.
    ///
    /// # Errors
    /// The first error of a socket that could not be flushed.
    ///
    /// # Cancel safety
    /// When dropped before it is done, closing goes on in the background.
    pub async fn close(&self) -> Result<(), Error> {
        let shared = Arc::clone(self.shared()?);
        let background = shared.background.clone();
        background.spawn(async move { close(&shared).await }).await.unwrap_or(Err(Error::Closed))
    }
}

impl Channel {
    pub(crate) fn retire(&self) {
        if let Ok(shared) = self.shared() {
            shared.retire();
        }
    }

    pub(crate) fn abandon(&self) {
        // A forked child has nothing to leave.
        let Ok(shared) = self.shared() else { return };
        shared.begin_closing(Closing::Abruptly);
        shared.connections().iter().for_each(|connection| connection.fail(Error::Closed));
    }
}

/// Starts taking part, unless the channel does already or was closed on purpose.
fn start(shared: &Arc<Shared>) {
    if !shared.begins() {
        return;
    }
    let (member, watching) = (Arc::clone(shared), Arc::clone(shared));
    shared.background.spawn(async move {
        let watch = stall::watch(watching.settings.stall_after, |now| watching.check_silence(now));
        tokio::select! {
            () = membership::run(member) => {}
            () = watch => {}
        }
    });
}

/// Connects a new socket to the host, and to each host after it.
fn supervise(shared: &Arc<Shared>, connection: &Arc<Connection>) {
    if shared.is_closing() {
        connection.fail(Error::Closed);
    }
    shared.enlist(connection);
    start(shared);
    shared.background.spawn(peer::supervise(Arc::clone(shared), Arc::clone(connection)));
}

async fn close(shared: &Shared) -> Result<(), Error> {
    shared.retire();
    let patience = shared.settings.host_timeout;
    let close = |connection| shared.background.spawn(close_within(connection, patience));
    // All of them at once: each may take the whole time.
    let closing: Vec<_> = shared.connections().into_iter().map(close).collect();
    let mut result = Ok(());
    for closed in closing {
        result = result.and(closed.await.unwrap_or(Err(Error::Closed)));
    }
    shared.begin_closing(Closing::Orderly);
    let mut place = shared.place.subscribe();
    // The sender lives as long as `shared`.
    let _ = place.wait_for(|place| matches!(place, Place::Closed(_))).await;
    result
}

fn random_id() -> SocketId {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // A bare chroot may have no source of randomness. Process and time are unique on this
        // machine.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let unique = now << 32 ^ u128::from(std::process::id());
        bytes = unique.to_le_bytes();
    }
    SocketId(u128::from_le_bytes(bytes))
}
