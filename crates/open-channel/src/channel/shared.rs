//! State that a channel's handles, sockets and background tasks share. It starts nothing by itself.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::time::Duration;

use bytes::Bytes;
use open_channel_proto::{ChannelKey, SocketId};
use open_channel_ring::Process;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::channel::event::{Event, Role, State};
use crate::channel::settings::Settings;
use crate::connection::Connection;
#[cfg(feature = "metrics")]
use crate::connection::meter::Meter;
use crate::error::Error;
use crate::link::PeerInfo;
use crate::membership::host::Host;
use crate::rendezvous::directory::{ChannelDir, Missing};
use crate::rendezvous::endpoint::Endpoint;
use crate::rendezvous::generation_file::GenerationFile;
use crate::rendezvous::identity::{Identity, Scope};
use crate::rendezvous::root::Root;

/// While the application holds one, the channel goes on. Dropping the last one closes it.
#[derive(Debug)]
pub(crate) struct ChannelGuard {
    pub(crate) shared: Arc<Shared>,
    process: Process,
}

impl ChannelGuard {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), process: Process::current() }
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    pub(crate) fn check(&self) -> Result<&Arc<Shared>, Error> {
        if self.process.is_current() { Ok(&self.shared) } else { Err(Error::Forked) }
    }
}

impl Drop for ChannelGuard {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // Neither closed nor dropped by a forked child: others may have held its locks.
            return std::mem::forget(Arc::clone(&self.shared));
        }
        self.shared.begin_closing(Closing::Orderly);
    }
}

/// Whether and how the channel is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    No,
    /// Handlers finish, and hosting is handed over.
    Orderly,
    /// As if the process had been killed.
    Abruptly,
}

/// The place of this process on the channel.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Initiated,
    Searching,
    /// A host was found and asked. Sockets may send their hello meanwhile. They are connected when
    /// this process is.
    Approaching {
        /// The host's socket.
        endpoint: Endpoint,
    },
    Hosting(Arc<Host>),
    Peer {
        generation: u64,
        /// The host's socket.
        endpoint: Endpoint,
    },
    Closed(Option<Error>),
}

impl Place {
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Initiated => State::Initiated,
            Self::Searching | Self::Approaching { .. } => State::Connecting,
            Self::Hosting(_) | Self::Peer { .. } => State::Connected,
            Self::Closed(_) => State::Closed,
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Hosting(_) => Role::Host,
            Self::Peer { .. } => Role::Peer,
            Self::Initiated | Self::Searching | Self::Approaching { .. } | Self::Closed(_) => {
                Role::None
            }
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Hosting(host) => host.generation(),
            Self::Peer { generation, .. } => *generation,
            Self::Initiated | Self::Searching | Self::Approaching { .. } | Self::Closed(_) => 0,
        }
    }

    /// Whether the host of that generation is no longer the one that this process takes part with.
    pub(crate) fn has_lost(&self, generation: u64) -> bool {
        !matches!(self, Self::Closed(_)) && self.generation() != generation
    }

    /// Whether the search is over.
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self, Self::Initiated | Self::Searching | Self::Approaching { .. })
    }

    /// Where the host, or the one that may become it, listens.
    fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Hosting(host) => Some(host.endpoint()),
            Self::Approaching { endpoint } | Self::Peer { endpoint, .. } => Some(endpoint),
            Self::Initiated | Self::Searching | Self::Closed(_) => None,
        }
    }

    /// Whether the host, or the one that may become it, listens there.
    pub(crate) fn leads_to(&self, place: &Path) -> bool {
        self.endpoint().is_some_and(|endpoint| endpoint.path() == place)
    }
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that a host has taken on, for the listener to make a socket of.
pub(crate) struct Accepted {
    pub(crate) connection: Arc<Connection>,
    /// The channel whose listener it was made for.
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: PeerInfo,
}

/// The listener, which runs for each connection to a host.
pub(crate) enum Listener {
    Task { run: Box<dyn Fn(Accepted) -> Task + Send + Sync>, runtime: Handle },
    Thread(Arc<dyn Fn(Accepted) + Send + Sync>),
}

