//! Handing messages to the application.

use super::Inbox;
use super::ready::Ready;
use crate::limits::MAX_PACK_COST;
use crate::message::{Incoming, ReceivedPack};
use crate::packer::Packer;

impl Inbox {
    pub(crate) fn take(&mut self) -> Option<Incoming> {
        match self.ready.front_mut()? {
            // A message that was sent before the end and given back is delivered again before the
            // end.
            Ready::End(_) if self.given_back.is_pausing() => None,
            Ready::End(seq) => {
                let seq = *seq;
                self.ready.pop_front();
                Some(Incoming::End { seq })
            }
            Ready::Messages(received) => {
                let ReceivedPack { first: seq, attempt, .. } = *received;
                let (payload, last) = received.pack.pop_front();
                received.first += 1;
                if last {
                    self.ready.pop_front();
                }
                Some(Incoming::Message { seq, payload, attempt })
            }
        }
    }

    /// As many messages as are here and fit one pack; none if the end comes next.
    pub(crate) fn take_many(&mut self) -> Option<ReceivedPack> {
        if !matches!(self.ready.front(), Some(Ready::Messages(_))) {
            return None;
        }
        let Some(Ready::Messages(first)) = self.ready.pop_front() else { return None };
        let mut cost = first.pack.cost();
        if !self.joins(&first, cost, first.pack.count().into()) {
            return Some(first);
        }
        let mut packer = Packer::default();
        first.pack.iter().for_each(|message| packer.push(message));
        while self.joins(&first, cost, packer.count() as u64)
            && let Some(Ready::Messages(next)) = self.ready.pop_front()
        {
            cost += next.pack.cost();
            next.pack.iter().for_each(|message| packer.push(message));
        }
        packer.pop().map(|pack| ReceivedPack { pack, ..first })
    }

    /// Whether the next messages fit one pack with `first` and those that were joined to it
    /// already.
    fn joins(&self, first: &ReceivedPack, cost: usize, count: u64) -> bool {
        self.ready.front().is_some_and(|next| match next {
            Ready::Messages(next) => {
                next.first == first.first + count
                    && next.attempt == first.attempt
                    && cost + next.pack.cost() <= MAX_PACK_COST
            }
            Ready::End(_) => false,
        })
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        match self.ready.front() {
            None => false,
            Some(Ready::Messages(_)) => true,
            Some(Ready::End(_)) => !self.given_back.is_pausing(),
        }
    }
}
