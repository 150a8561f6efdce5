//! Messages that are written in the memory in which they travel.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::connection::Connection;
use crate::connection::received::Room;
use crate::error::SendError;
use crate::socket::message::MessageId;

/// Room for one message, from [`Socket::reserve`](crate::Socket::reserve), to be written and then
/// [committed](Self::commit). Dropped instead, it sends nothing.
///
/// On a ring the room is in the shared memory itself. There it can be written and not read, because
/// the other process could change it meanwhile.
///
/// The room is an ordinary buffer:
/// - on other links;
/// - for a message longer than about half the ring;
/// - while the ring has no place for it;
/// - while other messages wait to get into the ring, or another reservation is open;
/// - while the receiver's window is used up.
///
/// While a reservation is open, other messages of the same socket may be sent and wait for it. The
/// order is that of sending and committing.
#[derive(Debug)]
#[must_use = "a reservation sends nothing until it is committed"]
pub struct Reservation {
    connection: Arc<Connection>,
    /// Taken when it is committed.
    room: Option<Room>,
}

impl Reservation {
    pub(crate) fn new(connection: &Arc<Connection>, room: Room) -> Self {
        Self { connection: Arc::clone(connection), room: Some(room) }
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        match &self.room {
            Some(Room::Ring { slot, .. }) => slot.remaining(),
            Some(Room::Buffer { bytes, len }) => len - bytes.len(),
            None => 0,
        }
    }

    /// Whether the message is written in place, into memory that the other side reads.
    pub fn is_in_place(&self) -> bool {
        matches!(self.room, Some(Room::Ring { .. }))
    }

    /// Writes `bytes` behind what was written so far.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn append(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "more bytes than were reserved");
        self.leave_inherited_ring();
        match &mut self.room {
            Some(Room::Ring { slot, .. }) => slot.append(bytes),
            Some(Room::Buffer { bytes: buffer, .. }) => buffer.extend_from_slice(bytes),
            None => {}
        }
    }

    /// [`append`](Self::append) for bytes that are made as they are written, 64 at a time. In
    /// place, they are stored from the processor's registers, and never lie in other memory.
    ///
    /// This is fastest when a multiple of eight bytes was written before, and when the iterator
    /// owns its input. If `blocks` panics, it is not specified how many of them were written.
    ///
    /// # Panics
    /// If they do not fit.
    #[inline]
    pub fn append_blocks(&mut self, mut blocks: impl Iterator<Item = [u8; 64]>) {
        self.leave_inherited_ring();
        match &mut self.room {
            Some(Room::Ring { slot, .. }) => slot.append_blocks(blocks),
            _ => blocks.by_ref().for_each(|block| self.append(&block)),
        }
    }

    /// A forked child must not write to its parent's memory. The written bytes move to a buffer,
    /// and come back with the error of [`commit`](Self::commit).
    #[inline]
    fn leave_inherited_ring(&mut self) {
        if self.connection.check_process().is_err()
            && let Some(Room::Ring { slot, .. }) = &self.room
        {
            let len = slot.len() + slot.remaining();
            if let Some(room) = self.room.take() {
                let mut bytes = BytesMut::from(Bytes::from(room));
                bytes.reserve(len - bytes.len());
                self.room = Some(Room::Buffer { bytes, len });
            }
        }
    }

    /// Sends the bytes written so far, even if they are fewer than reserved. Does not wait.
    ///
    /// # Errors
    /// As [`Socket::send`](crate::Socket::send), with the message in the error.
    pub fn commit(mut self) -> Result<MessageId, SendError> {
        let room = self.room.take().unwrap_or(Room::Buffer { bytes: BytesMut::new(), len: 0 });
        let seq = self.connection.commit(room)?;
        Ok(MessageId { socket: self.connection.id(), seq })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(Room::Ring { transport, .. }) = self.room.take() {
            self.connection.abandon_reservation(transport);
        }
    }
}

/// Takes as much as fits, like a slice.
impl io::Write for Reservation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.remaining());
        self.append(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
