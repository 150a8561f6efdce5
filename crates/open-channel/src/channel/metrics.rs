//! A channel's metrics, for whichever exporter the program has installed with the crate `metrics`.
//!
//! They are published once in a second from the background runtime. Without an exporter that is
//! nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::channel::event::Role;
use crate::channel::shared::Shared;
use crate::channel::stats::{ChannelStats, Totals};
use crate::connection::meter::{Meter, Sums};

/// Between two publications.
const INTERVAL: Duration = Duration::from_secs(1);

const SENT: &str = "openchannel_messages_sent_total";
const SENT_BYTES: &str = "openchannel_sent_bytes_total";
const ACKNOWLEDGED: &str = "openchannel_messages_acknowledged_total";
const RECEIVED: &str = "openchannel_messages_received_total";
const RECEIVED_BYTES: &str = "openchannel_received_bytes_total";
const REDELIVERED: &str = "openchannel_messages_redelivered_total";
const FAILOVERS: &str = "openchannel_failovers_total";
const SOCKETS: &str = "openchannel_sockets";
const STALLED: &str = "openchannel_stalled_sockets";
const UNACKNOWLEDGED: &str = "openchannel_unacknowledged_messages";
const HELD: &str = "openchannel_held_messages";
const OUTBOX: &str = "openchannel_outbox_bytes";
const INBOX: &str = "openchannel_inbox_bytes";
const OLDEST_UNACKNOWLEDGED: &str = "openchannel_oldest_unacknowledged_seconds";
const OLDEST_UNHANDLED: &str = "openchannel_oldest_unhandled_seconds";
const HOST: &str = "openchannel_host";
const GENERATION: &str = "openchannel_generation";

/// Begins to publish the metrics of a channel, for as long as it is there.
pub(super) fn begin(shared: &Arc<Shared>) {
    let publisher = Publisher {
        name: shared.name().to_owned(),
        meter: Arc::clone(&shared.meter),
        generation: 0,
        failovers: 0,
    };
    shared.background.spawn(publisher.run(Arc::downgrade(shared)));
}

struct Publisher {
    name: String,
    meter: Arc<Meter>,
    /// The last one that was seen.
    generation: u64,
    failovers: u64,
}

impl Publisher {
    async fn run(mut self, shared: Weak<Shared>) {
        describe();
        while let Some(shared) = shared.upgrade() {
            self.publish(&shared);
            drop(shared);
            tokio::time::sleep(INTERVAL).await;
        }
        self.count(self.meter.retired());
        self.measure(&Totals::default(), 0, false);
    }

    fn publish(&mut self, shared: &Shared) {
        // In this order, one that goes meanwhile is missing for a moment, and never counts twice.
        let mut sums = self.meter.retired();
        for connection in shared.metered() {
            sums.add(&connection.stats());
        }
        let stats: ChannelStats = shared.stats();
        if stats.generation > 0 && stats.generation != self.generation {
            self.failovers += u64::from(self.generation > 0);
            self.generation = stats.generation;
        }
        self.count(sums);
        self.measure(&stats.totals(), stats.generation, stats.role == Role::Host);
    }

    fn count(&self, sums: Sums) {
        let Sums { sent, sent_bytes, acknowledged, received, received_bytes, redelivered } = sums;
        for (name, number) in [
            (SENT, sent),
            (SENT_BYTES, sent_bytes),
            (ACKNOWLEDGED, acknowledged),
            (RECEIVED, received),
            (RECEIVED_BYTES, received_bytes),
            (REDELIVERED, redelivered),
            (FAILOVERS, self.failovers),
        ] {
            counter!(name, "channel" => self.name.clone()).absolute(number);
        }
    }

    fn measure(&self, totals: &Totals, generation: u64, is_host: bool) {
        let seconds = |age: Option<Duration>| age.map_or(0.0, |age| age.as_secs_f64());
        for (name, number) in [
            (SOCKETS, totals.sockets as f64),
            (STALLED, totals.stalled as f64),
            (UNACKNOWLEDGED, totals.unacknowledged as f64),
            (HELD, totals.held as f64),
            (OUTBOX, totals.outbox_bytes as f64),
            (INBOX, totals.inbox_bytes as f64),
            (OLDEST_UNACKNOWLEDGED, seconds(totals.oldest_unacknowledged)),
            (OLDEST_UNHANDLED, seconds(totals.oldest_unhandled)),
            (HOST, f64::from(u8::from(is_host))),
            (GENERATION, generation as f64),
        ] {
            gauge!(name, "channel" => self.name.clone()).set(number);
        }
    }
}

fn describe() {
    for (name, unit, words) in [
        (SENT, Unit::Count, "Messages accepted for sending"),
        (SENT_BYTES, Unit::Bytes, "Bytes of the messages accepted for sending"),
        (ACKNOWLEDGED, Unit::Count, "Messages sent that the other side has handled"),
        (RECEIVED, Unit::Count, "Messages taken from the link"),
        (RECEIVED_BYTES, Unit::Bytes, "Bytes of the messages that the application got"),
        (REDELIVERED, Unit::Count, "Messages that the application got marked as redelivered"),
        (FAILOVERS, Unit::Count, "Changes of host that this process has seen"),
    ] {
        describe_counter!(name, unit, words);
    }
    for (name, unit, words) in [
        (SOCKETS, Unit::Count, "Sockets of this process, on both ends"),
        (STALLED, Unit::Count, "Sockets without progress for stall_after"),
        (UNACKNOWLEDGED, Unit::Count, "Messages sent that wait to be handled"),
        (HELD, Unit::Count, "Messages that the application has and has not handled"),
        (OUTBOX, Unit::Bytes, "What the unacknowledged messages take in outboxes"),
        (INBOX, Unit::Bytes, "What messages that are not handled take"),
        (OLDEST_UNACKNOWLEDGED, Unit::Seconds, "Age of the oldest unacknowledged message"),
        (OLDEST_UNHANDLED, Unit::Seconds, "Age of the oldest message that is not handled"),
        (HOST, Unit::Count, "1 if this process hosts the channel"),
        (GENERATION, Unit::Count, "Generation of the host, 0 without one"),
    ] {
        describe_gauge!(name, unit, words);
    }
}
