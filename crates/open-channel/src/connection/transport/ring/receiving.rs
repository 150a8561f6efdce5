//! Receiving on a ring, and giving it up.

use open_channel_proto::{
    MESSAGE_OVERHEAD, PartFlags, PartKind, ProtocolError, ReceivedPart, Session, StoredPart,
};
use open_channel_ring::{Claim, Consumer, Doorbell, Mapped, Position, Record, RingWatch};

use super::{Ring, TOTAL};
use crate::connection::transport::error::LinkError;
use crate::connection::waiters::{Interest, Wakes};

/// A message on its way from the ring to the application, past the session.
pub(crate) struct Direct<P> {
    pub(crate) payload: P,
    pub(crate) seq: u64,
    /// What it takes in the window.
    pub(crate) cost: usize,
}

/// Reads a record's kind, and for a first part the length before its payload.
fn arrival(record: &Record<'_>) -> Result<ReceivedPart, ProtocolError> {
    let kind =
        PartKind::from_bits(record.kind()).ok_or(ProtocolError::Unexpected("a record of no known kind"))?;
    let (mut total, mut len) = (0, record.len());
    if kind == PartKind::First {
        let short = ProtocolError::Unexpected("a first part without a length");
        len = len.checked_sub(TOTAL).ok_or(short)?;
        total = record.word(0);
    }
    let flags = PartFlags(record.flags());
    Ok(ReceivedPart { kind, flags, total, len, end: record.end().bytes() })
}

fn receive(session: &mut Session, record: &Record<'_>, arrival: ReceivedPart) -> Result<(), ProtocolError> {
    session.receive_part(arrival, |bytes| record.append_to(bytes, record.len() - arrival.len))
}

/// A record that lay in our own memory when its reader was given up.
fn kept(stored: open_channel_ring::StoredRecord<'_>) -> Option<StoredPart> {
    let open_channel_ring::StoredRecord { record, maybe_claimed } = stored;
    let completes = PartKind::from_bits(record.kind()).is_some_and(PartKind::completes);
    completes.then(|| StoredPart {
        end: record.end().bytes(),
        claimed: maybe_claimed,
        // Of a longer message the outbox has the bytes itself.
        payload: record.to_vec().into(),
    })
}

impl Ring {
    /// Whether there is a message that nobody has taken.
    pub(crate) fn has_message(&self) -> bool {
        self.consumer.is_ready()
    }

    /// Where the next message shows first.
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

    /// Takes the next message past the session, if that is a whole one and nothing comes before it.
    /// Whoever cannot go this way learns nothing from it; [`claim`](Self::claim) finds out why.
    #[inline]
    pub(crate) fn claim_at_once<P>(
        &mut self,
        session: &mut Session,
        take: impl FnOnce(&Consumer<Mapped, Doorbell>, Claim) -> P,
    ) -> Option<Direct<P>> {
        let claimed = self.consumer.claim_if(|kind, flags, len| {
            kind == PartKind::Whole.to_bits() && flags == PartFlags::NONE.0 && session.may_receive_apart(len)
        });
        // Whatever went wrong goes wrong again.
        let claim = claimed.ok().flatten()?;
        self.notified = false;
        let record = self.consumer.record(claim);
        let cost = record.len() + MESSAGE_OVERHEAD;
        let seq = session.receive_apart(record.len(), record.end().bytes());
        Some(Direct { payload: take(&self.consumer, claim), seq, cost })
    }

    /// Tells the other side what is handled.
    #[inline]
    pub(crate) fn release(&mut self, session: &Session) -> Result<(), LinkError> {
        Ok(self.consumer.release(Position::new(session.releasable()))?)
    }

    /// Takes everything that the other side has put into the ring.
    pub(crate) fn drain(&mut self, session: &mut Session, wakes: &mut Wakes) {
        // The session learns of a broken ring when that is given up.
        let _ = self.take_releases(session, wakes);
        while self.claim(session).unwrap_or(false) {}
        if session.is_readable() {
            wakes.notify(Interest::Recv);
        }
    }

    /// The link is lost: nobody gets anything more out of the ring, and what was not handled goes
    /// back into the outbox.
    ///
    /// # Errors
    /// Messages are lost, because the session cannot make sense of what lies there.
    pub(crate) fn give_up(mut self: Box<Self>, session: &mut Session) -> Result<(), LinkError> {
        // Nonsense in the shared indices releases and claims nothing: better delivered twice than lost.
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