/// A thread for the listener, if it needs one; from [`Shared::prepare_listener`].
#[derive(Debug)]
pub(crate) struct ReadyListener(Option<mpsc::SyncSender<Accepted>>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Task { .. } => "Listener::Task",
            Self::Thread(_) => "Listener::Thread",
        })
    }
}

/// State that a channel's handles, sockets and background tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) identity: Identity,
    pub(crate) root: Arc<Root>,
    pub(crate) generations: Option<GenerationFile>,
    pub(crate) listener: Option<Listener>,
    pub(crate) settings: Settings,
    pub(crate) connect_timeout: Mutex<Duration>,
    pub(crate) background: Handle,
    pub(crate) place: watch::Sender<Place>,
    pub(crate) closing: watch::Sender<Closing>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) connections: Mutex<Vec<Weak<Connection>>>,
    /// Those whose stall was reported and is not over.
    pub(crate) stalled: Mutex<Vec<Arc<Connection>>>,
    pub(crate) describe: OnceLock<Describe>,
    #[cfg(feature = "metrics")]
    pub(crate) meter: Arc<Meter>,
    /// All connections of both kinds that are not dropped, to be counted.
    #[cfg(feature = "metrics")]
    pub(crate) metered: Mutex<Vec<Weak<Connection>>>,
}

/// Says, in bytes of its own, how the program on top of the channel is.
pub(crate) struct Describe(pub(crate) Box<dyn Fn(usize) -> Bytes + Send + Sync>);

