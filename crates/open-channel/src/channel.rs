//! A channel: a named meeting place, joined by this process as host or peer.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use open_channel_proto::{ChannelKey, Session, SocketId};
use open_channel_ring::Process;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};

use crate::builder::Builder;
use crate::connect::ConnectOptions;
use crate::connection::Connection;
use crate::error::Error;
use crate::event::{Event, Events, Role, State};
use crate::generation_file::GenerationFile;
use crate::host::Host;
use crate::rendezvous::{ChannelDir, Endpoint, Identity, Missing, Scope};
use crate::root::{self, Root};
use crate::settings::Settings;
use crate::socket::{Socket, close_within};
use crate::stats::ChannelStats;
use crate::{driver, membership, peer, stall};

mod silence;

/// A named meeting place of processes; cheap to clone.
///
/// Nothing happens before the first [`connect`](Self::connect) or [`join`](Self::join). From then on this process
/// takes part: it hosts the channel when nobody else does, and the listener given to [`new`](Self::new) runs
/// once for each socket that connects. When the last clone and the last socket from `connect` are gone,
/// the channel is closed in the background; [`close`](Self::close) does it in an orderly way.
///
/// # Forks
/// A child of `fork(2)` makes channels of its own. Everything that it inherited (channels, sockets,
/// events, messages, reservations, readers) fails with [`Error::Forked`]. Using or dropping it in
/// the child changes nothing for the parent. Programs that are started with
/// [`Command`](std::process::Command) inherit nothing. A child made with the bare system call
/// `clone(2)`, past the C library, is not noticed.
#[derive(Debug, Clone)]
pub struct Channel {
    keep: Arc<Keep>,
}

/// Keeps a channel going while the application has a handle on it.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) shared: Arc<Shared>,
    process: Process,
}

