//! The short way: a whole message between the application and the ring, when that is all there is to do. No link is lost
//! meanwhile, nothing is left to write and nobody is to be woken, so that there is nothing to see to afterwards. Whoever cannot
//! go this way learns nothing from it; the long way finds out why.

use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::{MESSAGE_OVERHEAD, PackRef, PartFlags, PartKind};
use open_channel_ring::{Bell, Claim, Consumer, Mapped, Position};

use super::sending::Stored;
use crate::connection::Connection;
use crate::connection::inner::Inner;
use crate::message::Message;
use crate::reader::MessageReader;

/// What comes again is rare enough to take the long way.
const FIRST_ATTEMPT: u32 = 1;

/// A message on its way to the application.
struct Direct<P> {
    payload: P,
    seq: u64,
}

impl Inner {
    /// Sends `message`: its number.
    #[inline]
    pub(in crate::connection) fn store_at_once(&mut self, message: &[u8]) -> Option<u64> {
        let look_due = self.ring.as_ref().is_none_or(|ring| ring.is_look_due());
        if look_due || self.failed.is_some() || !self.session.has_room(message.len()) {
            return None;
        }
        let next = PackRef::of(message);
        let Stored::At(seq) = self.store_pack(next) else { return None };
        if let Some(ring) = &mut self.ring {
            ring.unlooked += 1;
        }
        self.owed.add_messages(1, next.cost);
        Some(seq)
    }

    /// Takes the next message, copied out of the ring.
    #[inline]
    pub(in crate::connection) fn recv_at_once(&mut self, connection: &Arc<Connection>) -> Option<Message> {
        let copy = |consumer: &Consumer<_, _>, claim| consumer.record(claim).to_vec().into();
        let Direct::<Bytes> { payload, seq } = self.claim_at_once(copy)?;
        Some(self.give(connection, seq, payload, FIRST_ATTEMPT))
    }

    /// Takes the next message, whose bytes stay in the ring.
    pub(in crate::connection) fn recv_reader_at_once(
        &mut self,
        connection: &Arc<Connection>,
    ) -> Option<MessageReader> {
        let Direct { payload, seq } = self.claim_at_once(Consumer::keep)?;
        let message = self.give(connection, seq, Bytes::new(), FIRST_ATTEMPT);
        Some(MessageReader::in_place(message, payload))
    }

    #[inline]
    fn claim_at_once<P>(
        &mut self,
        take: impl FnOnce(&Consumer<Mapped, Bell>, Claim) -> P,
    ) -> Option<Direct<P>> {
        if !self.ring.as_ref().is_some_and(|ring| ring.consumer.is_ready()) || !self.may_deliver() {
            return None;
        }
        let Self { ring: Some(ring), session, owed, .. } = self else { return None };
        let claimed = ring.consumer.claim_if(|kind, flags, len| {
            kind == PartKind::Whole.to_bits() && flags == PartFlags::NONE.0 && session.may_receive_apart(len)
        });
        // Whatever went wrong goes wrong again.
        let claim = claimed.ok().flatten()?;
        ring.told = false;
        let record = ring.consumer.record(claim);
        owed.add_messages(1, record.len() + MESSAGE_OVERHEAD);
        let seq = session.receive_apart(record.len(), record.end().bytes());
        Some(Direct { payload: take(&ring.consumer, claim), seq })
    }

    /// Tells the other side what is handled, if that acknowledges all that is.
    #[inline]
    pub(in crate::connection) fn release_at_once(&mut self) -> bool {
        let Self { ring: Some(ring), session, .. } = self else { return false };
        !session.ack_pending()
            && session.closed().is_none()
            && ring.consumer.release(Position::new(session.releasable())).is_ok()
    }
}
