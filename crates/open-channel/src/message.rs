//! A received message: its bytes, its identity, and the duty to acknowledge it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
pub use open_channel_proto::SocketId;

use crate::connection::Connection;

/// The stable identity of a message: the same at every delivery, with every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The socket it was sent on.
    pub socket: SocketId,
    /// Its number on that socket in its direction, from 1.
    pub seq: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.socket, self.seq)
    }
}

/// A received message; dereferences to its bytes.
///
/// Dropping it acknowledges it: the sender may forget it, of messages that were sent together once all are dropped. A message that is dropped while its thread
/// unwinds from a panic is *not* acknowledged. Messages may be kept and dropped in any order; the sender's
/// window stays occupied from the oldest one that is kept.
pub struct Message {
    payload: Bytes,
    connection: Arc<Connection>,
    seq: u64,
    attempt: u32,
}

impl Message {
    pub(crate) fn new(connection: Arc<Connection>, seq: u64, payload: Bytes, attempt: u32) -> Self {
        Self { payload, connection, seq, attempt }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.payload
    }

    /// The bytes, without copying; acknowledges the message.
    pub fn into_bytes(mut self) -> Bytes {
        std::mem::take(&mut self.payload)
    }

    /// The message's stable identity.
    pub fn id(&self) -> MessageId {
        MessageId { socket: self.connection.id(), seq: self.seq }
    }

    /// Whether an earlier host may have handled this message: it was sent to one and not acknowledged.
    /// A handler that must not act twice looks the [`id`](Self::id) up.
    pub fn redelivered(&self) -> bool {
        self.attempt > 1
    }

    /// Which attempt at handling this message this is: 1 at first, and one more for each host that may have seen it
    /// without acknowledging it. Where messages are counted is their sender, so that this is exact whoever hosted; but
    /// through shared memory 64 stands for 64 or more, otherwise 255, and a sender of an older version tells only
    /// 1 or 2. What limits it is [`Builder::max_attempts`](crate::Builder::max_attempts) of the sender.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Acknowledges the message; the same as dropping it.
    pub fn ack(self) {}
}

impl Drop for Message {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.connection.not_handled(1);
        } else {
            self.connection.handled(self.seq..self.seq + 1);
        }
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &format_args!("{}", self.id()))
            .field("len", &self.payload.len())
            .field("attempt", &self.attempt)
            .finish()
    }
}
