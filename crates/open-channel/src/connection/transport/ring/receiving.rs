//! Receiving on a ring, and giving it up.

use open_channel_proto::{
    MESSAGE_OVERHEAD, PartFlags, PartKind, ProtocolError, ReceivedPart, Session, StoredPart,
};
use open_channel_ring::{Claim, Consumer, Doorbell, Mapped, Position, Record, RingWatch};

use super::Ring;
use super::sizes::TOTAL;
use crate::connection::transport::error::LinkError;
use crate::connection::waiters::{Interest, Wakes};

/// A message on its way from the ring to the application, past the session.
pub(crate) struct Direct<P> {
    pub(crate) payload: P,
    pub(crate) seq: u64,
    /// Its cost in the window.
    pub(crate) cost: usize,
}

/// Reads a record's kind, and for a first part the length before its payload.
fn arrival(record: &Record<'_>) -> Result<ReceivedPart, ProtocolError> {
    let kind = PartKind::from_bits(record.kind())
        .ok_or(ProtocolError::Unexpected("a record of no known kind"))?;
    let (mut total, mut len) = (0, record.len());
    if kind == PartKind::First {
        let short = ProtocolError::Unexpected("a first part without a length");
        len = len.checked_sub(TOTAL).ok_or(short)?;
        total = record.word(0);
    }
    let flags = PartFlags(record.flags());
    Ok(ReceivedPart { kind, flags, total, len, end: record.end().bytes() })
}

fn receive(
    session: &mut Session,
    record: &Record<'_>,
    arrival: ReceivedPart,
) -> Result<(), ProtocolError> {
    session.receive_part(arrival, |bytes| record.append_to(bytes, record.len() - arrival.len))
}

/// A record in this process's own memory when its reader was given up.
fn kept(stored: open_channel_ring::StoredRecord<'_>) -> Option<StoredPart> {
    let open_channel_ring::StoredRecord { record, maybe_claimed } = stored;
    let completes = PartKind::from_bits(record.kind()).is_some_and(PartKind::completes);
    completes.then(|| StoredPart {
        end: record.end().bytes(),
        claimed: maybe_claimed,
        // The outbox has the bytes of a longer message.
        payload: record.to_vec().into(),
    })
}

impl Ring {
    /// Whether there is a message that was not taken.
    pub(crate) fn has_message(&self) -> bool {
        self.consumer.is_ready()
    }

    /// Watches the place where the next message appears.
    pub(crate) fn message_watch(&self) -> RingWatch<Mapped> {
        self.consumer.watch()
    }

    /// Takes the next message out of the ring into the session; whether there was one.
    pub(crate) fn claim(&mut self, session: &mut Session) -> Result<bool, LinkError> {
        self.notified = false;
        while let Some(record) = self.consumer.claim()? {
            let arrival = arrival(&record)?;
            receive(session, &record, arrival)?;
            if arrival.kind.completes() && arrival.kind != PartKind::Skip {
                return Ok(true);
            }
            self.consumer.release(Position::new(session.releasable()))?;
        }
        Ok(false)
    }

    /// Takes the next message past the session, if it is whole and no other comes before it.
    /// Otherwise returns `None` without an error: [`claim`](Self::claim) finds the reason.
    #[inline]
    pub(crate) fn claim_at_once<P>(
        &mut self,
        session: &mut Session,
        take: impl FnOnce(&Consumer<Mapped, Doorbell>, Claim) -> P,
    ) -> Option<Direct<P>> {
        let claimed = self.consumer.claim_if(|kind, flags, len| {
            kind == PartKind::Whole.to_bits()
                && flags == PartFlags::NONE.0
                && session.may_receive_apart(len)
        });
        // `claim` finds the same error again and reports it.
        let claim = claimed.ok().flatten()?;
        self.notified = false;
        let record = self.consumer.record(claim);
        let cost = record.len() + MESSAGE_OVERHEAD;
        let seq = session.receive_apart(record.len(), record.end().bytes());
        Some(Direct { payload: take(&self.consumer, claim), seq, cost })
    }

    /// Publishes to the other side which messages are handled.
    #[inline]
    pub(crate) fn release(&mut self, session: &Session) -> Result<(), LinkError> {
        Ok(self.consumer.release(Position::new(session.releasable()))?)
    }

    /// Takes everything that the other side has put into the ring.
    pub(crate) fn drain(&mut self, session: &mut Session, wakes: &mut Wakes) {
        // A broken ring is reported to the session when the ring is given up.
        let _ = self.take_releases(session, wakes);
        while self.claim(session).unwrap_or(false) {}
        if session.is_readable() {
            wakes.notify(Interest::Recv);
        }
    }

    /// The link is lost: no more messages are taken out of the ring. Those that were not handled go
    /// back into the outbox.
    ///
    /// # Errors
    /// Messages are lost, because the session cannot interpret the records of the ring.
    pub(crate) fn give_up(mut self: Box<Self>, session: &mut Session) -> Result<(), LinkError> {
        // Broken shared indices release and claim nothing: a second delivery is better than a loss.
        let _ = self.producer.fence();
        let stored = self.producer.unreleased().map_while(Result::ok);
        let stored: Vec<StoredPart> = stored.filter_map(kept).collect();
        // After the records were gathered: the reader may release until it notices the fence.
        if let Ok(released) = self.producer.released() {
            let _ = session.released(released.bytes());
        }
        Ok(session.reclaim(stored)?)
    }
}
