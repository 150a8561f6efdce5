//! The peer's side of a socket: on the background thread, connects it to each host in turn.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::shared::{Place, Shared};
use crate::connection::{Connection, driver};
use crate::error::Error;
use crate::link::{LinkKind, Stream, ring};
use crate::membership::accept::Acceptor;
use crate::membership::handshake::{HandshakeError, exchange_hello};
use crate::membership::host::Host;
use crate::rendezvous::endpoint::Endpoint;
use crate::sys::UserId;
use open_channel_proto::{Attachment, Features, Hello, ResetCode};
use open_channel_ring::Offer;
use tokio::sync::watch;

/// First pause after an attempt to reach a host that the membership still takes for one. Each
/// further pause is longer by as much.
const RETRY_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Failed attempts in a row at one host.
#[derive(Debug, Default)]
struct Failures {
    host: Option<PathBuf>,
    since: Option<Instant>,
    count: u32,
}

impl Failures {
    /// Counts for the host at `path` from here on.
    fn turn_to(&mut self, path: &Path) {
        if self.host.as_deref() != Some(path) {
            *self = Self { host: Some(path.into()), ..Self::default() };
        }
    }

    /// Counts a failed attempt, and returns the pause before the next one.
    ///
    /// # Errors
    /// The last error, when attempts have failed for the connect timeout.
    fn another(&mut self, shared: &Shared, error: HandshakeError) -> Result<Duration, Error> {
        self.count += 1;
        let after = shared.connect_timeout();
        if self.since.get_or_insert_with(Instant::now).elapsed() >= after {
            return Err(match error {
                HandshakeError::Refused(error) => error,
                HandshakeError::OtherVersions(versions) => Error::Version(versions),
                HandshakeError::Gone(cause) | HandshakeError::Later(cause) => {
                    shared.not_reached(after, cause)
                }
            });
        }
        Ok((RETRY_PAUSE * self.count).min(LONGEST_PAUSE))
    }
}

enum Target {
    Own(Arc<Host>),
    Other(Endpoint),
    None(Error),
}

/// Runs until the connection or the channel is over.
pub(crate) async fn supervise(shared: Arc<Shared>, connection: Arc<Connection>) {
    let mut places = shared.place.subscribe();
    let mut failures = Failures::default();
    while !connection.is_over() {
        if connection.only_host().is_some_and(|only| places.borrow_and_update().has_lost(only)) {
            return connection.fail(Error::HostLost);
        }
        let target = tokio::select! {
            target = target(&shared, &mut places) => target,
            () = connection.changed.notified() => continue,
        };
        let connected = match target {
            Target::Own(host) => Acceptor::new(&shared, &host).connect_local(&connection),
            Target::Other(endpoint) => {
                failures.turn_to(endpoint.path());
                tokio::select! {
                    connected = connect(&shared, &connection, &endpoint) => connected,
                    // A host that does not answer may be replaced meanwhile.
                    _ = places.wait_for(|place| !place.leads_to(endpoint.path())) => continue,
                }
            }
            Target::None(error) => return connection.fail(error),
        };
        match connected {
            Ok(()) => {
                failures = Failures::default();
                while_connected(&connection, &mut places).await;
            }
            Err(HandshakeError::Refused(error)) => return connection.fail(error),
            Err(error) => {
                tracing::debug!(channel = shared.name(), socket = %connection.id(), ?error, "not connected yet");
                match failures.another(&shared, error) {
                    Err(error) => return connection.fail(error),
                    Ok(pause) => tokio::select! {
                        _ = places.changed() => {}
                        () = tokio::time::sleep(pause) => {}
                    },
                }
            }
        }
    }
}

async fn target(shared: &Shared, places: &mut watch::Receiver<Place>) -> Target {
    let leads_on = |place: &Place| place.is_settled() || matches!(place, Place::Approaching { .. });
    // The sender lives as long as `shared`.
    let Ok(place) = places.wait_for(leads_on).await else { return Target::None(Error::Closed) };
    match &*place {
        Place::Hosting(host)
            if shared.settings.link.is_some_and(|link| link != LinkKind::Local) =>
        {
            Target::Other(host.endpoint().clone())
        }
        Place::Hosting(host) => Target::Own(Arc::clone(host)),
        Place::Approaching { endpoint } | Place::Peer { endpoint, .. } => {
            Target::Other(endpoint.clone())
        }
        Place::Closed(error) => Target::None(error.clone().unwrap_or(Error::Closed)),
        Place::Initiated | Place::Searching => Target::None(Error::Closed),
    }
}

