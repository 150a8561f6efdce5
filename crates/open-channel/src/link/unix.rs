//! Unix domain sockets: connecting, and the process on the other side.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use super::{Link, LinkKind, PeerInfo};
use crate::sys;

pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Takes a connection out of the background runtime, for callers on any thread.
pub(crate) fn into_link(stream: UnixStream, peer: PeerInfo) -> io::Result<Link> {
    let stream = stream.into_std()?.into();
    sys::prepare(&stream)?;
    Ok(Link::new(stream, LinkKind::Unix, peer))
}

/// The process that connected, or that listens, as the kernel recorded it.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<PeerInfo> {
    let (process_id, user) = sys::peer(stream)?;
    Ok(PeerInfo::new(process_id, user))
}
