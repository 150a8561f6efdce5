//! A channel: a named meeting place, joined by this process as host or peer.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use open_channel_proto::{ChannelKey, Session, SocketId};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::builder::Builder;
use crate::connection::Connection;
use crate::error::Error;
use crate::event::{Event, Events, Role};
use crate::host::Host;
use crate::rendezvous::{ChannelDir, Endpoint, Identity, default_root};
use crate::settings::Settings;
use crate::socket::{Socket, close_within};
use crate::{driver, membership, peer};

/// How far a channel is.
///
/// ```text
/// initiated ──connect()──▶ connecting ──▶ connected ──host lost──▶ connecting …
///                               └──timeout──▶ closed ◀──close()──┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was done yet.
    Initiated,
    /// Looking for the host, or becoming it.
    Connecting,
    /// There is a host, perhaps this process.
    Connected,
    /// Closed, or not reached within the connect timeout.
    Closed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Initiated => "initiated",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        })
    }
}

/// A named meeting place of processes; cheap to clone.
///
/// Nothing happens before the first [`connect`](Self::connect) or [`join`](Self::join). From then on this process
/// takes part: it hosts the channel when nobody else does, and the listener given to [`new`](Self::new) runs
/// once for each socket that connects. When the last clone and the last socket from `connect` are gone,
/// the channel is closed in the background; [`close`](Self::close) does it in an orderly way.
#[derive(Debug, Clone)]
pub struct Channel {
    keep: Arc<Keep>,
}

/// Keeps a channel going while the application has a handle on it.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.shared.begin_closing(Closing::Orderly);
    }
}

