//! Sockets that get their flags in steps of their own, where they cannot be made with them.
//!
//! A thread that forks and executes a program between two of these steps passes the socket on to
//! it. The systems that need this file offer no way to exclude that.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

/// Keeps a write to a stream whose reader is gone from raising SIGPIPE; macOS has an option of the
/// socket for that instead.
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGNAL: SendFlags = SendFlags::empty();

pub(super) fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let none = SocketFlags::empty();
    let socket = rustix::net::socket_with(family, SocketType::STREAM, none, None)?;
    set_flags(&socket)?;
    Ok(socket)
}

pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let none = SocketFlags::empty();
    let (one, other) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, none, None)?;
    set_flags(&one)?;
    set_flags(&other)?;
    Ok((one, other))
}

fn set_flags(socket: &OwnedFd) -> io::Result<()> {
    // First the one that a fork must not miss.
    fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(socket, true)?;
    raise_no_signal(socket)
}

/// Fails on a stream whose other side is gone.
#[cfg(target_vendor = "apple")]
pub(super) fn raise_no_signal(stream: &OwnedFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_nosigpipe(stream, true)?)
}

/// Nothing to do: each write says it.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn raise_no_signal(_stream: &OwnedFd) -> io::Result<()> {
    Ok(())
}
