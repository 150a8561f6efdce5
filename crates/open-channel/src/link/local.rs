//! The link inside the host's own process: a pair of streams, so that the session and everything
//! above it run the same code on every link.

use std::io;

use super::{Link, LinkKind, PeerInfo};
use crate::sys::{self, UserId};

pub(crate) fn pair() -> io::Result<(Link, Link)> {
    let (one, other) = sys::pair()?;
    let here = PeerInfo::new(Some(std::process::id()), UserId::current());
    let link = |stream| Link::new(stream, LinkKind::Local, here.clone());
    Ok((link(one), link(other)))
}
