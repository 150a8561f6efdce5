//! Questions to a session.

use std::ops::Range;

use super::Session;
use super::ending::Closed;
use crate::id::SocketId;
use crate::limits::{Limits, message_cost};

impl Session {
    /// The socket's identity.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The limits that it was made with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Generation of the host that the session is or was last attached to; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a link is attached.
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Whether everything sent so far is acknowledged.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether no message waits for an acknowledgement; the end of the direction may.
    pub fn holds_no_message(&self) -> bool {
        self.outbox.holds_no_message()
    }

    /// Lowest sequence number not acknowledged by the other side.
    pub fn first_unacknowledged(&self) -> u64 {
        self.outbox.base()
    }

    /// The same without gaps, for which nobody has to wait.
    pub fn first_awaited(&self) -> u64 {
        self.outbox.first_awaited()
    }

    /// Sequence number that the next message gets.
    pub fn next_seq(&self) -> u64 {
        self.outbox.next()
    }

    /// Messages accepted for sending so far; for a host, by this host. The end of the direction is
    /// no message.
    pub fn messages_sent(&self) -> u64 {
        self.outbox.accepted()
    }

    /// Those of them that the other side has acknowledged. Messages that were taken back or given
    /// up are not among them.
    pub fn messages_acknowledged(&self) -> u64 {
        self.outbox.acknowledged()
    }

    /// Messages sent and not acknowledged, without those that were taken back or given up.
    pub fn messages_unacknowledged(&self) -> u64 {
        self.outbox.unacknowledged()
    }

    /// Cost of these messages, in bytes.
    pub fn bytes_unacknowledged(&self) -> usize {
        self.outbox.unacknowledged_cost()
    }

    /// Numbers from the first of these messages to behind the last message sent; empty without any.
    pub fn unacknowledged(&self) -> Range<u64> {
        let (first, end) = (self.outbox.first_awaited(), self.outbox.messages_end());
        first.min(end)..end
    }

    /// Messages received so far; for a host, by this host. A gap is no message.
    pub fn messages_received(&self) -> u64 {
        self.inbox.received()
    }

    /// Messages received and not handled, counted from the oldest such one on.
    pub fn messages_unhandled(&self) -> u64 {
        self.inbox.unhandled()
    }

    /// Numbers from the first of these messages to behind the last message received; empty without
    /// any.
    pub fn unhandled(&self) -> Range<u64> {
        let (first, end) = (self.inbox.handled_through() + 1, self.inbox.messages_end());
        first.min(end)..end
    }

    /// Limit of [`outbox_bytes`](Self::outbox_bytes).
    pub fn outbox_limit(&self) -> usize {
        self.limits.outbox
    }

    /// Limit of [`unhandled_bytes`](Self::unhandled_bytes).
    pub fn window(&self) -> usize {
        self.limits.window
    }

    /// Bytes held in the outbox: those of messages, and those of gaps.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.cost()
    }

    /// Bytes transmitted and not acknowledged.
    pub fn bytes_in_flight(&self) -> usize {
        self.outbox.in_flight()
    }

    /// Messages transmitted and not acknowledged.
    pub fn messages_in_flight(&self) -> usize {
        self.outbox.in_flight_messages()
    }

    /// Whether something is not yet on the link as a whole.
    #[inline]
    pub fn has_untransmitted(&self) -> bool {
        self.outbox.has_untransmitted()
    }

    /// Bytes received and not handled.
    pub fn unhandled_bytes(&self) -> usize {
        self.inbox.unhandled_cost()
    }

    /// Longest message in bytes that may be sent: this side's limit, or the other's where it is
    /// known and smaller.
    #[inline]
    pub fn max_message(&self) -> usize {
        self.limits.max_message.min(self.remote.max_message)
    }

    /// Whether a message of `len` bytes would be accepted now.
    #[inline]
    pub fn has_room(&self, len: usize) -> bool {
        self.has_room_for(message_cost(len))
    }

    /// Whether messages of this cost together, in bytes, would be accepted now.
    #[inline]
    pub fn has_room_for(&self, cost: usize) -> bool {
        self.outbox.has_room(cost)
    }

    /// Whether something may go on the link now.
    pub fn is_sendable(&self) -> bool {
        !self.ending.is_over() && self.link.is_some_and(|link| self.outbox.is_sendable(link.window))
    }

    /// Whether [`finish`](Self::finish) was called.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.outbox.is_finished()
    }

    /// Whether [`recv`](Self::recv) has something.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.inbox.has_ready()
    }

    /// Whether the other side has ended its direction.
    pub fn is_remote_finished(&self) -> bool {
        self.inbox.is_finished()
    }

    /// Whether something handled has not been acknowledged yet.
    #[inline]
    pub fn ack_pending(&self) -> bool {
        self.inbox.ack_pending()
    }

    /// Whether the sender needs that acknowledgement now.
    #[inline]
    pub fn ack_urgent(&self) -> bool {
        self.inbox.ack_urgent()
    }

    /// Whether the other side has said that it hands over.
    pub fn is_going_away(&self) -> bool {
        self.remote.is_going_away
    }

    /// Why the session is over, if it is.
    #[inline]
    pub fn closed(&self) -> Option<&Closed> {
        self.ending.closed()
    }

    /// Checks that no byte of window or outbox room was lost or invented. For tests: it takes time
    /// linear in what is held.
    ///
    /// # Panics
    /// If a sum is wrong.
    #[doc(hidden)]
    pub fn assert_credit_is_conserved(&self) {
        self.outbox.assert_credit_is_conserved();
        self.inbox.assert_credit_is_conserved();
    }
}
