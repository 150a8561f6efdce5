//! Hosting: accepting, running the listener once per socket, and keeping sessions for peers that
//! come back.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use open_channel_proto::{
    Features, Frame, Heartbeat, Hello, Purpose, Reject, RejectCode, ResetCode, Session, Welcome,
};
use open_channel_ring::Descriptor;

use crate::background;
use crate::channel::shared::{Accepted, Closing, ReadyListener, Shared};
use crate::connection::tap::TapEnd;
use crate::connection::{Connection, HostCheck, driver};
use crate::error::Error;
use crate::link::{Bound, Incoming, Listener, PeerInfo, Stream, local, ring};
use crate::membership::handshake::{
    HandshakeError, read_first_frame, read_frame, reject_error, write_frame,
};
use crate::membership::host::{Host, Phase};
use crate::membership::status;
use crate::rendezvous::election::Tenure;
use crate::sys::{ProcessExit, UserId};

/// A connection without a hello is closed after this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed for want of descriptors or memory: others may free some
/// meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The reason why hosting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The channel is being closed; everything was handed over.
    Closing,
    /// Another process hosts.
    Fenced,
}

/// Takes connections on for a host: those of other processes, and those of this one.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
    host: Arc<Host>,
}

impl Acceptor {
    pub(crate) fn new(shared: &Arc<Shared>, host: &Arc<Host>) -> Self {
        Self { shared: Arc::clone(shared), host: Arc::clone(host) }
    }

    /// Hosts until the channel is closed or another process has taken over.
    pub(crate) async fn serve(&self, mut tenure: Tenure) -> End {
        let shared = &self.shared;
        let mut listener = tenure.take_listener().and_then(watch);
        let mut spare = Spare::new();
        let mut beat =
            background::beats(shared.settings.host_timeout / Heartbeat::PINGS_PER_TIMEOUT);
        loop {
            tokio::select! {
                closing = shared.closing() => {
                    if closing == Closing::Orderly {
                        let handed_over = self.host.hand_over(tenure, shared.settings.host_timeout);
                        // Newcomers are put off meanwhile: without an answer they would take this
                        // host for a stuck one.
                        tokio::select! {
                            () = handed_over => {}
                            never = self.accept_on(listener.as_mut(), &mut spare) => match never {},
                        }
                    } else {
                        self.host.step_down(Error::Closed);
                    }
                    return End::Closing;
                }
                _ = beat.tick() => {
                    if !self.host.fence.beat() {
                        self.host.step_down(Error::Fenced);
                        return End::Fenced;
                    }
                    // A socket file that cannot be restored now is tried again at the next tick.
                    if let Ok(Some(restored)) = tenure.restore() {
                        tracing::warn!(channel = shared.name(), "the socket file was deleted: restored");
                        listener = watch(restored);
                    }
                }
                accepted = accept(listener.as_mut()) => {
                    self.accepted(accepted, listener.as_mut(), &mut spare).await;
                }
            }
        }
    }

    async fn accept_on(
        &self,
        mut listener: Option<&mut Listener>,
        spare: &mut Spare,
    ) -> Infallible {
        loop {
            let accepted = accept(listener.as_deref_mut()).await;
            self.accepted(accepted, listener.as_deref_mut(), spare).await;
        }
    }