impl Drop for Keep {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // Neither closed nor dropped by a forked child: others may have held its locks.
            return std::mem::forget(Arc::clone(&self.shared));
        }
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
    /// [`Error::InvalidName`], [`Error::InvalidSetting`] for the environment's scope, [`Error::NoRuntime`],
    /// [`Error::Directory`] if a relative path of a directory cannot be made absolute, or the background thread could
    /// not be started.
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
    /// As [`new`](Self::new), but for the runtime, which is not needed.
    pub fn peer(name: impl Into<String>) -> Result<Self, Error> {
        Self::builder(name).build_peer()
    }

    /// A channel with settings other than the defaults.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    pub(crate) fn with(
        name: String,
        mut settings: Settings,
        listener: Option<Listener>,
    ) -> Result<Self, Error> {
        settings.check()?;
        let scope = settings.scope.take().map_or_else(Scope::from_environment, Ok)?;
        let identity = Identity::new(&name, scope)?;
        let root = Arc::new(Root::choose(settings.runtime_dir.as_deref())?);
        let generations = settings.generation_file.as_deref().map(root::absolute).transpose()?;
        let generations = generations.map(|path| GenerationFile::new(path, settings.privacy()));
        let shared = Arc::new(Shared {
            name,
            identity,
            root,
            generations,
            listener,
            background: driver::handle()?,
            connect_timeout: Mutex::new(settings.connect_timeout),
            settings,
            place: watch::Sender::new(Place::Initiated),
            closing: watch::Sender::new(Closing::No),
            events: broadcast::Sender::new(Events::BACKLOG),
            connections: Mutex::default(),
            stalled: Mutex::default(),
        });
        Ok(Self { keep: Arc::new(Keep { shared, process: Process::current() }) })
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    pub(crate) fn shared(&self) -> Result<&Arc<Shared>, Error> {
        if self.keep.process.is_current() { Ok(&self.keep.shared) } else { Err(Error::Forked) }
    }

    fn place<T>(&self, look: impl FnOnce(&Place) -> T) -> T {
        match self.shared() {
            Ok(shared) => look(&shared.place.borrow()),
            Err(forked) => look(&Place::Closed(Some(forked))),
        }
    }

    /// A new socket to the host, whoever that is and will be. Returns at once; what is sent before the connection
    /// exists is queued. Several sockets are independent of each other.
    ///
    /// When the channel is not reached within the connect timeout, the socket's calls fail with
    /// [`Error::Timeout`]; calling `connect` again tries again. After [`close`](Self::close) they fail with
    /// [`Error::Closed`].
    pub fn connect(&self) -> Socket {
        self.connect_with(ConnectOptions::new())
    }

    /// [`connect`](Self::connect) with a connect timeout of its own, which the channel keeps from
    /// here on.
    pub fn connect_within(&self, timeout: Duration) -> Socket {
        self.connect_with(ConnectOptions::new().timeout(timeout))
    }

    /// [`connect`](Self::connect) in another way than the default.
    pub fn connect_with(&self, options: ConnectOptions) -> Socket {
        let shared = &self.keep.shared;
        let session = Session::new(random_id(), shared.settings.limits);
        let connection = Connection::new(session, None, shared.background.clone());
        if let (Some(timeout), Ok(shared)) = (options.timeout, self.shared()) {
            *lock(&shared.connect_timeout) = timeout;
        }
        if options.reconnect == Some(false) {
            connection.pin();
        }
        match self.shared() {
            Ok(shared) => shared.supervise(&connection),
            Err(forked) => connection.fail(forked),
        }
        Socket::connecting(connection, Arc::clone(&self.keep), options.reconnect)
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
        let shared = self.shared()?;
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

    /// Who shares it: what was given to [`Builder::scope`], or what the environment said when it was built.
    pub fn scope(&self) -> &Scope {
        &self.keep.shared.identity.scope
    }

    /// What its name and scope amount to, as 32 hexadecimal digits. Processes meet on it if their keys and their
    /// [directories](Self::directory) are the same: it is for logs and comparisons.
    pub fn key(&self) -> String {
        self.keep.shared.key().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The directory of this channel, absolute: where this process meets the others, or would look
    /// for them now.
    ///
    /// Two processes that name the same channel and do not meet look in different directories:
    /// compare these first. Its parent is the runtime directory, which [`Builder::runtime_dir`] and
    /// `$OPEN_CHANNEL_DIR` choose.
    pub fn directory(&self) -> PathBuf {
        match self.shared() {
            Ok(shared) => shared.directory(),
            Err(_) => self.keep.shared.future_directory(),
        }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.place(Place::state)
    }

    /// Whether there is a host, perhaps this process.
    pub fn connected(&self) -> bool {
        self.state() == State::Connected
    }

    /// What this process is on the channel.
    pub fn role(&self) -> Role {
        self.place(Place::role)
    }

    /// The generation of the present host, 0 if there is none: a number that grows with every change of host
    /// and can serve as a fencing token.
    ///
    /// It grows for as long as the runtime directory stays. Without [`Builder::generation_file`] it
    /// begins anew at 1 after a restart of the machine, the user's last logout, or when something
    /// has removed the directory; in the last case two processes may have hosted under one
    /// generation. A resource that outlives these needs that file.
    pub fn generation(&self) -> u64 {
        self.place(Place::generation)
    }

    /// What happens from here on.
    pub fn events(&self) -> Events {
        let Ok(shared) = self.shared() else { return Events::inherited() };
        // Subscribed before the look: what comes in between is heard or seen.
        let receiver = shared.events.subscribe();
        let over = matches!(*shared.place.borrow(), Place::Closed(None));
        Events::new(receiver, over)
    }

    /// What the channel and all its sockets are doing in this process. Takes the lock of each of them for a moment.
    ///
    /// Any thread may ask, also while a listener hangs in another one: its messages are those that are
    /// [held](crate::SocketStats::held), for [so long](crate::SocketStats::oldest_unhandled).
    pub fn stats(&self) -> ChannelStats {
        self.shared().map_or_else(|_| ChannelStats::inherited(self.name()), |shared| shared.stats())
    }

    /// Closes the channel in an orderly way: flushes and closes the sockets from [`connect`](Self::connect), and
    /// if this process hosts, hands over.
    ///
    /// A host that hands over delivers nothing more from other processes, from the call on: that
    /// waits for the next host. Handlers may still answer and acknowledge the messages they have.
    /// The next host takes over when all of these are acknowledged, at the latest after the host
    /// timeout; it gets what is not acknowledged by then, marked as redelivered.
    ///
    /// Flushing takes at most the host timeout too, so that closing takes at most twice as long.
    ///
    /// # Errors
    /// Of the sockets that could not be flushed, the first one's error.
    ///
    /// # Cancel safety
    /// When dropped before it is done, closing goes on in the background.
    pub async fn close(&self) -> Result<(), Error> {
        let shared = Arc::clone(self.shared()?);
        let background = shared.background.clone();
        background.spawn(async move { shared.close().await }).await.unwrap_or(Err(Error::Closed))
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
            Self::Approaching { endpoint } | Self::Guest { endpoint, .. } => Some(endpoint),
            Self::Initiated | Self::Searching | Self::Closed(_) => None,
        }
    }

    /// Whether the host, or the one that may become it, listens there.
    pub(crate) fn leads_to(&self, place: &Path) -> bool {
        self.endpoint().is_some_and(|endpoint| endpoint.path() == place)
    }
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs for each socket that connects to a host.
pub(crate) enum Listener {
    Task { run: Box<dyn Fn(Socket) -> Task + Send + Sync>, runtime: Handle },
    Thread(Arc<dyn Fn(Socket) + Send + Sync>),
}

/// What [`Shared::prepare_listener`] has got ready: a thread, if the listener needs one.
#[derive(Debug)]
pub(crate) struct ReadyListener(Option<mpsc::SyncSender<Socket>>);

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
    root: Arc<Root>,
    generations: Option<GenerationFile>,
    listener: Option<Listener>,
    pub(crate) settings: Settings,
    connect_timeout: Mutex<Duration>,
    pub(crate) background: Handle,
    pub(crate) place: watch::Sender<Place>,
    closing: watch::Sender<Closing>,
    events: broadcast::Sender<Event>,
    connections: Mutex<Vec<Weak<Connection>>>,
    /// Those whose stall was reported and is not over.
    stalled: Mutex<Vec<Arc<Connection>>>,
}

impl Shared {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.identity.key
    }

    /// Nobody was reached within `after`; `cause` is what stood in the way last.
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

    /// The file that generations live on in, if there is one.
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

    /// Where it would look now. Takes no lock, so that a forked child may ask.
    fn future_directory(&self) -> PathBuf {
        // The call that opens it says what is wrong with it.
        self.root.path().unwrap_or_default().join(self.identity.directory())
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
            let (member, watching) = (Arc::clone(self), Arc::clone(self));
            self.background.spawn(async move {
                let watch = stall::watch(watching.settings.stall_after, |now| watching.look_for_silence(now));
                tokio::select! {
                    () = membership::run(member) => {}
                    () = watch => {}
                }
            });
        }
    }

    /// If this process hosts: its handlers get nothing more from others.
    fn retire(&self) {
        let host = match &*self.place.borrow() {
            Place::Hosting(host) => Arc::clone(host),
            _ => return,
        };
        host.retire(self);
    }

    async fn close(&self) -> Result<(), Error> {
        self.retire();
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

    /// Gets ready to run the listener once, so that nothing can fail when there is a socket for it.
    ///
    /// # Errors
    /// The kernel's: no thread can be started.
    pub(crate) fn prepare_listener(&self) -> io::Result<ReadyListener> {
        let Some(Listener::Thread(run)) = &self.listener else { return Ok(ReadyListener(None)) };
        let (sender, socket) = mpsc::sync_channel(1);
        let run = Arc::clone(run);
        let thread = std::thread::Builder::new().name("open-channel socket".into());
        thread.spawn(move || {
            if let Ok(socket) = socket.recv() {
                run(socket);
            }
        })?;
        Ok(ReadyListener(Some(sender)))
    }

    pub(crate) fn listen(&self, listener: ReadyListener, socket: Socket) {
        match (&self.listener, listener.0) {
            (Some(Listener::Task { run, runtime }), _) => drop(runtime.spawn(run(socket))),
            // The thread waits for it.
            (_, Some(thread)) => drop(thread.send(socket)),
            (_, None) => {}
        }
    }

    /// Connects a new socket to the host, and to each host after it.
    fn supervise(self: &Arc<Self>, connection: &Arc<Connection>) {
        if self.is_closing() {
            connection.fail(Error::Closed);
        }
        self.enlist(connection);
        self.start();
        self.background.spawn(peer::supervise(Arc::clone(self), Arc::clone(connection)));
    }

    fn enlist(&self, connection: &Arc<Connection>) {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }

    /// Whether it is one of the sockets from [`Channel::connect`].
    pub(crate) fn owns(&self, socket: SocketId) -> bool {
        self.connections().iter().any(|connection| connection.id() == socket)
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