async fn connect(
    shared: &Shared,
    connection: &Arc<Connection>,
    endpoint: &Endpoint,
) -> Result<(), HandshakeError> {
    let handshake = async {
        let gone =
            |error: io::Error| HandshakeError::Gone(format!("connecting to its host: {error}"));
        let address = endpoint.address(shared.settings.link);
        let address = address.map_err(|error| HandshakeError::Gone(error.to_string()))?;
        let address = address.ok_or_else(|| gone(io::ErrorKind::NotFound.into()))?;
        let (stream, peer) = address.connect().await.map_err(gone)?;
        drop(address);
        let user = peer.user();
        if !shared.settings.allows(user) {
            let problem = format!("the host belongs to user {user}, who is not allowed");
            return Err(HandshakeError::Refused(Error::PermissionDenied(problem)));
        }
        let (hello, offered) = offer(shared, connection.hello(shared.key()), &stream, user);
        let (ring, offer) = offered.unzip();
        let welcome = exchange_hello(&stream, hello, offer.as_ref()).await?;
        let taken = welcome.features.contains(Features::RING);
        if taken && ring.is_none() {
            let problem = "the host took rings that nobody offered";
            return Err(HandshakeError::Refused(Error::Protocol(problem.into())));
        }
        let ring = ring.filter(|_| taken);
        if ring.is_none() && shared.settings.link == Some(LinkKind::Ring) {
            let problem = "no memory can be shared with it, and the link is forced to do that";
            return Err(HandshakeError::Refused(Error::Refused(problem.into())));
        }
        let link = stream.into_link(peer).map_err(gone)?;
        let link = match &ring {
            Some(ring) => link.beside_ring(ring.link.doorbell.clone()),
            None => link,
        };
        Ok((link, ring, welcome))
    };
    // The membership finds out about a silent host.
    let done = tokio::time::timeout(shared.settings.host_timeout, handshake).await;
    let (link, ring, welcome) =
        done.unwrap_or_else(|_| Err(HandshakeError::Gone("its host does not answer".into())))?;
    await_host(shared, endpoint).await?;
    let generation = welcome.generation;
    let attachment =
        driver::attach(connection, link, ring, &welcome).map_err(HandshakeError::Refused)?;
    let socket = connection.id();
    match attachment {
        Attachment::Resumed => {
            tracing::info!(channel = shared.name(), %socket, generation, "resumed")
        }
        Attachment::Fresh => {
            tracing::debug!(channel = shared.name(), %socket, generation, "attached")
        }
    }
    Ok(())
}

/// Waits until the host at `endpoint` has taken this process on. A socket that is connected is then
/// proof of that.
async fn await_host(shared: &Shared, endpoint: &Endpoint) -> Result<(), HandshakeError> {
    let mut places = shared.place.subscribe();
    // The sender lives as long as `shared`.
    match places.wait_for(Place::is_settled).await {
        Ok(place) if place.leads_to(endpoint.path()) => Ok(()),
        _ => Err(HandshakeError::Gone("its host was replaced".into())),
    }
}

/// Adds rings in shared memory to a hello, if that is wanted and works.
fn offer(
    shared: &Shared,
    mut hello: Hello,
    stream: &Stream,
    host: &UserId,
) -> (Hello, Option<(ring::Rings, Offer)>) {
    if !stream.carries_offers() || !shared.settings.shares_memory_with(host) {
        return (hello, None);
    }
    match ring::offer(shared.settings.ring_bytes, ring::Memory::new(shared.settings.ring_memory)) {
        Ok((link, offer, sizes)) => {
            hello.features = Features::RING;
            hello.ring = sizes;
            (hello, Some((link, offer)))
        }
        Err(error) => {
            tracing::debug!(channel = shared.name(), %error, "no memory to share: the socket carries on alone");
            (hello, None)
        }
    }
}

async fn while_connected(connection: &Connection, places: &mut watch::Receiver<Place>) {
    while connection.is_connected() {
        tokio::select! {
            () = connection.changed.notified() => {}
            // It may have been welcomed by a host that was just replaced.
            _ = places.changed() => if places.borrow().generation() > connection.generation() {
                connection.abandon_link();
            }
        }
    }
    if !connection.is_over() && connection.needs_no_link() {
        connection.reset(ResetCode::Closed, "closed");
    }
}
