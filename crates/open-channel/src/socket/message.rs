//! A received message: its bytes, its identity, and the duty to acknowledge it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
pub use open_channel_proto::SocketId;

use crate::connection::Connection;
use crate::connection::received::{Delivered, pause_after};
use crate::connection::waiters::{WaiterKey, WakeMode};
use crate::error::Error;

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
/// [`ack`](Self::ack) and [`into_bytes`](Self::into_bytes) acknowledge it: the sender may forget
/// it, and the next host never sees it. Nothing else acknowledges.
///
/// A message that is dropped otherwise was not handled: its handler panicked, was cancelled or
/// returned early. It is given back as with [`nack_after`](Self::nack_after), after a pause of 10
/// ms that doubles with each attempt, up to 1 s.
///
/// Messages may be acknowledged in any order. The sender's window stays occupied from the oldest
/// one that is not acknowledged. Messages that were sent together are acknowledged once all of them
/// are.
#[must_use = "a message that is not acknowledged with `ack` is delivered again"]
pub struct Message {
    payload: Bytes,
    connection: Arc<Connection>,
    seq: u64,
    attempt: u32,
    /// Acknowledged or given back.
    acknowledged: bool,
}

impl Message {
    #[inline]
    pub(crate) fn new(connection: &Arc<Connection>, delivered: Delivered) -> Self {
        let Delivered { seq, attempt, payload } = delivered;
        Self { payload, connection: Arc::clone(connection), seq, attempt, acknowledged: false }
    }

    /// The next one of a connection.
    #[inline]
    pub(crate) fn poll(
        connection: &Arc<Connection>,
        cx: &mut Context<'_>,
        key: &mut WaiterKey,
        mode: WakeMode,
    ) -> Poll<Result<Option<Self>, Error>> {
        let received = connection.poll_recv(cx, key, mode);
        received.map_ok(|delivered| delivered.map(|it| Self::new(connection, it)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.payload
    }

    /// The bytes, without copying; acknowledges the message.
    pub fn into_bytes(mut self) -> Bytes {
        self.acknowledge();
        std::mem::take(&mut self.payload)
    }

    /// The message's stable identity.
    pub fn id(&self) -> MessageId {
        MessageId { socket: self.connection.id(), seq: self.seq }
    }

    /// # Errors
    /// [`Error::Forked`] in a forked child, which has inherited it.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.connection.check_process()
    }

    /// Whether an earlier host may have handled this message: it was sent to one and not
    /// acknowledged. A handler that must not act twice checks the [`id`](Self::id).
    pub fn redelivered(&self) -> bool {
        self.attempt > 1
    }

    /// The number of this attempt at the message: 1 at first, and one more for each host
    /// that may have seen it without acknowledging it.
    ///
    /// The sender counts, so that no change of host loses the number. The count ends at 64 through
    /// shared memory and at 255 otherwise. A sender of an older version of this library sends only
    /// 1 or
    /// 2. The sender's [`Builder::max_attempts`](crate::Builder::max_attempts) limits it.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Acknowledges the message: it is handled, and never delivered again.
    #[inline]
    pub fn ack(mut self) {
        self.acknowledge();
    }

    /// Gives the message back: not handled, to be delivered again. This side's `recv` returns it
    /// before any later message that was not received yet, with the same id and one attempt more.
    ///
    /// When the sender's [`max_attempts`](crate::Builder::max_attempts) are used up, it is not
    /// delivered again: the sender gets it back as [`Undeliverable`](crate::Undeliverable). When
    /// this process hosts no longer, the next host gets it.
    pub fn nack(self) {
        self.nack_after(Duration::ZERO);
    }

    /// [`nack`](Self::nack), and delivered again after `pause`.
    ///
    /// Meanwhile the message stays unacknowledged. Other messages are received; the end of the
    /// direction comes after it. If the host goes meanwhile, the next one gets the message at once.
    ///
    /// With the sender's [`max_attempts`](crate::Builder::max_attempts), messages at a second or
    /// later attempt wait for it, too, and so do those that were sent after them.
    pub fn nack_after(mut self, pause: Duration) {
        self.give_back(pause);
    }

    /// Rejects the message, so that nobody tries it again. The `reason` has at most 512 bytes and
    /// may be empty.
    ///
    /// The sender gets the message back as [`Undeliverable`](crate::Undeliverable), and only then
    /// it counts as handled. A sender of an older version cannot get it back: the message then
    /// counts as handled at once.
    pub fn reject(mut self, reason: &str) {
        self.give_up(reason);
    }

    pub(crate) fn give_up(&mut self, reason: &str) {
        self.acknowledged = true;
        self.connection.reject(self.seq, self.attempt, reason);
    }

    pub(crate) fn give_back(&mut self, pause: Duration) {
        self.acknowledged = true;
        let payload = std::mem::take(&mut self.payload);
        let back = Delivered { seq: self.seq, attempt: self.attempt, payload };
        self.connection.give_back([back], pause);
    }

    /// Sets its bytes, which were elsewhere until now.
    pub(crate) fn set_payload(&mut self, payload: Bytes) {
        self.payload = payload;
    }

    /// Whether it was acknowledged or given back.
    pub(crate) fn is_done(&self) -> bool {
        self.acknowledged
    }

    #[inline]
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = true;
        self.connection.handled(self.seq..self.seq + 1);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if !self.acknowledged {
            self.give_back(pause_after(self.attempt));
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
