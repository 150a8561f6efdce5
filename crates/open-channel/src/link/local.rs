//! The link inside the host's own process: a socket pair, so that the session and everything above it run the
//! same code on every link.

use std::io;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Link, LinkKind, PeerInfo};

pub(crate) fn pair() -> io::Result<(Link, Link)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let here = PeerInfo { pid: Some(std::process::id()), uid: rustix::process::geteuid().as_raw() };
    Ok((Link::new(one, LinkKind::Local, here), Link::new(other, LinkKind::Local, here)))
}
