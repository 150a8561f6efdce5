//! Streams of bytes: Unix sockets that do not block, end with an exec, and raise no SIGPIPE.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use open_channel_ring::Doorbell;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
};
use tokio::net::{TcpStream, UnixStream};

use super::flags::{self, NO_SIGNAL};
use super::user::UserId;

/// A stream of bytes that does not block, for any thread.
pub(crate) type Stream = OwnedFd;

/// What a thread or an event loop waits on.
pub(crate) type Watched<'a> = BorrowedFd<'a>;

/// Connections that may wait to be accepted: as many as a large herd of processes starting at once.
const BACKLOG: i32 = 1024;

/// Binds and listens. The path must fit a socket address: see [`SocketPath`](super::SocketPath).
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = flags::socket(AddressFamily::UNIX)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Listens on a free TCP port of this address.
pub(crate) fn listen_on(address: IpAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = flags::socket(family)?;
    rustix::net::bind(&socket, &SocketAddr::new(address, 0))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Takes a TCP stream out of its runtime.
pub(crate) fn detach_tcp(stream: TcpStream) -> io::Result<Stream> {
    let stream = stream.into_std()?.into();
    prepare(&stream)?;
    Ok(stream)
}

/// Two ends of one stream, both of this process.
pub(crate) fn pair() -> io::Result<(Stream, Stream)> {
    flags::pair()
}

/// Makes a stream that somebody else opened fit for [`send`]: it raises no SIGPIPE.
pub(crate) fn prepare(stream: &Stream) -> io::Result<()> {
    flags::raise_no_signal(stream)
}

/// The process and the user on the other side, as the kernel recorded them when the stream was
/// made. The process is not known if it lives in another pid namespace, or if this kernel does not
/// say.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<(Option<u32>, UserId)> {
    let credentials = stream.peer_cred()?;
    // The kernel reports zero for a process in another pid namespace.
    let process = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid != 0);
    Ok((process, UserId::from_uid(credentials.uid())))
}

/// Reads into `buffer`; 0 means that the other side is gone.
pub(crate) fn receive(stream: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::net::recv(&stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((received, _)) => return Ok(received),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Writes as much as there is room for.
pub(crate) fn send(stream: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | NO_SIGNAL;
    loop {
        let sent = match slices {
            [one] => rustix::net::send(&stream, one, flags),
            many => rustix::net::sendmsg(&stream, many, &mut SendAncillaryBuffer::default(), flags),
        };
        match sent {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Ends the stream for both sides, even while a forked child holds the descriptor too.
pub(crate) fn shutdown(stream: impl AsFd) {
    // A stream that is gone already needs no shutting down.
    let _ = rustix::net::shutdown(stream, Shutdown::Both);
}

/// The descriptor that a stream is.
pub(crate) fn borrow(stream: &Stream) -> Watched<'_> {
    stream.as_fd()
}

/// The descriptor that a doorbell is.
pub(crate) fn borrow_doorbell(doorbell: &Doorbell) -> Watched<'_> {
    doorbell.descriptor()
}

/// Another descriptor of the same stream or doorbell, closed on exec.
pub(crate) fn duplicate(descriptor: Watched<'_>) -> io::Result<OwnedFd> {
    descriptor.try_clone_to_owned()
}
