//! Messages on their way to the application, through the session or directly out of a ring.

use bytes::Bytes;
use open_channel_proto::{Incoming, MAX_PACK_COST, MESSAGE_OVERHEAD, ReceivedPack};
use open_channel_ring::{Claim, Consumer, Doorbell, Mapped};

use super::State;
use crate::connection::received::{Delivered, InPlace};
use crate::connection::transport::ring::Direct;
use crate::error::Error;

/// Redelivered messages are rare enough to go through the session.
const FIRST_ATTEMPT: u32 = 1;

impl State {
    /// The next message, the end, or an error; `None` if there is nothing yet.
    pub(in crate::connection) fn recv(&mut self) -> Option<Result<Option<Delivered>, Error>> {
        self.next_for_application(Self::claim, Self::take_message)
    }

    /// The next messages, as many as may go to the application at once.
    pub(in crate::connection) fn recv_many(
        &mut self,
    ) -> Option<Result<Option<ReceivedPack>, Error>> {
        self.next_for_application(Self::claim_many, |state| match state.session.recv_many() {
            Some(received) => {
                let count = received.pack.count();
                state.traffic.add_received(count, received.pack.cost());
                if let Some(tap) = state.tapped() {
                    received
                        .pack
                        .iter()
                        .for_each(|message| tap.received(received.attempt, message));
                }
                state.deliver(u64::from(count), received.first, received.attempt);
                Some(received)
            }
            None => {
                if let Some(Incoming::End { seq }) = state.session.recv() {
                    state.take_end(seq);
                }
                None
            }
        })
    }

    /// The next message, copied out of the ring, if nothing else has to be done.
    #[inline]
    pub(in crate::connection) fn recv_at_once(&mut self) -> Option<Delivered> {
        let copy = |consumer: &Consumer<_, _>, claim| consumer.record(claim).to_vec().into();
        let Direct::<Bytes> { payload, seq, .. } = self.claim_at_once(copy)?;
        Some(Delivered { seq, attempt: FIRST_ATTEMPT, payload })
    }

    /// The next message, with its bytes left in the ring.
    pub(in crate::connection) fn recv_in_place_at_once(&mut self) -> Option<InPlace> {
        let Direct { payload, seq, .. } = self.claim_at_once(Consumer::detach)?;
        let message = Delivered { seq, attempt: FIRST_ATTEMPT, payload: Bytes::new() };
        Some(InPlace { message, claimed: Some(payload) })
    }

    #[inline]
    fn claim_at_once<P>(
        &mut self,
        take: impl FnOnce(&Consumer<Mapped, Doorbell>, Claim) -> P,
    ) -> Option<Direct<P>> {
        if self.tapped().is_some() {
            // The session has the whole message in one piece, to copy from.
            return None;
        }
        let Self { transport: Some(transport), session, traffic, delivery, .. } = self else {
            return None;
        };
        let ring = transport.ring()?;
        if !ring.has_message() || !delivery.is_allowed() {
            return None;
        }
        let direct = ring.claim_at_once(session, take)?;
        traffic.add_received(1, direct.cost);
        delivery.held += 1;
        Some(direct)
    }

    fn take_message(&mut self) -> Option<Delivered> {
        match self.session.recv()? {
            Incoming::Message { seq, payload, attempt } => {
                self.traffic.add_received(1, payload.len() + MESSAGE_OVERHEAD);
                if let Some(tap) = self.tapped() {
                    tap.received(attempt, &payload);
                }
                self.deliver(1, seq, attempt);
                Some(Delivered { seq, attempt, payload })
            }
            Incoming::End { seq } => {
                self.take_end(seq);
                None
            }
        }
    }

    /// The application gets `count` messages; `seq` is the first of them.
    fn deliver(&mut self, count: u64, seq: u64, attempt: u32) {
        self.delivery.held += count as usize;
        if attempt > FIRST_ATTEMPT {
            self.delivery.redelivered += count;
            self.delivery.highest_attempt = self.delivery.highest_attempt.max(attempt);
            let socket = self.session.id();
            tracing::debug!(%socket, seq, attempt, "redelivered: an earlier host may have handled it");
        }
    }

    fn next_for_application<T>(
        &mut self,
        claim: impl FnOnce(&mut Self),
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Result<Option<T>, Error>> {
        if self.delivery.handing_over && !self.delivery.ended {
            // An earlier error, if there is one, is the reason.
            return Some(Err(self.failed.clone().unwrap_or(Error::HandedOver)));
        }
        if !self.delivery.is_by_host() {
            self.failed.get_or_insert(Error::Fenced);
            self.lose_link();
        } else {
            claim(self);
            if let Some(taken) = take(self) {
                return Some(Ok(Some(taken)));
            }
        }
        if self.delivery.ended { Some(Ok(None)) } else { self.over().map(Err) }
    }

    /// Takes the next message out of the ring, unless the session has one already.
    fn claim(&mut self) {
        if !self.session.is_readable() {
            self.claim_next();
        }
    }

    /// Takes messages out of the ring, as many as may go to the application at once, unless the
    /// session has some already.
    fn claim_many(&mut self) {
        self.claim();
        while self.session.is_readable() && self.session.unhandled_bytes() < MAX_PACK_COST {
            let before = self.session.unhandled_bytes();
            if !self.claim_next() || self.session.unhandled_bytes() == before {
                return;
            }
        }
    }

    fn claim_next(&mut self) -> bool {
        let Self { transport: Some(transport), session, .. } = self else { return false };
        let claimed = transport.claim(session);
        self.or_lose_link(claimed) == Some(true)
    }

    fn take_end(&mut self, seq: u64) {
        self.delivery.ended = true;
        self.session.handled(seq);
        self.release();
        self.write();
    }

    /// Acknowledges the handled messages, if a release on the ring acknowledges all of them.
    #[inline]
    pub(in crate::connection) fn release_at_once(&mut self) -> bool {
        let Self { transport: Some(transport), session, .. } = self else { return false };
        let Some(ring) = transport.ring() else { return false };
        !session.ack_pending() && session.closed().is_none() && ring.release(session).is_ok()
    }
}
