//! Identities: that of a socket, and the key of a channel.

/// Stable identity of a socket: random, chosen by the peer, the same with every host it moves to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SocketId(pub u128);

impl std::fmt::Display for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SocketId({self})")
    }
}

/// Digest of a channel's scope and name, so that no peer joins the wrong channel through a stale
/// address.
pub type ChannelKey = [u8; 16];
