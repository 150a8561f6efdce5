//! Unix domain sockets: listening, connecting, and who is on the other side.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::{Link, LinkKind, PeerInfo};

/// Connections that may wait to be accepted: as many as a large herd of processes starting at once.
const BACKLOG: i32 = 1024;

/// Binds and listens; everything non-blocking and closed on exec.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Takes a connection out of the background runtime, for callers on any thread.
pub(crate) fn into_link(stream: UnixStream, peer: PeerInfo) -> io::Result<Link> {
    let fd: OwnedFd = stream.into_std()?.into();
    Ok(Link::new(fd, LinkKind::Unix, peer))
}

/// Who connected, or who listens, as the kernel recorded it.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<PeerInfo> {
    let credentials = stream.peer_cred()?;
    // Zero is what the kernel tells of a process in another pid namespace.
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid != 0);
    Ok(PeerInfo { pid, uid: credentials.uid() })
}

/// A watch over a process. A connection usually tells of a death by itself, but not while a forked child holds the same
/// descriptor.
#[derive(Debug)]
pub(crate) enum ProcessExit {
    Gone,
    #[cfg(target_os = "linux")]
    Watched(AsyncFd<OwnedFd>),
    /// It cannot be known.
    Unknown,
}

impl ProcessExit {
    /// Watches process `pid` from now on, whatever process gets that number later.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(pid) =
            pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
        {
            match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK) {
                Err(rustix::io::Errno::SRCH) => return Self::Gone,
                Ok(pidfd) => return super::watch(pidfd).map_or(Self::Unknown, Self::Watched),
                Err(_) => {}
            }
        }
        let _ = pid;
        Self::Unknown
    }

    /// Resolves when the process is gone; never when that cannot be known. Cancel-safe.
    pub(crate) async fn wait(&self) {
        match self {
            Self::Gone => return,
            #[cfg(target_os = "linux")]
            Self::Watched(pidfd) if pidfd.readable().await.is_ok() => return,
            _ => {}
        }
        std::future::pending().await
    }
}
