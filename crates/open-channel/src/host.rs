//! Hosting: accepting, running the listener once per socket, keeping sessions for peers that come back, and
//! handing over.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use open_channel_proto::{
    Features, Frame, Heartbeat, Hello, Purpose, Reject, RejectCode, ResetCode, Session, SocketId, Welcome,
};
use open_channel_ring::RingLink;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::channel::{Closing, ReadyListener, Shared};
use crate::connection::{Connection, Ring};
use crate::driver;
use crate::election::Tenure;
use crate::error::Error;
use crate::fence::Fence;
use crate::greeting::{Unwelcome, read_first_frame, read_frame, reject_error, write_frame};
use crate::link::unix::{self, ProcessExit};
use crate::link::{PeerInfo, local, ring};
use crate::rendezvous::Endpoint;
use crate::socket::Socket;

/// A connection that has not introduced itself after this long is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed for want of descriptors or memory, in which others may free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// How often a hand-over looks whether the handlers are done.
const SETTLE_POLL: Duration = Duration::from_millis(1);

/// Why hosting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The channel is being closed; everything was handed over.
    Closing,
    /// Another process hosts.
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Only the sockets of this same channel come in, to get rid of what they hold. Handlers finish
    /// what they have.
    Retiring,
    /// Nothing new comes in; handlers finish what they have.
    Closing,
    /// The right to host is given back: peers may go.
    Released,
    /// It was lost, or the process behaves as if it had been killed: peers are told nothing.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Host {
    shared: Weak<Shared>,
    generation: u64,
    since: Instant,
    endpoint: Endpoint,
    fence: Arc<Fence>,
    sessions: Mutex<HashMap<SocketId, Arc<Connection>>>,
    /// Lifelines that have not ended, and sockets that are not greeted yet.
    links: AtomicUsize,
    phase: watch::Sender<Phase>,
    /// Since when handlers are waited for.
    retiring_since: OnceLock<Instant>,
}

