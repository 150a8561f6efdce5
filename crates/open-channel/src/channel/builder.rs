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
use crate::rendezvous::identity::Scope;
use crate::socket::Socket;
use crate::sys::UserId;

impl Channel {
    /// A channel that this process may host; `listener` then runs once for every socket that
    /// connects.
    ///
    /// Listeners run on the current tokio runtime. A listener that panics takes down its own
    /// connection only.
    ///
    /// # Errors
    /// - [`Error::InvalidName`].
    /// - [`Error::InvalidSetting`] for the environment's scope.
    /// - [`Error::NoRuntime`] outside of a tokio runtime.
    /// - [`Error::Directory`] if a relative path of a directory cannot be made absolute.
    /// - [`Error::Io`] if the background thread could not be started.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let channel = open_channel::Channel::builder("hello").runtime_dir(dir.path().join("d"))
    /// #   .build(|socket| async move {
    /// #     while let Ok(Some(message)) = socket.recv().await {
    /// #         let _ = socket.send([b"hello, ", &message[..]].concat()).await;
    /// #         message.ack();
    /// #     }
    /// # })?;
    /// # if false {
    /// let channel = open_channel::Channel::new("hello", |socket| async move {
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
    /// As [`new`](Self::new), without the error for the runtime, which is not needed.
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

