//! Loopback TCP: where there is no native link, or where it is forced.
//!
//! Any process of the machine can connect to a port, and can listen on one that is free again. So
//! both sides [prove](proof) that they know the secret beside the port, before anything else. Only
//! the user can read it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{LinkKind, PeerInfo};
use crate::sys::{self, ProcessExit, UserId};

mod proof;

use proof::{ANSWER_LEN, CHALLENGE_LEN, Challenged, Challenger, PROOF_LEN, Unproven};
pub(crate) use proof::{Identity, SECRET_LEN, Secret};

pub(crate) const KIND: LinkKind = LinkKind::Tcp;

/// Connections that may go unproven at a host. One more turns the oldest of them away, so that
/// strangers cannot keep others out.
const MAX_UNPROVEN: usize = 256;

/// A port of this machine, and the secret that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    socket: SocketAddr,
    host: Identity,
    secret: Secret,
}

impl Address {
    /// `None` if it is not an address of this machine alone.
    pub(crate) fn new(socket: SocketAddr, host: Identity, secret: Secret) -> Option<Self> {
        let is_loopback = match socket.ip() {
            IpAddr::V4(ip) => ip == Ipv4Addr::LOCALHOST,
            IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
        };
        (is_loopback && socket.port() != 0).then_some(Self { socket, host, secret })
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// The process that listens there, as it says itself.
    pub(crate) fn host(&self) -> Identity {
        self.host
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// A listener that no runtime watches yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: std::net::TcpListener,
    secret: Secret,
}

/// Listens on a free port of this machine, with a new secret.
///
/// # Errors
/// There is no loopback interface, no port or no randomness.
pub(crate) fn bind() -> io::Result<(Bound, Address)> {
    let ip4 = sys::listen_on(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let listener = match ip4 {
        Ok(listener) => listener,
        Err(error) => sys::listen_on(IpAddr::V6(Ipv6Addr::LOCALHOST)).map_err(|_| error)?,
    };
    let secret = Secret::new(random()?);
    let socket = listener.local_addr()?;
    let address = Address { socket, host: own_identity(), secret: secret.clone() };
    Ok((Bound { listener, secret }, address))
}

/// A listener of the background runtime.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    secret: Secret,
    unproven: Queue,
}

impl Listener {
    /// Inside the runtime that is to watch it.
    pub(crate) fn watch(bound: Bound) -> io::Result<Self> {
        let Bound { listener, secret } = bound;
        Ok(Self { listener: TcpListener::from_std(listener)?, secret, unproven: Queue::default() })
    }

    /// Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Incoming> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Incoming { stream, secret: self.secret.clone(), turn: self.unproven.enter() })
    }
}

/// The connections that are not proven, the oldest first. One whose sender is dropped is turned
/// away; one that has dropped its receiver is proven, or over.
#[derive(Debug, Default)]
struct Queue(VecDeque<oneshot::Sender<()>>);

impl Queue {
    fn enter(&mut self) -> oneshot::Receiver<()> {
        if self.0.len() >= MAX_UNPROVEN {
            self.0.retain(|turn| !turn.is_closed());
        }
        if self.0.len() >= MAX_UNPROVEN {
            self.0.pop_front();
        }
        let (turn, receiver) = oneshot::channel();
        self.0.push_back(turn);
        receiver
    }
}

/// A connection to this host that is not proven.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: TcpStream,
    secret: Secret,
    turn: oneshot::Receiver<()>,
}

impl Incoming {
    /// Proves that this process is the host, and finds out who connected.
    ///
    /// # Errors
    /// The other side does not know the secret, or is gone, or others came and it had not proven
    /// that it knows the secret.
    pub(crate) async fn identify(self) -> io::Result<(TcpStream, PeerInfo)> {
        let Self { mut stream, secret, turn } = self;
        stream.set_nodelay(true)?;
        let proven = async {
            let mut challenge = [0; CHALLENGE_LEN];
            stream.read_exact(&mut challenge).await?;
            let challenged = Challenged::new(&secret, &challenge, random()?)?;
            stream.write_all(&challenged.answer(own_identity())).await?;
            let mut proof = [0; PROOF_LEN];
            stream.read_exact(&mut proof).await?;
            Ok(challenged.meet(&proof)?)
        };
        let peer: io::Result<Identity> = tokio::select! {
            proven = proven => proven,
            _ = turn => Err(io::Error::other("too many connections were not proven")),
        };
        Ok((stream, info(peer?)))
    }
}

/// Connects, and proves that this process may.
///
/// # Errors
/// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens, or somebody who
///   does not know the secret.
/// - [`TimedOut`](io::ErrorKind::TimedOut) if the host's process has ended. A forked child of it
///   may hold the port, which would never answer.
pub(crate) async fn connect(address: &Address) -> io::Result<(TcpStream, PeerInfo)> {
    let host = ProcessExit::of(known_here(address.host));
    tokio::select! {
        biased;
        connected = connect_and_prove(address) => connected,
        () = host.wait() => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn connect_and_prove(address: &Address) -> io::Result<(TcpStream, PeerInfo)> {
    let mut stream = TcpStream::connect(address.socket).await?;
    refuse_oneself(&stream)?;
    stream.set_nodelay(true)?;
    let challenger = Challenger::new(&address.secret, random()?);
    stream.write_all(&challenger.challenge()).await?;
    let mut answer = [0; ANSWER_LEN];
    stream.read_exact(&mut answer).await?;
    let (host, proof) = challenger.meet(&answer, own_identity())?;
    stream.write_all(&proof).await?;
    Ok((stream, info(host)))
}

/// A connection to a free port may have got that port itself, and be connected to itself.
fn refuse_oneself(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

impl From<Unproven> for io::Error {
    fn from(unproven: Unproven) -> Self {
        // Another process listens there than the host.
        Self::new(io::ErrorKind::ConnectionRefused, unproven)
    }
}

fn own_identity() -> Identity {
    let namespace = sys::process_namespace().unwrap_or(0);
    Identity { process: std::process::id(), namespace }
}

/// The secret is in a file that only this user can read.
fn info(other: Identity) -> PeerInfo {
    PeerInfo::new(known_here(other), UserId::current())
}

/// The number of this process here. One from another namespace would be another process's.
fn known_here(other: Identity) -> Option<u32> {
    let known = other.namespace != 0 && sys::process_namespace() == Some(other.namespace);
    (known && other.process != 0).then_some(other.process)
}

fn random<const LEN: usize>() -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// Takes a stream out of the background runtime, for callers on any thread.
pub(crate) fn detach(stream: TcpStream) -> io::Result<sys::Stream> {
    sys::detach_tcp(stream)
}

#[cfg(test)]
mod tests;
