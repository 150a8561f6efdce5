//! Receiving on a ring, and giving it up.

use open_channel_proto::{
    MAX_PACK_COST, PartFlags, PartKind, ProtocolError, ReceivedPart, Session, StoredPart,
};
use open_channel_ring::{Position, Record};

use super::TOTAL;
use crate::connection::inner::{Inner, Trouble};
use crate::error::Error;
use crate::waiters::Interest;

/// Reads a record's kind, and for a first part the length before its payload.
fn arrival(record: &Record<'_>) -> Result<ReceivedPart, ProtocolError> {
    let kind =
        PartKind::from_bits(record.kind()).ok_or(ProtocolError::Unexpected("a record of no known kind"))?;
    let (mut total, mut len) = (0, record.len());
    if kind == PartKind::First {
        len = len.checked_sub(TOTAL).ok_or(ProtocolError::Unexpected("a first part without a length"))?;
        total = record.word(0);
    }
    let flags = PartFlags(record.flags());
    Ok(ReceivedPart { kind, flags, total, len, end: record.end().bytes() })
}

fn receive(session: &mut Session, record: &Record<'_>, arrival: ReceivedPart) -> Result<(), ProtocolError> {
    session.receive_part(arrival, |bytes| record.append_to(bytes, record.len() - arrival.len))
}

/// A record that lay in our own memory when its reader was given up.
fn kept(stored: open_channel_ring::Stored<'_>) -> Option<StoredPart> {
    let open_channel_ring::Stored { record, maybe_claimed } = stored;
    let completes = PartKind::from_bits(record.kind()).is_some_and(PartKind::completes);
    completes.then(|| StoredPart {
        end: record.end().bytes(),
        claimed: maybe_claimed,
        // Of a longer message the outbox has the bytes itself.
        payload: record.to_vec().into(),
    })
}

impl Inner {
    /// Takes the next message out of the ring, unless one is there already.
    pub(in crate::connection) fn claim(&mut self) {
        if !self.session.is_readable() {
            let claimed = self.claim_message();
            self.survive(claimed);
        }
    }

    /// Takes messages out of the ring, as many as may go to the application at once, unless there are some already.
    pub(in crate::connection) fn claim_many(&mut self) {
        self.claim();
        while self.session.is_readable() && self.session.unhandled_bytes() < MAX_PACK_COST {
            let before = self.session.unhandled_bytes();
            let claimed = self.claim_message();
            if self.survive(claimed) != Some(true) || self.session.unhandled_bytes() == before {
                return;
            }
        }
    }

    fn claim_message(&mut self) -> Result<bool, Trouble> {
        let Self { ring: Some(ring), session, .. } = self else { return Ok(false) };
        ring.told = false;
        while let Some(record) = ring.consumer.claim()? {
            let arrival = arrival(&record)?;
            receive(session, &record, arrival)?;
            if arrival.kind.completes() && arrival.kind != PartKind::Skip {
                return Ok(true);
            }
            ring.consumer.release(Position::new(session.releasable()))?;
        }
        Ok(false)
    }

    /// Tells the other side what is handled.
    pub(in crate::connection) fn release(&mut self) {
        if let Some(ring) = &mut self.ring {
            let released = ring.consumer.release(Position::new(self.session.releasable()));
            self.survive(released.map_err(Trouble::from));
        }
    }

    /// Takes everything that the other side has put into the ring.
    pub(in crate::connection) fn drain_ring(&mut self) {
        // The session is told of a broken ring by who gives it up.
        let _ = self.try_take_releases();
        while self.claim_message().unwrap_or(false) {}
        if self.session.is_readable() {
            self.waiters.collect(Interest::Recv, self.polling, &mut self.woken);
        }
    }

    /// The link is lost: nobody gets anything more out of the ring, and what was not handled goes back into the
    /// outbox. Unless the session is over: then what is in the ring has been sent, like bytes in a socket.
    pub(in crate::connection) fn give_ring_up(&mut self) {
        let Some(mut ring) = self.ring.take() else { return };
        if self.failed.is_some() || self.session.closed().is_some() {
            return;
        }
        // Nonsense in the shared indices releases and claims nothing: better delivered twice than lost.
        let _ = ring.producer.fence();
        let stored: Vec<StoredPart> =
            ring.producer.unreleased().map_while(Result::ok).filter_map(kept).collect();
        // After the records were gathered: the reader may release until it notices the fence.
        if let Ok(released) = ring.producer.released() {
            let _ = self.session.released(released.bytes());
        }
        if let Err(problem) = self.session.reclaim(stored) {
            tracing::error!(socket = %self.session.id(), %problem, "messages are lost");
            self.failed.get_or_insert(Error::Protocol(problem.to_string()));
        }
    }
}
