//! The place of a test: a directory and a channel of its own, on one of the links, under a
//! watchdog.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc::RecvTimeoutError;
use std::task::Poll;
use std::time::Duration;

use open_channel::{Builder, Channel, LinkKind, Socket};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longer than any test takes on a busy machine. Under Wine they take longer.
const WATCHDOG: Duration = Duration::from_secs(if cfg!(windows) { 150 } else { 30 });

/// The system's own kind of link between processes.
const SOCKET: LinkKind = if cfg!(windows) { LinkKind::Pipe } else { LinkKind::Unix };

/// The link between a test's sockets and their host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sockets of the hosting channel itself, in-process.
    Local,
    /// Sockets of the hosting channel itself, over its Unix socket.
    Unix,
    /// Sockets of another channel object, which joins as a peer over the Unix socket.
    Peer,
    /// The same, over rings in shared memory.
    Ring,
    /// The same, over loopback TCP.
    Tcp,
}

/// A directory in which nothing else happens.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) kind: Kind,
    dir: TempDir,
}

impl World {
    fn new(kind: Kind) -> Self {
        raise_descriptor_limit();
        Self { kind, dir: TempDir::with_prefix("oc-").expect("a temporary directory") }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A builder of channels that meet here and nowhere else.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Channel::builder("conformance").runtime_dir(self.dir.path().join("run"));
        match self.kind {
            Kind::Local => builder,
            Kind::Unix | Kind::Peer => builder.link(SOCKET),
            Kind::Ring => builder.link(LinkKind::Ring),
            Kind::Tcp => builder.link(LinkKind::Tcp),
        }
    }

    /// Whether the test's sockets come from another channel object than the host's.
    pub(crate) fn joins_as_peer(&self) -> bool {
        matches!(self.kind, Kind::Peer | Kind::Ring | Kind::Tcp)
    }

    pub(crate) fn link(&self) -> LinkKind {
        match self.kind {
            Kind::Local => LinkKind::Local,
            Kind::Unix | Kind::Peer => SOCKET,
            Kind::Ring => LinkKind::Ring,
            Kind::Tcp => LinkKind::Tcp,
        }
    }

    /// A hosted channel whose listener hands its sockets to the test.
    pub(crate) async fn hosted(&self) -> Hosted {
        self.hosted_with(|builder| builder).await
    }

    pub(crate) async fn hosted_with(&self, tune: impl Fn(Builder) -> Builder) -> Hosted {
        let (tell, accepted) = mpsc::unbounded_channel();
        let listener = move |socket| {
            let tell = tell.clone();
            async move { drop(tell.send(socket)) }
        };
        let (host, channel) = self.serve_with(&tune, listener).await;
        Hosted { channel, accepted, host }
    }

    /// The host, and the channel to connect from: the same one, or a peer.
    pub(crate) async fn serve<F, Fut>(&self, listener: F) -> (Channel, Channel)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.serve_with(|builder| builder, listener).await
    }

    pub(crate) async fn serve_with<F, Fut>(
        &self,
        tune: impl Fn(Builder) -> Builder,
        listener: F,
    ) -> (Channel, Channel)
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let host = tune(self.builder()).build(listener).expect("a channel");
        if !self.joins_as_peer() {
            return (host.clone(), host);
        }
        host.join().await.expect("hosting");
        let peer = tune(self.builder()).build_peer().expect("a peer's channel");
        (host, peer)
    }

    /// Two connected sockets: the peer's end and the host's.
    pub(crate) async fn pair(&self) -> Pair {
        self.pair_with(|builder| builder).await
    }

    pub(crate) async fn pair_with(&self, tune: impl Fn(Builder) -> Builder) -> Pair {
        let mut hosted = self.hosted_with(tune).await;
        let (near, far) = hosted.connect().await;
        Pair { near, far, hosted }
    }
}

/// A channel whose accepted sockets belong to the test.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) channel: Channel,
    accepted: mpsc::UnboundedReceiver<Socket>,
    /// The channel that hosts, which may be the same.
    pub(crate) host: Channel,
}

impl Hosted {
    pub(crate) async fn connect(&mut self) -> (Socket, Socket) {
        let near = self.channel.connect();
        let far = self.accept().await;
        assert_eq!(near.id(), far.id());
        until(|| near.connected()).await;
        (near, far)
    }

    pub(crate) async fn accept(&mut self) -> Socket {
        self.accepted.recv().await.expect("the listener lives")
    }
}

/// One socket, both ends.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The peer's end.
    pub(crate) near: Socket,
    /// The host's end.
    pub(crate) far: Socket,
    pub(crate) hosted: Hosted,
}

/// Runs an async test in a world of its own.
pub(crate) fn run<Fut: Future<Output = ()> + 'static>(kind: Kind, test: fn(World) -> Fut) {
    watched(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test(World::new(kind)));
        runtime.shutdown_background();
    });
}

/// Runs a test without a runtime.
pub(crate) fn run_blocking(kind: Kind, test: fn(World)) {
    watched(move || test(World::new(kind)));
}

fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        test();
        // The receiver is gone when the watchdog has ended the test.
        let _ = done.send(());
    });
    let thread = thread.expect("a thread");
    match wait.recv_timeout(WATCHDOG) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Windows has no such limit.
#[cfg(windows)]
fn raise_descriptor_limit() {}

/// Many tests run at once in this process.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised");
}

/// Waits for a state without a notification.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Polls a future one time.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls a future one time and drops it.
pub(crate) async fn poll_and_drop<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_once(future.as_mut()).await
}

/// Bytes that identify their position.
pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) ^ (at >> 8) ^ (seed * 131)) as u8).collect()
}

/// The next message's bytes, acknowledged; panics at the end.
pub(crate) async fn next(socket: &Socket) -> ::bytes::Bytes {
    socket.recv().await.expect("a message").expect("not the end").into_bytes()
}
