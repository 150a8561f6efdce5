//! The receiving half of a session: drops duplicates, puts parts together, counts what is handled.
//!
//! ```text
//!     handled_through                    next
//!   ────────┴──────────────────────────────┴───▶ sequence numbers
//!    acked or    received; each slot says       not received
//!    ackable     whether it is handled
//! ```

mod acks;
mod check;
mod deliver;
mod give_back;
mod partial;
mod ready;
mod receive;
mod returned;
mod slot;

use std::collections::VecDeque;
use std::ops::Range;

use self::acks::Acks;
use self::partial::Partial;
use self::ready::Ready;
use self::returned::GivenBack;
use self::slot::Slot;
use crate::limits::Limits;
use crate::version::VERSION_MIN;

#[derive(Debug)]
pub(crate) struct Inbox {
    first: u64,
    next: u64,
    /// Number of gaps received.
    passed_over: u64,
    /// Those of them that are not acknowledged, because something before them is not handled.
    gaps: u64,
    partial: Option<Partial>,
    ready: VecDeque<Ready>,
    slots: VecDeque<Slot>,
    handled_through: u64,
    acks: Acks,
    unhandled_cost: usize,
    limits: Limits,
    finished: bool,
    /// Everything before this position in the link's store is handled.
    releasable: u64,
    /// That of the link.
    version: u16,
    /// Messages that the application has given back and not handled.
    given_back: GivenBack,
}

impl Inbox {
    pub(crate) fn new(first: u64, limits: Limits) -> Self {
        Self {
            first,
            next: first,
            passed_over: 0,
            gaps: 0,
            partial: None,
            ready: VecDeque::new(),
            slots: VecDeque::new(),
            handled_through: first - 1,
            acks: Acks::new(first - 1, limits.window),
            unhandled_cost: 0,
            limits,
            finished: false,
            releasable: 0,
            version: VERSION_MIN,
            given_back: GivenBack::default(),
        }
    }

    /// A new link: parts of a message start over. Acknowledged messages stay as they are. The
    /// application may have handled more since the handshake began, and the sender does not know.
    pub(crate) fn attach(&mut self, version: u16, sender_outbox: u64) {
        self.version = version;
        self.given_back.attach();
        self.partial = None;
        self.acks
            .attach(self.limits.window.min(usize::try_from(sender_outbox).unwrap_or(usize::MAX)));
    }

    /// The welcome that goes out now acknowledges everything that is handled.
    pub(crate) fn acknowledged_by_handshake(&mut self) {
        self.acks.acknowledge(self.handled_through);
    }

    /// The application has handled the messages (or the end) of these numbers, in any order, each
    /// once.
    #[inline]
    pub(crate) fn handled(&mut self, seqs: Range<u64>) {
        match self.slots.front_mut() {
            // Most messages are handled in order.
            Some(front) if seqs.start >= front.first && seqs.end <= front.next() => {
                front.handle(&seqs)
            }
            _ => {
                let before = self.slots.partition_point(|slot| slot.next() <= seqs.start);
                let slots = self.slots.range_mut(before..).take_while(|slot| slot.first < seqs.end);
                slots.for_each(|slot| slot.handle(&seqs));
            }
        }
        while self.slots.front().is_some_and(|slot| slot.unhandled == 0) {
            let Some(front) = self.slots.pop_front() else { break };
            self.handled_through = front.next() - 1;
            self.unhandled_cost -= front.cost;
            if front.is_gap() && !(self.finished && front.next() == self.next) {
                self.gaps -= u64::from(front.count);
            }
            if front.end == 0 {
                self.acks.add(front.cost);
            } else {
                // Releasing it acknowledges it and all before it.
                self.releasable = front.end;
                self.acks.acknowledge(self.handled_through);
            }
        }
        self.release_partial();
        self.given_back.forget(self.handled_through);
    }

    /// The sender waits for an acknowledgement of what it has sent.
    pub(crate) fn request_ack(&mut self) {
        self.acks.request(self.next - 1);
    }

    pub(crate) fn take_ack(&mut self) -> u64 {
        self.acks.acknowledge(self.handled_through);
        self.handled_through
    }

    /// Drops what the application will not take any more.
    pub(crate) fn discard(&mut self) {
        self.ready.clear();
        self.partial = None;
    }

    /// The link's store is gone. The handshake or frames acknowledge what it held.
    pub(crate) fn forget_store(&mut self) {
        self.releasable = 0;
        self.partial = None;
        self.slots.iter_mut().for_each(|slot| slot.end = 0);
    }

    /// The parts of an unfinished message are copied already, so that one longer than the store can
    /// pass through it. They can be released when nothing before them is held.
    fn release_partial(&mut self) {
        if self.slots.is_empty()
            && let Some(partial) = &self.partial
        {
            self.releasable = self.releasable.max(partial.end);
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn handled_through(&self) -> u64 {
        self.handled_through
    }

    pub(crate) fn unhandled_cost(&self) -> usize {
        self.unhandled_cost
    }

    /// Messages received so far.
    pub(crate) fn received(&self) -> u64 {
        self.messages_end() - self.first - self.passed_over
    }

    /// Received messages from the oldest one on that is not handled.
    pub(crate) fn unhandled(&self) -> u64 {
        let open = self.next - 1 - self.handled_through;
        open - self.gaps - u64::from(self.finished && open > 0)
    }

    /// The number behind the last message received; the end of the direction is no message.
    pub(crate) fn messages_end(&self) -> u64 {
        self.next - u64::from(self.finished)
    }

    /// Whether nothing has ever been received.
    pub(crate) fn is_untouched(&self) -> bool {
        self.next == self.first && self.partial.is_none()
    }

    /// Whether the sender has ended its direction.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Everything before this position in the link's store is handled.
    pub(crate) fn releasable(&self) -> u64 {
        self.releasable
    }

    #[inline]
    pub(crate) fn ack_pending(&self) -> bool {
        self.acks.pending(self.handled_through)
    }

    /// Whether the sender needs the acknowledgement now.
    #[inline]
    pub(crate) fn ack_urgent(&self) -> bool {
        self.ack_pending()
            && (self.acks.urgent(self.handled_through)
                || self.finished && self.handled_through + 1 == self.next)
    }
}
