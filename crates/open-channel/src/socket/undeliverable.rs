//! Messages that come back to their sender, because nobody will handle them.

use bytes::Bytes;
pub use open_channel_proto::GivenUp;
use open_channel_proto::SocketId;

use crate::socket::message::MessageId;

/// A message that was accepted for sending and is not delivered any more; from
/// [`Socket::undeliverable`](crate::Socket::undeliverable).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undeliverable {
    /// Its identity, as `send` returned it and as every host has seen it.
    pub id: MessageId,
    /// How many attempts there were: the last one's [`Message::attempt`](crate::Message::attempt).
    pub attempts: u32,
    /// Why there is no further attempt.
    pub reason: GivenUp,
    /// Its bytes.
    pub message: Bytes,
}

impl Undeliverable {
    pub(crate) fn new(socket: SocketId, returned: open_channel_proto::Undeliverable) -> Self {
        let open_channel_proto::Undeliverable { seq, attempts, reason, payload } = returned;
        Self { id: MessageId { socket, seq }, attempts, reason, message: payload }
    }
}