impl std::fmt::Debug for Describe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Describe").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the program on top of the channel says of itself; empty if it says nothing.
    pub(crate) fn detail(&self, most: usize) -> Bytes {
        self.describe.get().map(|describe| (describe.0)(most)).unwrap_or_default()
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.identity.key
    }

    /// The error for nobody reached within `after`; `cause` is the last obstacle.
    pub(crate) fn not_reached(&self, after: Duration, cause: String) -> Error {
        let cause = format!("{cause} (in {})", self.directory().display());
        let cause = match &self.identity.scope {
            Scope::User => cause,
            Scope::App(app) => format!(
                "in the application {app:?}, {cause} (programs of other applications share the channel with \
                 Scope::User, the same Scope::App, or OPEN_CHANNEL_APP in their environment)"
            ),
        };
        Error::Timeout { name: self.name.clone(), after, cause }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        *lock(&self.connect_timeout)
    }

    pub(crate) fn may_host(&self) -> bool {
        self.listener.is_some()
    }

    pub(crate) fn open_dir(&self, missing: Missing) -> Result<Arc<ChannelDir>, Error> {
        ChannelDir::open(&self.root, &self.identity, self.settings.privacy(), missing).map(Arc::new)
    }

    /// The file for the generation, if there is one.
    pub(crate) fn generations(&self) -> Option<&GenerationFile> {
        self.generations.as_ref()
    }

    /// The channel's directory: the one that is in use, or else the one that would be.
    pub(crate) fn directory(&self) -> PathBuf {
        match self.place.borrow().endpoint() {
            Some(endpoint) => endpoint.directory().to_owned(),
            None => self.future_directory(),
        }
    }

    /// The directory that a search would use now. Takes no lock, so that a forked child may call
    /// it.
    pub(crate) fn future_directory(&self) -> PathBuf {
        // The call that opens it reports the error.
        self.root.path().unwrap_or_default().join(self.identity.directory())
    }

    /// Begins to take part, unless it does already or was closed on purpose; whether it began.
    pub(crate) fn begins(&self) -> bool {
        self.place.send_if_modified(|place| {
            let idle = matches!(place, Place::Initiated | Place::Closed(Some(_)));
            if idle && !self.is_closing() {
                *place = Place::Searching;
                return true;
            }
            false
        })
    }

    /// If this process hosts: its handlers get nothing more from others.
    pub(crate) fn retire(&self) {
        let host = match &*self.place.borrow() {
            Place::Hosting(host) => Arc::clone(host),
            _ => return,
        };
        host.retire(|socket| self.owns(socket));
    }

    pub(crate) fn begin_closing(&self, how: Closing) {
        self.closing.send_if_modified(|closing| {
            let begins = *closing == Closing::No;
            if begins {
                *closing = how;
            }
            begins
        });
        self.close_idle();
    }

    /// A channel that is being closed and takes no part has no task that would close it.
    pub(crate) fn close_idle(&self) {
        let closed = self.place.send_if_modified(|place| {
            let idle = matches!(place, Place::Initiated | Place::Closed(Some(_)));
            if idle {
                *place = Place::Closed(None);
            }
            idle
        });
        if closed {
            self.announce(Event::Closed { error: None });
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow() != Closing::No
    }

    pub(crate) async fn closing(&self) -> Closing {
        // The sender lives as long as `self`.
        let begun = |closing: &Closing| *closing != Closing::No;
        self.closing.subscribe().wait_for(begun).await.map_or(Closing::Abruptly, |closing| *closing)
    }

    pub(crate) fn set_place(&self, place: Place) {
        self.place.send_replace(place);
    }

    pub(crate) fn ended(&self, error: Option<Error>) {
        if let Some(error) = &error {
            tracing::warn!(channel = self.name, %error, "the channel is closed");
        }
        self.set_place(Place::Closed(error.clone()));
        self.announce(Event::Closed { error });
        if self.is_closing() {
            // Closing began while the search was about to fail.
            self.close_idle();
        }
    }

    pub(crate) fn announce(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    /// Hands over when the runtime of the listeners has ended: this process can host no longer.
    pub(crate) fn retire_without_runtime(&self) -> bool {
        let Some(Listener::Task { runtime, .. }) = &self.listener else { return false };
        // A runtime that has ended, or is about to, cancels a task at once.
        let probe = runtime.spawn(std::future::pending::<()>());
        let gone = probe.is_finished();
        probe.abort();
        if gone {
            self.begin_closing(Closing::Orderly);
        }
        gone
    }

    /// Gets ready to run the listener once, so that nothing can fail when there is a socket for it.
    ///
    /// # Errors
    /// The kernel's: no thread can be started.
    pub(crate) fn prepare_listener(&self) -> io::Result<ReadyListener> {
        let Some(Listener::Thread(run)) = &self.listener else { return Ok(ReadyListener(None)) };
        let (sender, accepted) = mpsc::sync_channel(1);
        let run = Arc::clone(run);
        let thread = std::thread::Builder::new().name("open-channel socket".into());
        thread.spawn(move || {
            if let Ok(accepted) = accepted.recv() {
                run(accepted);
            }
        })?;
        Ok(ReadyListener(Some(sender)))
    }

    pub(crate) fn listen(&self, listener: ReadyListener, accepted: Accepted) {
        match (&self.listener, listener.0) {
            (Some(Listener::Task { run, runtime }), _) => drop(runtime.spawn(run(accepted))),
            // The thread waits for it.
            (_, Some(thread)) => drop(thread.send(accepted)),
            (_, None) => {}
        }
    }

    /// Has it counted in the metrics, for as long as it is not dropped, and afterwards.
    #[cfg(feature = "metrics")]
    pub(crate) fn meter(&self, connection: &Arc<Connection>) {
        connection.meter(&self.meter);
        let mut metered = lock(&self.metered);
        metered.retain(|connection| connection.strong_count() > 0);
        metered.push(Arc::downgrade(connection));
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) fn meter(&self, _: &Arc<Connection>) {}

    #[cfg(feature = "metrics")]
    pub(crate) fn metered(&self) -> Vec<Arc<Connection>> {
        lock(&self.metered).iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn enlist(&self, connection: &Arc<Connection>) {
        self.meter(connection);
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }

    /// Whether it is one of the sockets from [`Channel::connect`].
    pub(crate) fn owns(&self, socket: SocketId) -> bool {
        self.connections().iter().any(|connection| connection.id() == socket)
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).iter().filter_map(Weak::upgrade).collect()
    }

    /// The host is gone: its sockets take in what it had sent, and wait for the next one.
    pub(crate) fn abandon_links(&self) {
        self.connections().iter().for_each(|connection| connection.abandon_link());
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
