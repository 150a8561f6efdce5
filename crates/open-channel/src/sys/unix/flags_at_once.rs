//! Sockets that are made with the flags that they need.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

/// Keeps a write to a stream whose reader is gone from raising SIGPIPE.
pub(super) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

pub(super) fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?)
}

/// Nothing to do: each write says it.
pub(super) fn raise_no_signal(_stream: &OwnedFd) -> io::Result<()> {
    Ok(())
}
