//! A record of the deliveries, and a check of the promises.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{Actor, Line};

/// One message given to one host's handler.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) at: u64,
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) redelivered: bool,
    /// The sender's name for the socket, and its own count.
    pub(crate) number: u64,
    pub(crate) host: String,
}

/// All deliveries of a test, by the id of their socket.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sockets: BTreeMap<String, Vec<Delivery>>,
}

/// `handled <generation> <socket> <seq> <redelivered> <length> n <number>`
fn parse(host: &str, line: &Line) -> Option<(String, Delivery)> {
    if !line.is("handled") || line.word(6) != "n" {
        return None;
    }
    let delivery = Delivery {
        at: line.at,
        generation: line.number(1),
        seq: line.number(3),
        redelivered: line.word(4) == "true",
        number: line.number(7),
        host: host.into(),
    };
    Some((line.word(2).into(), delivery))
}

impl Ledger {
    /// Reads the deliveries that these processes have printed, dead or alive.
    pub(crate) fn of<'a>(actors: impl IntoIterator<Item = &'a Actor>) -> Self {
        let mut ledger = Self::default();
        for actor in actors {
            actor.catch_up();
            for line in actor.lines() {
                if let Some((socket, delivery)) = parse(&actor.label, &line) {
                    ledger.sockets.entry(socket).or_default().push(delivery);
                }
            }
        }
        // Stable: within a generation in the order of its host.
        ledger.sockets.values_mut().for_each(|deliveries| deliveries.sort_by_key(|d| d.generation));
        ledger
    }

    pub(crate) fn of_socket(&self, socket: &str) -> &[Delivery] {
        self.sockets.get(socket).map_or(&[], Vec::as_slice)
    }

    /// In no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.sockets.values().flatten()
    }

    pub(crate) fn total(&self) -> usize {
        self.sockets.values().map(Vec::len).sum()
    }

    pub(crate) fn redelivered(&self) -> usize {
        self.sockets.values().flatten().filter(|delivery| delivery.redelivered).count()
    }

    /// Marked deliveries of messages that an earlier host's handler had received.
    pub(crate) fn repeated(&self) -> usize {
        let repeated = |deliveries: &Vec<Delivery>| {
            let distinct: BTreeSet<u64> =
                deliveries.iter().map(|delivery| delivery.number).collect();
            deliveries.len() - distinct.len()
        };
        self.sockets.values().map(repeated).sum()
    }

    /// Order, identity, and repetitions only after a change of host and with the mark.
    pub(crate) fn check_order_and_marks(&self) {
        for (socket, deliveries) in &self.sockets {
            let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
            let mut last: Option<&Delivery> = None;
            for delivery in deliveries {
                assert_eq!(
                    delivery.seq, delivery.number,
                    "the id of a message of {socket}: {delivery:?}"
                );
                if let Some(last) = last.filter(|last| last.generation == delivery.generation) {
                    assert_eq!(
                        last.host, delivery.host,
                        "two hosts of one generation: {last:?}, {delivery:?}"
                    );
                    assert_eq!(
                        last.number + 1,
                        delivery.number,
                        "order on {socket}: {last:?}, {delivery:?}"
                    );
                } else if let Some(last) = last {
                    // A new host begins at or before what the last one handled, never beyond.
                    assert!(
                        delivery.number <= last.number + 1,
                        "lost on {socket} between {last:?} and {delivery:?}"
                    );
                }
                if let Some(generation) = seen.insert(delivery.number, delivery.generation) {
                    assert!(
                        delivery.redelivered,
                        "repeated without the mark on {socket}: {delivery:?}"
                    );
                    assert!(
                        generation < delivery.generation,
                        "repeated by one host on {socket}: {delivery:?}"
                    );
                }
                last = Some(delivery);
            }
            if let Some(first) = deliveries.first() {
                assert_eq!(first.number, 1, "{socket} does not begin at the beginning: {first:?}");
            }
        }
    }

    /// Everything that a living sender had accepted was handled.
    pub(crate) fn check_complete(&self, socket: &str, accepted: u64) {
        let mut numbers: Vec<u64> =
            self.of_socket(socket).iter().map(|delivery| delivery.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let missing: Vec<_> =
            (1..=accepted).filter(|n| numbers.binary_search(n).is_err()).take(5).collect();
        assert!(missing.is_empty(), "lost on {socket}: {missing:?} … of {accepted}");
        assert_eq!(numbers.len() as u64, accepted, "more was handled than sent on {socket}");
    }

    /// Nothing was delivered again after its sender had learnt that it was handled.
    ///
    /// `flushed <name> <through>` lines come from the sender.
    pub(crate) fn check_acknowledged_for_good(&self, sender: &Actor, name: &str, socket: &str) {
        let flushed: Vec<_> = sender
            .lines()
            .into_iter()
            .filter(|line| line.is(&format!("flushed {name}")))
            .map(|line| (line.at, line.number(2)))
            .collect();
        for delivery in self.of_socket(socket) {
            // Both grow: the last flush before it covers the most.
            let before = flushed.partition_point(|(at, _)| *at < delivery.at);
            let covering =
                flushed[..before].last().filter(|(_, through)| delivery.number <= *through);
            if let Some((at, through)) = covering {
                panic!(
                    "{socket}: {delivery:?} came {} µs after the flush of everything through {through}",
                    (delivery.at - at) / 1000
                );
            }
        }
    }

    /// Deliveries by a host of `generation` after the instant `at`.
    pub(crate) fn after(&self, generation: u64, at: u64) -> Vec<&Delivery> {
        let all = self.sockets.values().flatten();
        all.filter(|delivery| delivery.generation == generation && delivery.at > at).collect()
    }
}
