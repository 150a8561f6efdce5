//! The session must agree with the model and stay within its limits.

use open_channel_proto::{Closed, Features, HEADER_LEN, MAX_BODY, TransmitBuffer};

use crate::endpoint::{CHANNEL, Endpoint};
use crate::ledger::Content;

impl Endpoint {
    /// Where that ends in the store which the message before `next` came with.
    fn stored_end(&self, next: u64) -> u64 {
        let (base, all) = (self.session.first_unacknowledged(), &self.sent);
        let within = base < next && next <= all.next();
        let entry = within.then(|| &all.entries[(next - 1 - all.first) as usize]);
        entry.and_then(|entry| entry.stored_at).unwrap_or(0)
    }

    /// The session must agree with the model and stay within its limits.
    pub fn check(&mut self) {
        self.check_sending();
        self.check_flight();
        self.check_receiving();
        let most = TransmitBuffer::HIGH_WATER + 2 * (MAX_BODY + HEADER_LEN);
        assert!(self.out.len() <= most, "the transmit buffer holds {} bytes", self.out.len());
        if self.session.closed() == Some(&Closed::Finished) {
            assert!(
                self.session.is_flushed() && self.slots.is_empty(),
                "finished with something open"
            );
        }
    }

    fn check_sending(&self) {
        let session = &self.session;
        let (base, next) = (session.first_unacknowledged(), session.next_seq());
        assert_eq!(next, self.sent.next(), "the next number to send");
        assert!(base >= self.acknowledged, "an acknowledgement was taken back");
        let held = self.sent.held(base, next);
        assert_eq!(session.outbox_bytes(), held, "outbox_bytes");
        assert_eq!(session.holds_no_message(), self.sent.cost(base, next) == 0, "holds_no_message");
        assert_eq!(session.is_flushed(), base == next, "is_flushed");
        let alone = self.sent.was_accepted_as_one(base, next);
        assert!(held <= self.limits.outbox || alone, "the outbox exceeds its limit");
        let (messages, cost) = self.sent.waiting(base, next);
        assert_eq!(session.messages_unacknowledged(), messages, "messages_unacknowledged");
        assert_eq!(session.bytes_unacknowledged(), cost, "bytes_unacknowledged");
        assert_eq!(session.unacknowledged().is_empty(), messages == 0, "unacknowledged");
        for next in [base, base + 1, base.midpoint(next), next, next + 1] {
            assert_eq!(
                session.stored_end(next),
                self.stored_end(next),
                "the end in the store before {next}"
            );
        }
    }

    fn check_flight(&mut self) {
        let session = &self.session;
        let base = session.first_unacknowledged();
        let flying = base + session.messages_in_flight() as u64;
        let whole = self.sent.is_between_units(base) && self.sent.is_between_units(flying);
        assert!(whole, "{base}..{flying} is in flight, and a pack only in part");
        let transmitted = self.sent.cost(base, flying);
        if let Some((through, cost)) = self.carried {
            if session.bytes_in_flight() == transmitted {
                self.carried = None;
            } else {
                assert!(base <= through + 1, "carried bytes outlive their acknowledgement");
                assert_eq!(
                    session.bytes_in_flight(),
                    transmitted + cost,
                    "bytes_in_flight with carried ones"
                );
                let fits = transmitted == 0 || transmitted + cost <= self.remote_window;
                assert!(fits, "the window is exceeded beside carried bytes");
            }
        } else {
            assert_eq!(session.bytes_in_flight(), transmitted, "bytes_in_flight");
            // A closed session sends no more, and its window is of its last open link.
            let alone = self.sent.is_within_one_unit(base, flying);
            let fits = transmitted <= self.remote_window || alone || session.closed().is_some();
            assert!(
                fits,
                "{transmitted} bytes in flight exceed the window of {}",
                self.remote_window
            );
        }

        if self.limits.max_attempts.is_some() && session.closed().is_none() {
            self.sent.check_what_is_alone(base, flying, session.generation());
        }
    }

    fn check_receiving(&mut self) {
        let readable = self.undelivered().is_some();
        let session = &self.session;
        let hello = session.hello(CHANNEL, Features::default());
        assert_eq!(hello.recv_next, self.received_next, "the next number to receive");
        assert_eq!(hello.handled, self.handled_through, "the last number handled");
        let unhandled: usize = self.slots.iter().map(|slot| slot.content.cost()).sum();
        assert_eq!(session.unhandled_bytes(), unhandled, "unhandled_bytes");
        let messages = self.slots.iter().filter(|slot| matches!(slot.content, Content::Message(_)));
        let units = messages.filter(|slot| slot.is_last()).count();
        assert!(unhandled <= self.limits.window || units == 1, "received more than the window");
        assert_eq!(session.is_readable(), readable && !self.is_discarded(), "is_readable");

        assert!(self.has_store || session.releasable() == 0, "something to release, and no store");
    }
}
