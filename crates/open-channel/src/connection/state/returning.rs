//! Messages that the application gives back, and those that come back to their sender.

use super::State;
use crate::connection::received::Delivered;
use crate::connection::waiters::Interest;
use crate::error::Error;

impl State {
    /// Whether this side delivers unhandled messages again. If not, the next host gets them.
    pub(in crate::connection) fn gives_back(&self) -> bool {
        !self.delivery.handing_over && self.failed.is_none() && self.session.closed().is_none()
    }

    /// The number of the message, if it is to be delivered again.
    pub(in crate::connection) fn give_back(&mut self, mut message: Delivered) -> Option<u64> {
        self.delivery.held -= 1;
        if !self.gives_back() {
            return None;
        }
        message.attempt = self.session.give_back(message.seq, message.attempt)?;
        let seq = message.seq;
        self.delivery.coming_back.insert(seq, message);
        Some(seq)
    }

    /// The pause of these messages is over.
    pub(in crate::connection) fn deliver_again(&mut self, seqs: &[u64]) {
        let coming_back = &mut self.delivery.coming_back;
        let again: Vec<_> = seqs.iter().filter_map(|seq| coming_back.remove(seq)).collect();
        // Otherwise the next host delivers them, and this is no attempt.
        if !self.gives_back() || !self.delivery.is_allowed() {
            return;
        }
        for Delivered { seq, attempt, payload } in again {
            self.session.ready_again(seq, payload, attempt);
        }
        if self.session.is_readable() {
            self.wakes.notify(Interest::Recv);
        }
        // The frames go out before the application has the messages, which may kill it.
        self.after_giving_back();
    }

    pub(in crate::connection) fn after_giving_back(&mut self) {
        if self.session.has_returned() {
            self.write();
        }
    }

    /// Frames that were taken in may concern messages that were given back.
    pub(super) fn answer_what_came_back(&mut self) {
        self.release();
        self.after_giving_back();
    }

    /// Takes the messages out of the session that it does not deliver any more.
    pub(in crate::connection) fn take_back(&mut self) {
        let (socket, limit) = (self.session.id(), self.session.limits().outbox);
        while let Some(message) = self.session.take_undeliverable() {
            self.returned.push(socket, message, limit);
        }
        self.take_what_was_asked_for();
    }

    /// The result of a flush up to `end`, once all of that is acknowledged.
    pub(in crate::connection) fn all_delivered(&mut self, end: u64) -> Result<(), Error> {
        match self.returned.report(end) {
            0 => Ok(()),
            messages => Err(Error::Undeliverable { messages }),
        }
    }
}
