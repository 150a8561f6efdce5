//! Settings of a channel other than the defaults.

use std::future::Future;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::channel::Channel;
use crate::channel::settings::Settings;
use crate::channel::shared::{Accepted, Listener, Task};
use crate::error::Error;
use crate::link::LinkKind;
use crate::rendezvous::Scope;
use crate::socket::Socket;
use crate::sys::UserId;

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
}

/// Sets a channel up; from [`Channel::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` or `build_peer`"]
pub struct Builder {
    name: String,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(name: String) -> Self {
        Self { name, settings: Settings::default() }
    }

    /// Who shares the channel.
    ///
    /// By default as the environment says, for those who cannot change the program: with `OPEN_CHANNEL_SCOPE=user`
    /// every program of the user, and with `OPEN_CHANNEL_APP` set, or with `OPEN_CHANNEL_SCOPE=app` too, the programs
    /// of the application of that name. If neither is set, or both are empty, every program of the user. A value that
    /// cannot be understood makes [`build`](Self::build) fail with [`Error::InvalidSetting`], which names the variable.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.settings.scope = Some(scope);
        self
    }

    /// The directory in which processes meet, the same for all of them; created with mode 0700 if missing.
    ///
    /// A relative path is made absolute when the channel is made.
    ///
    /// By default `$OPEN_CHANNEL_DIR`, else the user's own directory. On Linux that is
    /// `$XDG_RUNTIME_DIR/open-channel` if that is in a
    /// directory of the user's own, else `/run/user/<uid>/open-channel` if that is in a private
    /// one, else `/tmp/open-channel-<uid>`. These three are looked up anew while the channel is
    /// open: its processes move when the user's runtime directory comes or goes. On macOS it is
    /// `open-channel` in the user's temporary directory (`getconf DARWIN_USER_TEMP_DIR`), on other
    /// Unix systems `/tmp/open-channel-<uid>`.
    /// [`Channel::directory`] tells which one is in use.
    ///
    /// The user, and what is looked up, are those of the moment when the channel is made. A process
    /// that changes its root directory (`chroot`) or its user afterwards looks nowhere else. As the
    /// host it stays until it can no longer tell whether another one has taken over. Once its host is gone,
    /// it fails with an error that names the cause. So change them before the channel is made.
    pub fn runtime_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.runtime_dir = Some(path.into());
        self
    }

    /// A file in which generations live on when the runtime directory does not: after a restart of
    /// the machine, a logout, or when something has removed the directory.
    /// [`generation`](crate::Channel::generation) is then a fencing token that never comes again,
    /// as long as the file stays. By default there is none.
    ///
    /// All processes that may host the channel have to name the same file, and no other channel
    /// may. Its directory has to exist, on a local disk; the file is made with mode 0600 if
    /// missing, and holds one decimal number. A relative path is made absolute when the channel is
    /// made. Symbolic links are not followed. With [`allow_user`](Self::allow_user) the file's owner
    /// and mode are yours to set.
    ///
    /// A process that becomes the host takes a lock on the file, writes a number above both the
    /// file's and the directory's, and waits until it is on the disk; so a change of host takes as
    /// long as the disk does, and generations may be skipped. Nobody can become the host while a
    /// process is stopped in the middle of this. A file that cannot be used is
    /// [`Error::GenerationFile`]. So is one that was damaged: that holds no number, or one above
    /// 2^52 which the channel's directory has not come to.
    pub fn generation_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.generation_file = Some(path.into());
        self
    }

    /// How long to look for a host (and, where this process may, try to become it) before the channel is closed
    /// with [`Error::Timeout`]; counts anew after every loss of a host.
    ///
    /// Default: [`DEFAULT_CONNECT_TIMEOUT`](crate::DEFAULT_CONNECT_TIMEOUT).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long a host may be silent before another takes over; at least 100 ms. All processes of a channel
    /// should agree on it. Default: [`DEFAULT_HOST_TIMEOUT`](crate::DEFAULT_HOST_TIMEOUT).
    pub fn host_timeout(mut self, timeout: Duration) -> Self {
        self.settings.host_timeout = timeout;
        self
    }

    /// How long a host keeps the session of a peer whose connection broke and whose process may still live.
    /// Default: [`DEFAULT_RESUME_TIMEOUT`](crate::DEFAULT_RESUME_TIMEOUT).
    pub fn resume_timeout(mut self, timeout: Duration) -> Self {
        self.settings.resume_timeout = timeout;
        self
    }

    /// After how long without an acknowledgement a socket counts as stalled, on either end, while
    /// messages wait for one.
    ///
    /// [`Event::Stalled`](crate::Event::Stalled), [`Socket::stalled`](crate::Socket::stalled) and the
    /// [statistics](crate::Channel::stats) report it, and nothing else happens. It is found with a
    /// delay of a quarter of this time at most, and of two seconds at most. Raise it if a handler may
    /// take longer than this for one message. [`Duration::MAX`] turns the event off. Not zero.
    ///
    /// Default: [`DEFAULT_STALL_AFTER`](crate::DEFAULT_STALL_AFTER).
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.settings.stall_after = time;
        self
    }

    /// Limit in bytes of what each socket holds of messages sent and not acknowledged; a message counts its length
    /// plus [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD), also while it lies in shared memory. One message always fits.
    /// Default: [`DEFAULT_OUTBOX_BYTES`](crate::DEFAULT_OUTBOX_BYTES).
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.outbox = bytes;
        self
    }

    /// Limit in bytes of what each socket holds of messages received and not handled, counted alike. Over shared memory
    /// the [ring](Self::ring_bytes) is a limit, too. Default: [`DEFAULT_RECEIVE_WINDOW`](crate::DEFAULT_RECEIVE_WINDOW).
    pub fn receive_window(mut self, bytes: usize) -> Self {
        self.settings.limits.window = bytes;
        self
    }

    /// Longest message in bytes, sent or received; a message longer than the other side takes ends the socket.
    /// Default: [`DEFAULT_MAX_MESSAGE`](crate::DEFAULT_MAX_MESSAGE).
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message = bytes;
        self
    }

    /// How often a message that this side sends is delivered at most, from 1 to
    /// [`MAX_ATTEMPTS`](crate::MAX_ATTEMPTS). Default: as often as it takes.
    ///
    /// An attempt is a host that may have seen the message and did not acknowledge it. A message that
    /// has had its last one comes back through [`Socket::undeliverable`](crate::Socket::undeliverable),
    /// and those behind it go on: so one message that kills every process that handles it does not
    /// kill all of them, one after the other.
    ///
    /// With a limit, what some host may have seen is sent to the next one alone: nothing else of the
    /// socket is under way until it is acknowledged. So only the message that does the harm is counted
    /// more than once. Other sockets of the same host are not held back.
    ///
    /// A host of an older version cannot be told that a number is passed over. It gets the message once
    /// more, and does not get a socket from which something was withdrawn already.
    pub fn max_attempts(mut self, attempts: impl Into<Option<NonZeroU32>>) -> Self {
        self.settings.limits.max_attempts = attempts.into();
        self
    }

    /// Sockets that this process serves at most as the host.
    /// Default: [`DEFAULT_MAX_CONNECTIONS`](crate::DEFAULT_MAX_CONNECTIONS).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Lets another user's processes on the channel, as hosts and as peers. The runtime directory is then no longer
    /// required to be private: its permissions are yours to set.
    ///
    /// May be called for several users. Their messages travel over a socket, never through shared
    /// memory. Default: none but the [user of this process](UserId::current).
    pub fn allow_user(mut self, user: UserId) -> Self {
        self.settings.allowed_users.push(user);
        self
    }

    /// Bytes of each of the two rings in shared memory that a socket offers to its host, one for each direction; rounded
    /// up to a power of two from 4 KiB to 16 MiB. The peer's setting counts; a host takes what it is offered.
    ///
    /// What was received and not handled stays in its ring, so that the smaller of ring and window is the limit. A message
    /// longer than the ring passes through in parts, once those before it are handled. A ring takes memory as it
    /// is used for the first time, page by page. Many messages of 64 KiB and more, written and
    /// read in place, pass up to three times as fast through a ring that is larger than the caches that a core has for itself, and
    /// has room for several of them: 2 MiB for 64 KiB, 8 MiB for 1 MiB.
    /// Default: [`DEFAULT_RING_BYTES`](crate::DEFAULT_RING_BYTES).
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.settings.ring_bytes = bytes;
        self
    }

    /// Limit in bytes of all rings in shared memory that this process has, on whatever channel and
    /// side; each socket between two processes counts twice its [`ring_bytes`](Self::ring_bytes).
    /// It is looked at when a socket of this channel connects: where there is no more room for its
    /// rings, the Unix socket carries on alone. The same happens where the limits of the process
    /// leave too little: its rings take no more than half of a memory control group, whatever is
    /// set here.
    /// Default: [`DEFAULT_RING_MEMORY`](crate::DEFAULT_RING_MEMORY) or a quarter of the machine's
    /// memory, whichever is less.
    pub fn ring_memory(mut self, bytes: usize) -> Self {
        self.settings.ring_memory = Some(bytes);
        self
    }

    /// Forces how sockets connect. By default the fastest that both sides can do is used, and memory is shared only with
    /// processes of the same user; [`Socket::link`](crate::Socket::link) tells what came of it.
    ///
    /// - [`LinkKind::Unix`]: no shared memory, with anybody, as a peer or as the host.
    /// - [`LinkKind::Ring`]: a socket whose host shares no memory fails with [`Error::Refused`]. As the host, this process
    ///   still serves peers that come without.
    /// - [`LinkKind::Local`]: in-process for the host's own sockets, a Unix socket for all others.
    ///
    /// The first two keep the host's own sockets from the in-process link.
    pub fn link(mut self, kind: LinkKind) -> Self {
        self.settings.link = Some(kind);
        self
    }

    /// The channel, with a listener that runs once for every socket that connects while this process hosts.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::InvalidSetting`], [`Error::NoRuntime`] outside of a tokio
    /// runtime, [`Error::Directory`] if a relative path of a directory cannot be made absolute, or
    /// the background thread could not be started.
    pub fn build<F, Fut>(self, listener: F) -> Result<Channel, Error>
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let listener = Arc::new(listener);
        let run = Box::new(move |accepted| {
            let listener = Arc::clone(&listener);
            // Made here: a runtime that has ended drops the task unpolled, and the socket with it.
            let socket = Socket::accepted(accepted);
            // A listener may panic before its first await: inside the task it is nobody else's trouble.
            let task = async move { listener(socket).await };
            Box::pin(task) as Task
        });
        Channel::with(self.name, self.settings, Some(Listener::Task { run, runtime }))
    }

    /// The channel, for a process that only joins and never hosts.
    ///
    /// # Errors
    /// As [`build`](Self::build), but for the runtime, which is not needed.
    pub fn build_peer(self) -> Result<Channel, Error> {
        Channel::with(self.name, self.settings, None)
    }

    pub(crate) fn build_threaded(
        self,
        listener: Arc<dyn Fn(Socket) + Send + Sync>,
    ) -> Result<Channel, Error> {
        let run = Arc::new(move |accepted: Accepted| listener(Socket::accepted(accepted)));
        Channel::with(self.name, self.settings, Some(Listener::Thread(run)))
    }
}