    /// Sets the scope: the programs that share the channel.
    ///
    /// By default the environment decides, so that users need not change the program:
    /// - `OPEN_CHANNEL_SCOPE=user`: every program of the user;
    /// - `OPEN_CHANNEL_APP` set, alone or with `OPEN_CHANNEL_SCOPE=app`: the programs of the
    ///   application of that name;
    /// - neither set, or both empty: every program of the user.
    ///
    /// With any other value, [`build`](Self::build) fails with [`Error::InvalidSetting`], which
    /// names the variable.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.settings.scope = Some(scope);
        self
    }

    /// The directory in which processes meet, the same for all of them. It is created with mode
    /// 0700 if missing. A relative path is made absolute when the channel is made.
    ///
    /// By default it is the first of these:
    /// 1. `$OPEN_CHANNEL_DIR`;
    /// 2. `$XDG_RUNTIME_DIR/open-channel`, if that is in a directory of the user's own;
    /// 3. `/run/user/<uid>/open-channel`, if that is in a private directory;
    /// 4. `/tmp/open-channel-<uid>`.
    ///
    /// On other systems than Linux the last three are one: `open-channel` in the user's temporary
    /// directory on macOS (`getconf DARWIN_USER_TEMP_DIR`), and `/tmp/open-channel-<uid>` elsewhere
    /// on Unix. They are evaluated again while the channel is open: its processes move when the
    /// user's runtime directory comes or goes. [`Channel::directory`] returns the one in use.
    ///
    /// The user and the environment are read once, when the channel is made. So change the root
    /// directory (`chroot`) or the user before that. A process that changes them afterwards does
    /// not follow. As the host it stays host until it can no longer see whether another process
    /// took over. Once its host is gone, it fails with an error that names the cause.
    pub fn runtime_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.runtime_dir = Some(path.into());
        self
    }

    /// A file that holds the generation, for the case that the runtime directory is lost. That
    /// happens after a restart of the machine, after a logout, or when something removes it.
    /// [`generation`](crate::Channel::generation) is then a fencing token that never repeats, as
    /// long as the file stays. By default there is none.
    ///
    /// All processes that may host the channel have to name the same file, and no other channel
    /// may.
    /// - Its directory has to exist, on a local disk.
    /// - The file is made with mode 0600 if missing, and holds one decimal number.
    /// - A relative path is made absolute when the channel is made.
    /// - Symbolic links are not followed.
    /// - With [`allow_user`](Self::allow_user) the file's owner and mode are yours to set.
    ///
    /// A process that becomes the host locks the file and writes a number above both the file's and
    /// the directory's. Then it waits until the number is on the disk. So a change of host takes as
    /// long as the disk does, and generations may be skipped. While a process is stopped in the
    /// middle of this, nobody can become the host.
    ///
    /// A file that cannot be used is [`Error::GenerationFile`]. So is a damaged one: it holds no
    /// number, or one above 2^52 that the channel's directory has not reached.
    pub fn generation_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.generation_file = Some(path.into());
        self
    }

    /// Time to find a host in, or to become it where this process may. Afterwards the channel is
    /// closed with [`Error::Timeout`]. The time begins anew after every loss of a host.
    ///
    /// Not zero.
    /// Default: [`DEFAULT_CONNECT_TIMEOUT`](crate::DEFAULT_CONNECT_TIMEOUT).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Time for which a host may be silent before another takes over; at least 100 ms. All
    /// processes of a channel should agree on it. Default:
    /// [`DEFAULT_HOST_TIMEOUT`](crate::DEFAULT_HOST_TIMEOUT).
    pub fn host_timeout(mut self, timeout: Duration) -> Self {
        self.settings.host_timeout = timeout;
        self
    }

    /// Time for which a host holds the session of a peer whose connection broke and whose process
    /// may still live. Default: [`DEFAULT_RESUME_TIMEOUT`](crate::DEFAULT_RESUME_TIMEOUT).
    pub fn resume_timeout(mut self, timeout: Duration) -> Self {
        self.settings.resume_timeout = timeout;
        self
    }

    /// Time without an acknowledgement after which a socket counts as stalled, on either end, while
    /// messages wait for one. Not zero.
    ///
    /// [`Event::Stalled`](crate::Event::Stalled), [`Socket::stalled`](crate::Socket::stalled) and
    /// the [statistics](crate::Channel::stats) report it, and nothing else happens. The report
    /// comes late by at most a quarter of this time, and by at most two seconds. Raise the time if
    /// a handler may take longer for one message. [`Duration::MAX`] turns the event off.
    ///
    /// Default: [`DEFAULT_STALL_AFTER`](crate::DEFAULT_STALL_AFTER).
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.settings.stall_after = time;
        self
    }

    /// Limit in bytes of the messages that each socket has sent and that are not acknowledged. A
    /// message counts its length plus [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD), also while it
    /// lies in shared memory. One message always fits. Default:
    /// [`DEFAULT_OUTBOX_BYTES`](crate::DEFAULT_OUTBOX_BYTES).
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.outbox = bytes;
        self
    }

    /// Limit in bytes of the messages that each socket has received and that are not handled. They
    /// count as in the [outbox](Self::outbox_bytes). Over shared memory the
    /// [ring](Self::ring_bytes) is a limit, too. Default:
    /// [`DEFAULT_RECEIVE_WINDOW`](crate::DEFAULT_RECEIVE_WINDOW).
    pub fn receive_window(mut self, bytes: usize) -> Self {
        self.settings.limits.window = bytes;
        self
    }

    /// Longest message in bytes, sent or received. A message longer than the other side's limit
    /// ends the socket. Not zero. Default: [`DEFAULT_MAX_MESSAGE`](crate::DEFAULT_MAX_MESSAGE).
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message = bytes;
        self
    }

    /// Limit of the attempts at a message that this side sends, from 1 to
    /// [`MAX_ATTEMPTS`](crate::MAX_ATTEMPTS). Default: no limit.
    ///
    /// An attempt is a host that may have seen the message and did not acknowledge it. After its
    /// last attempt, a message comes back through
    /// [`Socket::undeliverable`](crate::Socket::undeliverable), and the messages behind it go on.
    /// So a message that kills every process that handles it cannot kill all of them, one after the
    /// other.
    ///
    /// With a limit, a message that some host may have seen is sent to the next one alone. Nothing
    /// else of the socket is under way until it is acknowledged. So only the message that does the
    /// harm is counted more than once. Other sockets of the same host are not held back.
    ///
    /// A host of an older version cannot skip a number. It gets the message once more. It does not
    /// get a socket from which a message was withdrawn already.
    pub fn max_attempts(mut self, attempts: impl Into<Option<NonZeroU32>>) -> Self {
        self.settings.limits.max_attempts = attempts.into();
        self
    }

    /// Limit of the sockets that this process serves as the host. Not zero. Default:
    /// [`DEFAULT_MAX_CONNECTIONS`](crate::DEFAULT_MAX_CONNECTIONS).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// Admits another user's processes to the channel, as hosts and as peers. The runtime directory
    /// is then no longer required to be private: its permissions are yours to set.
    ///
    /// May be called for several users. Their messages travel over a socket, never through shared
    /// memory. Default: only the [user of this process](UserId::current).
    pub fn allow_user(mut self, user: UserId) -> Self {
        self.settings.allowed_users.push(user);
        self
    }

    /// Limit in bytes of a ring in shared memory. A socket offers two of them to its host, one for
    /// each direction. The limit is rounded up to a power of two from 4 KiB to 16 MiB. The peer's
    /// setting counts; a host takes the size that it is offered.
    ///
    /// A ring uses 256 KiB of it at first, which stay in the caches of a core. It uses more for
    /// large messages, 32 times as much as one of them takes, and while the receiver is behind; it
    /// uses less again once that is over. Memory is taken page by page, and given back.
    ///
    /// A message stays in its ring until it is handled. Messages that find no room wait in the
    /// [outbox](Self::outbox_bytes). A message longer than the ring passes through in parts.
    ///
    /// Default: [`DEFAULT_RING_BYTES`](crate::DEFAULT_RING_BYTES).
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.settings.ring_bytes = bytes;
        self
    }

    /// Limit in bytes of all rings of this process, over all channels and on both sides. Each
    /// socket between two processes counts what its rings use at first, and what the one that this
    /// side writes uses more since.
    ///
    /// The limit is checked when a socket of this channel connects, and when a ring would use more.
    /// A socket whose rings do not fit uses the Unix socket alone; a ring that may not grow lets
    /// messages wait in the outbox. The same happens where the limits of the process leave too
    /// little memory. Rings take at most half of a memory control group, even if this limit is
    /// higher.
    ///
    /// Default: [`DEFAULT_RING_MEMORY`](crate::DEFAULT_RING_MEMORY) or a quarter of the machine's
    /// memory, whichever is less.
    pub fn ring_memory(mut self, bytes: usize) -> Self {
        self.settings.ring_memory = Some(bytes);
        self
    }

    /// Forces the kind of link. By default `$OPEN_CHANNEL_LINK` does, with the
    /// [name](LinkKind::name) of a kind. Without either, a socket uses the fastest that both sides
    /// can use, and memory is shared only with processes of the same user.
    /// [`Socket::link`](crate::Socket::link) returns the kind in use.
    ///
    /// - [`LinkKind::Ring`]: a socket whose host shares no memory fails with [`Error::Refused`]. As
    ///   the host, this process still serves peers without a ring.
    /// - [`LinkKind::Unix`], on Windows [`LinkKind::Pipe`]: no shared memory, with anybody, as a peer
    ///   or as the host. On the other system it is an invalid setting.
    /// - [`LinkKind::Tcp`]: TCP on the loopback interface, as a peer and as the host, for processes
    ///   of one user. By default a host listens there only where no socket file can be made.
    /// - [`LinkKind::Local`]: in-process for the host's own sockets, a Unix socket for all others.
    ///
    /// The first three keep the host's own sockets from the in-process link. A host listens either
    /// on a Unix socket or on TCP. A process that is forced to use the other one fails with
    /// [`Error::Link`].
    pub fn link(mut self, kind: LinkKind) -> Self {
        self.settings.link = Some(kind);
        self
    }

    /// Whether processes of this user may [tap](crate::inspect::Found::tap) the channel while this
    /// process hosts it: see copies of its messages without taking part. `open-channel tap` does.
    ///
    /// A tap slows nobody: what it is too slow for is dropped, and counted. While there is one,
    /// each message is copied once more. A host has 8 taps at most, and holds 4 MiB for each.
    ///
    /// Default: what `$OPEN_CHANNEL_TAP` says, 0 or 1; without it, no.
    pub fn tap(mut self, allowed: bool) -> Self {
        self.settings.tap = Some(allowed);
        self
    }

    /// The channel, with a listener that runs once for every socket that connects while this
    /// process hosts.
    ///
    /// # Errors
    /// - [`Error::InvalidName`] and [`Error::InvalidSetting`].
    /// - [`Error::NoRuntime`] outside of a tokio runtime.
    /// - [`Error::Directory`] if a relative path of a directory cannot be made absolute.
    /// - [`Error::Io`] if the background thread could not be started.
    pub fn build<F, Fut>(self, listener: F) -> Result<Channel, Error>
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let listener = Arc::new(listener);
        let run = Box::new(move |accepted| {
            let listener = Arc::clone(&listener);
            // Made outside the task: a runtime that has ended drops the task unpolled, and the
            // socket with it.
            let socket = Socket::accepted(accepted);
            // The call is inside the task: a panic before the first await then ends this task only.
            let task = async move { listener(socket).await };
            Box::pin(task) as Task
        });
        Channel::with(self.name, self.settings, Some(Listener::Task { run, runtime }))
    }

    /// The channel, for a process that only joins and never hosts.
    ///
    /// # Errors
    /// As [`build`](Self::build), without the error for the runtime, which is not needed.
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