impl Host {
    pub(crate) fn new(shared: &Arc<Shared>, tenure: &Tenure) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            generation: tenure.generation(),
            since: Instant::now(),
            endpoint: tenure.endpoint(),
            fence: Arc::new(tenure.fence(shared.settings.host_timeout)),
            sessions: Mutex::default(),
            links: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Open),
            retiring_since: OnceLock::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How long it has hosted.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The sockets that it serves.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.sessions().values().cloned().collect()
    }

    /// Where others connect.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Hosts until the channel is closed or another process has taken over.
    pub(crate) async fn serve(self: &Arc<Self>, mut tenure: Tenure) -> End {
        let Some(shared) = self.shared.upgrade() else { return End::Closing };
        let mut listener = tenure.take_listener().and_then(into_tokio);
        let mut spare = Spare::new();
        let mut beat = driver::beats(shared.settings.host_timeout / Heartbeat::PINGS_PER_TIMEOUT);
        loop {
            tokio::select! {
                closing = shared.closing() => {
                    if closing == Closing::Orderly {
                        let handed_over = self.hand_over(tenure, shared.settings.host_timeout);
                        // Newcomers are put off meanwhile: one without an answer would take this host
                        // for a stuck one.
                        tokio::select! {
                            () = handed_over => {}
                            never = self.accept_on(&shared, listener, &mut spare) => match never {},
                        }
                    } else {
                        self.step_down(Error::Closed);
                    }
                    return End::Closing;
                }
                _ = beat.tick() => {
                    if !self.fence.beat() {
                        self.step_down(Error::Fenced);
                        return End::Fenced;
                    }
                    // What cannot be restored now is tried again at the next beat.
                    if let Ok(Some(restored)) = tenure.restore() {
                        tracing::warn!(channel = shared.name(), "the socket file was deleted: restored");
                        listener = into_tokio(restored);
                    }
                }
                accepted = accept(listener.as_ref()) => {
                    self.accepted(&shared, accepted, listener.as_ref(), &mut spare).await;
                }
            }
        }
    }

    async fn accept_on(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        listener: Option<UnixListener>,
        spare: &mut Spare,
    ) -> Infallible {
        loop {
            let accepted = accept(listener.as_ref()).await;
            self.accepted(shared, accepted, listener.as_ref(), spare).await;
        }
    }

    async fn accepted(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        accepted: io::Result<UnixStream>,
        listener: Option<&UnixListener>,
        spare: &mut Spare,
    ) {
        match accepted {
            Ok(stream) => self.greet(shared, stream),
            Err(error) => {
                tracing::warn!(channel = shared.name(), %error, "accepting failed");
                if let Some(listener) = listener {
                    spare.turn_away(listener).await;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn greet(self: &Arc<Self>, shared: &Arc<Shared>, stream: UnixStream) {
        let (host, shared) = (Arc::clone(self), Arc::clone(shared));
        // Twice, because every process brings a lifeline along.
        let most = shared.settings.max_connections.saturating_mul(2);
        let full = self.links.fetch_add(1, Ordering::Relaxed) >= most;
        tokio::spawn(async move {
            // A peer that introduces itself wrongly or not at all only loses its own connection.
            let greeted = tokio::time::timeout(HANDSHAKE_TIMEOUT, host.welcome(&shared, stream, full)).await;
            match greeted {
                Ok(Ok(Some(lifeline))) => host.keep_lifeline(lifeline).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(channel = shared.name(), %error, "a connection was refused")
                }
                Err(_) => tracing::debug!(channel = shared.name(), "a connection did not introduce itself"),
            }
            host.links.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Answers a new connection; gives the stream back when it is a lifeline.
    async fn welcome(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut stream: UnixStream,
        full: bool,
    ) -> io::Result<Option<UnixStream>> {
        let peer = unix::peer(&stream)?;
        if !shared.settings.allows(peer.uid) {
            let reason = format!("user {} may not join this channel", peer.uid);
            return refuse(stream, Reject::new(RejectCode::Permission, reason)).await;
        }
        let (hello, descriptors) = match read_first_frame(&mut stream).await {
            Ok((Frame::Hello(hello), descriptors)) => (hello, descriptors),
            Ok(_) => return refuse(stream, Reject::new(RejectCode::Protocol, "a hello comes first")).await,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse(stream, Reject::new(RejectCode::Protocol, error.to_string())).await;
            }
            Err(error) => return Err(error),
        };
        let version = match hello.negotiate(&shared.key()) {
            Ok(version) => version,
            Err(reject) => return refuse(stream, reject).await,
        };
        if let Err(reject) = self.is_open(shared, &hello) {
            return refuse(stream, reject).await;
        }
        if full {
            return refuse(stream, Reject::new(RejectCode::TooManyConnections, self.full(shared))).await;
        }
        if hello.purpose == Purpose::Lifeline {
            write_frame(&mut stream, &Frame::Welcome(Welcome::lifeline(version, self.generation))).await?;
            return Ok(Some(stream));
        }
        match self.admit(shared, &hello, version, peer) {
            Err(reject) => refuse(stream, reject).await,
            Ok(Admission { connection, mut welcome, begins }) => {
                // Before the answer, which may find nobody: the peer comes again, and to this listener.
                if let Some((listener, socket)) = begins {
                    shared.listen(listener, socket);
                }
                let ring = take_offer(shared, &hello, descriptors, peer);
                if ring.is_some() {
                    welcome.features = Features::RING;
                }
                write_frame(&mut stream, &Frame::Welcome(welcome)).await?;
                let mut link = unix::into_link(stream, peer)?;
                if let Some(ring) = &ring {
                    link = link.beside_ring(ring.doorbell.clone());
                }
                connection.begin(link, ring.map(Ring::new));
                connection.changed.notify_one();
                Ok(None)
            }
        }
    }

    /// Whether this host may take anybody on.
    fn is_open(&self, shared: &Shared, hello: &Hello) -> Result<(), Reject> {
        let leaving = shared.is_closing()
            || match *self.phase.borrow() {
                Phase::Open => false,
                Phase::Retiring => !shared.owns(hello.socket),
                Phase::Closing | Phase::Released | Phase::Lost => true,
            };
        if leaving || !self.fence.holds() || hello.generation > self.generation {
            return Err(Reject::new(RejectCode::GoingAway, "its host is handing over"));
        }
        Ok(())
    }

    fn full(&self, shared: &Shared) -> String {
        format!("the host has its {} connections; raise max_connections", shared.settings.max_connections)
    }

    /// Finds or makes the session that a peer asks for.
    fn admit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        hello: &Hello,
        version: u16,
        peer: PeerInfo,
    ) -> Result<Admission, Reject> {
        let protocol = |error: String| Reject::new(RejectCode::Protocol, error);
        let mut sessions = self.sessions();
        // Once more, now that the sessions are locked: who closes the channel may be another thread,
        // and stops the delivery of those that are there.
        self.is_open(shared, hello)?;
        // Also of a peer that has never seen our welcome: its listener runs already.
        if let Some(connection) = sessions.get(&hello.socket) {
            let welcome = connection.resume(hello, version).map_err(|error| protocol(error.to_string()))?;
            tracing::info!(channel = shared.name(), socket = %hello.socket, "a socket resumed");
            return Ok(Admission { connection: Arc::clone(connection), welcome, begins: None });
        }
        if sessions.len() >= shared.settings.max_connections {
            return Err(Reject::new(RejectCode::TooManyConnections, self.full(shared)));
        }
        // The peer tries again, and may find others gone.
        let listener = shared.prepare_listener().map_err(|error| {
            Reject::new(RejectCode::Busy, format!("its host cannot start a thread for it: {error}"))
        })?;
        let (session, welcome) = Session::accept(hello, version, self.generation, shared.settings.limits)
            .map_err(|error| protocol(error.to_string()))?;
        let connection = Connection::new(session, Some(Arc::clone(&self.fence)), shared.background.clone());
        sessions.insert(hello.socket, Arc::clone(&connection));
        drop(sessions);
        shared.background.spawn(keep(
            Arc::downgrade(self),
            Arc::clone(&connection),
            shared.settings.resume_timeout,
            peer.pid,
        ));
        let begins = Some((listener, Socket::accepted(Arc::clone(&connection), shared, peer)));
        Ok(Admission { connection, welcome, begins })
    }

    /// Connects a socket of this same process.
    pub(crate) fn connect_local(self: &Arc<Self>, connection: &Arc<Connection>) -> Result<(), Unwelcome> {
        let Some(shared) = self.shared.upgrade() else {
            return Err(Unwelcome::Gone("this process hosts no longer".into()));
        };
        let (near, far) = local::pair().map_err(|error| Unwelcome::Later(error.to_string()))?;
        let hello = connection.hello(shared.key());
        let version = hello.negotiate(&shared.key()).map_err(reject_error)?;
        self.is_open(&shared, &hello).map_err(reject_error)?;
        let Admission { connection: accepted, welcome, begins } =
            self.admit(&shared, &hello, version, far.peer()).map_err(reject_error)?;
        accepted.begin(far, None);
        accepted.changed.notify_one();
        connection.attach(near, None, &welcome).map_err(Unwelcome::Refused)?;
        if let Some((listener, socket)) = begins {
            shared.listen(listener, socket);
        }
        Ok(())
    }

    /// Answers pings until the other side goes or this host gives up hosting.
    async fn keep_lifeline(&self, mut stream: UnixStream) {
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                frame = read_frame(&mut stream) => {
                    let Ok(Frame::Ping { nonce }) = frame else { return };
                    if write_frame(&mut stream, &Frame::Pong { nonce }).await.is_err() {
                        return;
                    }
                }
                end = over(&mut phase) => {
                    if end == Phase::Released {
                        // Who cannot be told finds out by the end of the stream.
                        let _ = write_frame(&mut stream, &Frame::GoAway).await;
                    }
                    return;
                }
            }
        }
    }

    /// The hand-over begins: from here on, what the peers send is for the next host. The sockets of
    /// this same channel go on: closing the channel flushes them first.
    pub(crate) fn retire(&self, shared: &Shared) {
        let begins = self.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Open;
            if begins {
                *phase = Phase::Retiring;
            }
            begins
        });
        if begins {
            self.retiring_since.get_or_init(Instant::now);
            let connections = self.connections();
            let others = connections.iter().filter(|connection| !shared.owns(connection.id()));
            others.for_each(|connection| connection.stop_delivery());
        }
    }

    /// Handlers finish what they have, then the right to host is given back, then the peers are told.
    async fn hand_over(&self, tenure: Tenure, patience: Duration) {
        self.phase.send_replace(Phase::Closing);
        let patience = patience.saturating_sub(self.retiring_since.get_or_init(Instant::now).elapsed());
        let connections = self.connections();
        connections.iter().for_each(|connection| connection.stop_delivery());
        let settled = async {
            while !connections.iter().all(|connection| connection.is_settled()) {
                tokio::time::sleep(SETTLE_POLL).await;
            }
        };
        if tokio::time::timeout(patience, settled).await.is_err() {
            tracing::warn!(generation = self.generation, "handlers did not finish before the hand-over");
        }
        if !self.fence.holds() {
            // Another process has taken over meanwhile: there is nothing to hand over.
            return self.step_down(Error::Fenced);
        }
        self.fence.give_up();
        drop(tenure);
        connections.iter().for_each(|connection| connection.say_go_away());
        self.phase.send_replace(Phase::Released);
        tracing::info!(generation = self.generation, "handed over");
    }

    fn step_down(&self, why: Error) {
        self.fence.give_up();
        self.sessions().drain().for_each(|(_, connection)| connection.fail(why.clone()));
        // Lifelines end too.
        self.phase.send_replace(Phase::Lost);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SocketId, Arc<Connection>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A descriptor kept for the day when there are no more: a newcomer who gets no answer would take this host for a
/// stuck one.
struct Spare(Option<std::fs::File>);

impl Spare {
    fn new() -> Self {
        Self(std::fs::File::open("/dev/null").ok())
    }

    /// Answers one waiting connection with the spare descriptor.
    async fn turn_away(&mut self, listener: &UnixListener) {
        self.0 = None;
        let reject = Reject::new(
            RejectCode::Busy,
            "its host has no file descriptors left: raise its limit (ulimit -n)",
        );
        // It may have gone, or another thread may have been quicker to take the descriptor.
        if let Ok(Ok((stream, _))) = tokio::time::timeout(ACCEPT_PAUSE, listener.accept()).await {
            let _ = refuse(stream, reject).await;
        }
        *self = Self::new();
    }
}

struct Admission {
    connection: Arc<Connection>,
    welcome: Welcome,
    /// What the listener begins with, unless it runs already.
    begins: Option<(ReadyListener, Socket)>,
}

/// Maps the rings that a peer offers, if it does and may.
fn take_offer(shared: &Shared, hello: &Hello, descriptors: Vec<OwnedFd>, peer: PeerInfo) -> Option<RingLink> {
    if !hello.features.contains(Features::RING) || !shared.settings.shares_memory_with(peer.uid) {
        return None;
    }
    ring::accept(hello.ring, descriptors, shared.settings.ring_memory)
        .inspect_err(|error| {
            tracing::debug!(channel = shared.name(), %error, "a ring was declined: the socket carries on alone");
        })
        .ok()
}

fn into_tokio(listener: StdListener) -> Option<UnixListener> {
    UnixListener::from_std(listener)
        .inspect_err(|error| tracing::error!(%error, "the listener cannot be watched"))
        .ok()
}

/// How hosting ended.
async fn over(phase: &mut watch::Receiver<Phase>) -> Phase {
    let over = phase.wait_for(|phase| matches!(phase, Phase::Released | Phase::Lost)).await;
    over.map_or(Phase::Lost, |phase| *phase)
}

async fn accept(listener: Option<&UnixListener>) -> io::Result<UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn refuse(mut stream: UnixStream, reject: Reject) -> io::Result<Option<UnixStream>> {
    let error = io::Error::other(reject.reason.clone());
    write_frame(&mut stream, &Frame::Reject(reject)).await?;
    Err(error)
}

/// Keeps a session while its peer may come back.
async fn keep(host: Weak<Host>, connection: Arc<Connection>, resume_timeout: Duration, pid: Option<u32>) {
    while !connection.is_over() {
        if connection.is_connected() {
            connection.changed.notified().await;
            continue;
        }
        if connection.needs_no_link() {
            connection.reset(ResetCode::Closed, "closed");
        }
        let peer = ProcessExit::of(pid);
        tokio::select! {
            () = connection.changed.notified() => {}
            () = peer.wait() => connection.fail(Error::PeerGone),
            () = tokio::time::sleep(resume_timeout) => connection.fail(Error::PeerGone),
        }
    }
    if let Some(host) = host.upgrade() {
        host.sessions().remove(&connection.id());
    }
}