impl Channel {
    /// A channel that this process may host; `listener` runs once for every socket that connects then.
    ///
    /// Listeners run on the tokio runtime that is current here. A listener that panics takes down its own
    /// connection only.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NoRuntime`], or the background thread could not be started.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let channel = open_channel::Channel::builder("greeting").runtime_dir(dir.path().join("d"))
    /// #   .build(|socket| async move {
    /// #     while let Ok(Some(message)) = socket.recv().await {
    /// #         let _ = socket.send([b"hello, ", &message[..]].concat()).await;
    /// #         message.ack();
    /// #     }
    /// # })?;
    /// # if false {
    /// let channel = open_channel::Channel::new("greeting", |socket| async move {
    ///     while let Ok(Some(message)) = socket.recv().await {
    ///         let _ = socket.send([b"hello, ", &message[..]].concat()).await;
    ///         message.ack();
    ///     }
    /// })?;
    /// # }
    /// let socket = channel.connect();
    /// socket.send("world").await?;
    /// assert_eq!(socket.recv().await?.unwrap().into_bytes(), "hello, world");
    /// # Ok(()) }
    /// ```
    pub fn new<F, Fut>(name: impl Into<String>, listener: F) -> Result<Self, Error>
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::builder(name).build(listener)
    }

    /// A channel that this process joins without ever hosting it: for tools.
    ///
    /// # Errors
    /// [`Error::InvalidName`], or the background thread could not be started.
    pub fn peer(name: impl Into<String>) -> Result<Self, Error> {
        Self::builder(name).build_peer()
    }

    /// A channel with settings other than the defaults.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    pub(crate) fn with(name: String, settings: Settings, listener: Option<Listener>) -> Result<Self, Error> {
        settings.check()?;
        let identity = Identity::new(&name, &settings.scope)?;
        let shared = Arc::new(Shared {
            name,
            identity,
            listener,
            background: driver::handle()?,
            connect_timeout: Mutex::new(settings.connect_timeout),
            settings,
            place: watch::Sender::new(Place::Initiated),
            closing: watch::Sender::new(Closing::No),
            events: broadcast::Sender::new(Events::BACKLOG),
            connections: Mutex::default(),
        });
        Ok(Self { keep: Arc::new(Keep { shared }) })
    }

    /// A new socket to the host, whoever that is and will be. Returns at once; what is sent before the connection
    /// exists is queued. Several sockets are independent of each other.
    ///
    /// When the channel is not reached within the connect timeout, the socket's calls fail with
    /// [`Error::Timeout`]; calling `connect` again tries again. After [`close`](Self::close) they fail with
    /// [`Error::Closed`].
    pub fn connect(&self) -> Socket {
        let shared = &self.keep.shared;
        let session = Session::new(random_id(), shared.settings.limits);
        let connection = Connection::new(session, None, shared.background.clone());
        if shared.is_closing() {
            connection.fail(Error::Closed);
        }
        shared.enlist(&connection);
        shared.start();
        shared.background.spawn(peer::supervise(Arc::clone(shared), Arc::clone(&connection)));
        Socket::connecting(connection, Arc::clone(&self.keep))
    }

    /// [`connect`](Self::connect) with a connect timeout of its own, which the channel keeps from here on.
    pub fn connect_within(&self, timeout: Duration) -> Socket {
        *lock(&self.keep.shared.connect_timeout) = timeout;
        self.connect()
    }

    /// Takes part without a socket: waits until this process hosts the channel or is connected to its host.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`], and what keeps this process out for good, such as
    /// [`Error::PermissionDenied`].
    ///
    /// # Cancel safety
    /// Cancel safe: the channel goes on joining.
    pub async fn join(&self) -> Result<Role, Error> {
        let shared = &self.keep.shared;
        shared.start();
        let mut place = shared.place.subscribe();
        match place.wait_for(Place::is_settled).await.as_deref() {
            Ok(Place::Closed(error)) => Err(error.clone().unwrap_or(Error::Closed)),
            Ok(place) => Ok(place.role()),
            Err(_) => Err(Error::Closed),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.keep.shared.name
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.keep.shared.place.borrow().state()
    }

    /// Whether there is a host, perhaps this process.
    pub fn connected(&self) -> bool {
        self.state() == State::Connected
    }

    /// What this process is on the channel.
    pub fn role(&self) -> Role {
        self.keep.shared.place.borrow().role()
    }

    /// The generation of the present host, 0 if there is none: a number that grows with every change of host
    /// and can serve as a fencing token.
    pub fn generation(&self) -> u64 {
        self.keep.shared.place.borrow().generation()
    }

    /// What happens from here on.
    pub fn events(&self) -> Events {
        let shared = &self.keep.shared;
        // Subscribed before the look: what comes in between is heard or seen.
        let receiver = shared.events.subscribe();
        let over = matches!(*shared.place.borrow(), Place::Closed(None));
        Events::new(receiver, over)
    }

    /// Closes the channel in an orderly way: flushes and closes the sockets from [`connect`](Self::connect), and
    /// if this process hosts, lets the handlers finish the messages they have, then hands over.
    ///
    /// Each of these two steps takes at most the host timeout.
    ///
    /// # Errors
    /// Of the sockets that could not be flushed, the first one's error.
    ///
    /// # Cancel safety
    /// When dropped before it is done, closing goes on in the background.
    pub async fn close(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.keep.shared);
        let background = shared.background.clone();
        background.spawn(async move { shared.close().await }).await.unwrap_or(Err(Error::Closed))
    }
}

impl Channel {
    pub(crate) fn abandon(&self) {
        let shared = &self.keep.shared;
        shared.begin_closing(Closing::Abruptly);
        shared.connections().iter().for_each(|connection| connection.fail(Error::Closed));
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

/// Where this process stands.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Initiated,
    Searching,
    /// A host was found and asked. Sockets may say hello to it meanwhile, and are connected when this process is.
    Approaching {
        /// The host's socket.
        endpoint: Endpoint,
    },
    Hosting(Arc<Host>),
    Guest {
        generation: u64,
        /// The host's socket.
        endpoint: Endpoint,
    },
    Closed(Option<Error>),
}

impl Place {
    fn state(&self) -> State {
        match self {
            Self::Initiated => State::Initiated,
            Self::Searching | Self::Approaching { .. } => State::Connecting,
            Self::Hosting(_) | Self::Guest { .. } => State::Connected,
            Self::Closed(_) => State::Closed,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Hosting(_) => Role::Host,
            Self::Guest { .. } => Role::Peer,
            Self::Initiated | Self::Searching | Self::Approaching { .. } | Self::Closed(_) => Role::None,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Hosting(host) => host.generation(),
            Self::Guest { generation, .. } => *generation,
            Self::Initiated | Self::Searching | Self::Approaching { .. } | Self::Closed(_) => 0,
        }
    }