    async fn accepted(
        &self,
        accepted: io::Result<Incoming>,
        listener: Option<&mut Listener>,
        spare: &mut Spare,
    ) {
        match accepted {
            Ok(incoming) => self.introduce(incoming),
            Err(error) => {
                tracing::warn!(channel = self.shared.name(), %error, "accepting failed");
                if let Some(listener) = listener {
                    spare.turn_away(listener).await;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Answers a new connection in a task of its own, so that a peer with a wrong hello, or none,
    /// loses only that connection.
    fn introduce(&self, incoming: Incoming) {
        let acceptor = self.clone();
        tokio::spawn(async move {
            let channel = acceptor.shared.name();
            let mut counted = None;
            let welcome = async {
                let (stream, peer) = incoming.identify().await?;
                // Strangers do not count, or they could keep others out.
                let counted = counted.insert(Counted::new(&acceptor.host.links));
                acceptor.welcome(stream, peer, counted).await
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, welcome).await {
                Ok(Ok(Some((stream, Purpose::Status)))) => {
                    status::answer(stream, &acceptor.shared, &acceptor.host).await;
                }
                Ok(Ok(Some((lifeline, _)))) => acceptor.answer_lifeline(lifeline).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(channel, %error, "a connection was refused"),
                Err(_) => tracing::debug!(channel, "a connection did not introduce itself"),
            }
        });
    }

    /// Answers a new connection; gives the stream back when it carries no session.
    async fn welcome(
        &self,
        stream: Stream,
        peer: PeerInfo,
        counted: &Counted<'_>,
    ) -> io::Result<Option<(Stream, Purpose)>> {
        if !self.shared.settings.allows(peer.user()) {
            let reason = format!("user {} may not join this channel", peer.user());
            return refuse(stream, Reject::new(RejectCode::Permission, reason)).await;
        }
        let (hello, descriptors) = match read_first_frame(&stream).await {
            Ok((Frame::Hello(hello), descriptors)) => (hello, descriptors),
            Ok(_) => {
                return refuse(stream, Reject::new(RejectCode::Protocol, "a hello comes first"))
                    .await;
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse(stream, Reject::new(RejectCode::Protocol, error.to_string())).await;
            }
            Err(error) => return Err(error),
        };
        let version = match hello.negotiate(&self.shared.key()) {
            Ok(version) => version,
            Err(reject) => return refuse(stream, reject).await,
        };
        // A host that is leaving answers questions still: it may wait for a handler that hangs.
        let asks = hello.purpose == Purpose::Status;
        let admitted = if asks { may_ask(peer.user()) } else { self.is_open(&hello) };
        if let Err(reject) = admitted {
            return refuse(stream, reject).await;
        }
        // Twice, because every process has a lifeline, too.
        if counted.others >= self.shared.settings.max_connections.saturating_mul(2) {
            return refuse(stream, Reject::new(RejectCode::TooManyConnections, self.full())).await;
        }
        if hello.purpose != Purpose::Session {
            write_frame(
                &stream,
                &Frame::Welcome(Welcome::lifeline(version, self.host.generation())),
            )
            .await?;
            return Ok(Some((stream, hello.purpose)));
        }
        match self.admit(&hello, version, peer.clone()) {
            Err(reject) => refuse(stream, reject).await,
            Ok(Admission { connection, mut welcome, begins }) => {
                // Before the answer, which may fail: the peer then comes again, to this same
                // listener.
                if let Some((listener, accepted)) = begins {
                    self.shared.listen(listener, accepted);
                }
                let ring = take_offer(&self.shared, &hello, descriptors, peer.user());
                if ring.is_some() {
                    welcome.features = Features::RING;
                }
                write_frame(&stream, &Frame::Welcome(welcome)).await?;
                let link = stream.into_link(peer)?;
                let link = match &ring {
                    Some(ring) => link.beside_ring(ring.link.doorbell.clone()),
                    None => link,
                };
                driver::begin(&connection, link, ring);
                connection.changed.notify_one();
                Ok(None)
            }
        }
    }

    /// Whether this host may take on any peer.
    fn is_open(&self, hello: &Hello) -> Result<(), Reject> {
        let leaving = self.shared.is_closing()
            || match *self.host.phase.borrow() {
                Phase::Open => false,
                Phase::Retiring => !self.shared.owns(hello.socket),
                Phase::Closing | Phase::Released | Phase::Lost => true,
            };
        if leaving || !self.host.fence.holds() || hello.generation > self.host.generation() {
            return Err(Reject::new(RejectCode::GoingAway, "its host is handing over"));
        }
        Ok(())
    }

    fn full(&self) -> String {
        format!(
            "the host has its {} connections; raise max_connections",
            self.shared.settings.max_connections
        )
    }

    /// Finds or makes the session that a peer asks for.
    fn admit(&self, hello: &Hello, version: u16, peer: PeerInfo) -> Result<Admission, Reject> {
        let protocol = |error: String| Reject::new(RejectCode::Protocol, error);
        let mut sessions = self.host.sessions();
        // Checked again under the lock of the sessions: another thread may close the channel, and
        // stop the delivery of the sessions that exist.
        self.is_open(hello)?;
        // The peer may never have seen the welcome: its listener runs already.
        if let Some(connection) = sessions.get(&hello.socket) {
            let welcome =
                connection.resume(hello, version).map_err(|error| protocol(error.to_string()))?;
            tracing::info!(channel = self.shared.name(), socket = %hello.socket, "a socket resumed");
            return Ok(Admission { connection: Arc::clone(connection), welcome, begins: None });
        }
        if sessions.len() >= self.shared.settings.max_connections {
            return Err(Reject::new(RejectCode::TooManyConnections, self.full()));
        }
        // The peer tries again, and other peers may be gone then.
        let listener = self.shared.prepare_listener().map_err(|error| {
            Reject::new(RejectCode::Busy, format!("its host cannot start a thread for it: {error}"))
        })?;
        let (session, welcome) =
            Session::accept(hello, version, self.host.generation(), self.shared.settings.limits)
                .map_err(|error| protocol(error.to_string()))?;
        let fence = Arc::clone(&self.host.fence);
        let host_check = HostCheck::new(move || fence.holds());
        let connection = Connection::new(session, Some(host_check), self.shared.background.clone());
        if let Some(taps) = &self.host.taps {
            connection.allow_taps(TapEnd {
                taps: Arc::clone(taps),
                socket: hello.socket,
                pid: peer.process_id().unwrap_or(0),
            });
        }
        self.shared.meter(&connection);
        sessions.insert(hello.socket, Arc::clone(&connection));
        drop(sessions);
        self.shared.background.spawn(keep(
            Arc::downgrade(&self.host),
            Arc::clone(&connection),
            self.shared.settings.resume_timeout,
            peer.process_id(),
        ));
        let shared = Arc::clone(&self.shared);
        let accepted = Accepted { connection: Arc::clone(&connection), shared, peer };
        Ok(Admission { connection, welcome, begins: Some((listener, accepted)) })
    }

    /// Connects a socket of this same process.
    pub(crate) fn connect_local(&self, connection: &Arc<Connection>) -> Result<(), HandshakeError> {
        let (near, far) =
            local::pair().map_err(|error| HandshakeError::Later(error.to_string()))?;
        let hello = connection.hello(self.shared.key());
        let version = hello.negotiate(&self.shared.key()).map_err(reject_error)?;
        self.is_open(&hello).map_err(reject_error)?;
        let Admission { connection: accepted, welcome, begins } =
            self.admit(&hello, version, far.peer().clone()).map_err(reject_error)?;
        driver::begin(&accepted, far, None);
        accepted.changed.notify_one();
        let attached = driver::attach(connection, near, None, &welcome);
        if let Some((listener, accepted)) = begins {
            self.shared.listen(listener, accepted);
        }
        attached.map(drop).map_err(HandshakeError::Refused)
    }

    /// Answers pings until the other side goes or this host gives up hosting.
    async fn answer_lifeline(&self, stream: Stream) {
        loop {
            tokio::select! {
                frame = read_frame(&stream) => {
                    let Ok(Frame::Ping { nonce }) = frame else { return };
                    if write_frame(&stream, &Frame::Pong { nonce }).await.is_err() {
                        return;
                    }
                }
                end = self.host.over() => {
                    if end == Phase::Released {
                        // A peer that gets no frame sees the end of the stream.
                        let _ = write_frame(&stream, &Frame::GoAway).await;
                    }
                    return;
                }
            }
        }
    }
}

/// A connection that counts among those of its host while this lives.
struct Counted<'a> {
    count: &'a AtomicUsize,
    /// How many there were before it.
    others: usize,
}

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, others: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A descriptor in reserve for the time when there are no more. A newcomer without an answer would
/// take this host for a stuck one.
struct Spare(Option<std::fs::File>);

impl Spare {
    fn new() -> Self {
        Self(std::fs::File::open("/dev/null").ok())
    }

    /// Answers one waiting connection with the spare descriptor.
    async fn turn_away(&mut self, listener: &mut Listener) {
        self.0 = None;
        let reject = Reject::new(
            RejectCode::Busy,
            "its host has no file descriptors left: raise its limit (ulimit -n)",
        );
        // The connection may be gone, or another thread may have taken the descriptor first.
        let accepted = async { listener.accept().await?.identify().await };
        if let Ok(Ok((stream, _))) = tokio::time::timeout(ACCEPT_PAUSE, accepted).await {
            let _ = refuse(stream, reject).await;
        }
        *self = Self::new();
    }
}

struct Admission {
    connection: Arc<Connection>,
    welcome: Welcome,
    /// The listener and its socket, unless it runs already.
    begins: Option<(ReadyListener, Accepted)>,
}

/// Maps the rings that a peer offers, if it offers any and memory may be shared with it.
fn take_offer(
    shared: &Shared,
    hello: &Hello,
    descriptors: Vec<Descriptor>,
    peer: &UserId,
) -> Option<ring::Rings> {
    if !hello.features.contains(Features::RING) || !shared.settings.shares_memory_with(peer) {
        return None;
    }
    ring::accept(hello.ring, descriptors, ring::Memory::new(shared.settings.ring_memory))
        .inspect_err(|error| {
            tracing::debug!(channel = shared.name(), %error, "a ring was declined: the socket carries on alone");
        })
        .ok()
}

fn watch(bound: Bound) -> Option<Listener> {
    bound
        .watch()
        .inspect_err(|error| tracing::error!(%error, "the listener cannot be watched"))
        .ok()
}

async fn accept(listener: Option<&mut Listener>) -> io::Result<Incoming> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Whether this user may ask how the host is. Other users may join, and still learn nothing of each
/// other.
fn may_ask(user: &UserId) -> Result<(), Reject> {
    if *user == UserId::current() {
        return Ok(());
    }
    Err(Reject::new(RejectCode::Permission, "only its own user may ask a host how it is"))
}

async fn refuse(stream: Stream, reject: Reject) -> io::Result<Option<(Stream, Purpose)>> {
    let error = io::Error::other(reject.reason.clone());
    write_frame(&stream, &Frame::Reject(reject)).await?;
    Err(error)
}

/// Holds a session while its peer may come back.
async fn keep(
    host: Weak<Host>,
    connection: Arc<Connection>,
    resume_timeout: Duration,
    pid: Option<u32>,
) {
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