    /// Whether the search is over.
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self, Self::Initiated | Self::Searching | Self::Approaching { .. })
    }

    /// Whether the host, or the one that may become it, listens there.
    pub(crate) fn leads_to(&self, place: &Path) -> bool {
        match self {
            Self::Hosting(host) => host.endpoint().path() == place,
            Self::Approaching { endpoint } | Self::Guest { endpoint, .. } => endpoint.path() == place,
            Self::Initiated | Self::Searching | Self::Closed(_) => false,
        }
    }
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs for each socket that connects to a host.
pub(crate) enum Listener {
    Task { run: Box<dyn Fn(Socket) -> Task + Send + Sync>, runtime: Handle },
    Thread(Arc<dyn Fn(Socket) + Send + Sync>),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Task { .. } => "Listener::Task",
            Self::Thread(_) => "Listener::Thread",
        })
    }
}

/// What a channel's handles, sockets and background tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    identity: Identity,
    listener: Option<Listener>,
    pub(crate) settings: Settings,
    connect_timeout: Mutex<Duration>,
    pub(crate) background: Handle,
    pub(crate) place: watch::Sender<Place>,
    closing: watch::Sender<Closing>,
    events: broadcast::Sender<Event>,
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl Shared {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.identity.key
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        *lock(&self.connect_timeout)
    }

    pub(crate) fn may_host(&self) -> bool {
        self.listener.is_some()
    }

    pub(crate) fn open_dir(&self) -> Result<Arc<ChannelDir>, Error> {
        let root = self.settings.runtime_dir.clone().unwrap_or_else(default_root);
        ChannelDir::open(&root, &self.identity, self.settings.privacy()).map(Arc::new)
    }

    /// Starts taking part, unless that is so already or the channel was closed on purpose.
    fn start(self: &Arc<Self>) {
        let starts = self.place.send_if_modified(|place| {
            let idle = matches!(place, Place::Initiated | Place::Closed(Some(_)));
            if idle && !self.is_closing() {
                *place = Place::Searching;
                return true;
            }
            false
        });
        if starts {
            self.background.spawn(membership::run(Arc::clone(self)));
        }
    }

    async fn close(&self) -> Result<(), Error> {
        let patience = self.settings.host_timeout;
        let close = |connection| self.background.spawn(close_within(connection, patience));
        // All of them at once: each may take the whole time.
        let closing: Vec<_> = self.connections().into_iter().map(close).collect();
        let mut result = Ok(());
        for closed in closing {
            result = result.and(closed.await.unwrap_or(Err(Error::Closed)));
        }
        self.begin_closing(Closing::Orderly);
        let mut place = self.place.subscribe();
        // The sender lives as long as `self`.
        let _ = place.wait_for(|place| matches!(place, Place::Closed(_))).await;
        result
    }

    fn begin_closing(&self, how: Closing) {
        self.closing.send_if_modified(|closing| {
            let begins = *closing == Closing::No;
            if begins {
                *closing = how;
            }
            begins
        });
        self.close_idle();
    }

    /// A channel that is being closed and takes no part has nobody else who would close it.
    fn close_idle(&self) {
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

    pub(crate) fn listen(&self, socket: Socket) {
        match &self.listener {
            Some(Listener::Task { run, runtime }) => drop(runtime.spawn(run(socket))),
            Some(Listener::Thread(run)) => {
                let run = Arc::clone(run);
                let spawned =
                    std::thread::Builder::new().name("open-channel socket".into()).spawn(move || run(socket));
                if let Err(error) = spawned {
                    tracing::error!(%error, "no thread for a listener");
                }
            }
            None => {}
        }
    }

    fn enlist(&self, connection: &Arc<Connection>) {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).iter().filter_map(Weak::upgrade).collect()
    }

    /// The host is gone: its sockets take in what it had sent, and wait for the next one.
    pub(crate) fn abandon_links(&self) {
        self.connections().iter().for_each(|connection| connection.abandon_link());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_id() -> SocketId {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // No source of randomness, as in a bare chroot: unique on this machine still, by process and time.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let unique = now << 32 ^ u128::from(std::process::id());
        bytes = unique.to_le_bytes();
    }
    SocketId(u128::from_le_bytes(bytes))
}
