//! The supervisor's ledger: the messages sent, the messages handled and by which worker, and a
//! check of the promises.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::plan::Plan;
use super::record::{Id, Record};

/// One life of a worker: from its start to its exit or kill.
pub(crate) type Life = u32;

pub(crate) struct Ledger {
    plan: Plan,
    /// The accepted messages, each with its sender.
    sent: HashMap<Id, (u64, Life)>,
    deliveries: Vec<Delivery>,
    killed: HashSet<Life>,
    /// The pieces that were handled at least once.
    covered: Vec<bool>,
    covered_count: u64,
    /// For each worker, the first place in its share that was not handled yet.
    resume_at: Vec<u64>,
}

struct Delivery {
    id: Id,
    piece: u64,
    generation: u64,
    redelivered: bool,
}

/// The result of the check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages that the channel accepted.
    pub(crate) sent: u64,
    /// The number of them that were handled, each counted once.
    pub(crate) handled: u64,
    /// Deliveries marked as repeated.
    pub(crate) redelivered: u64,
    /// Deliveries of a message that had been handled before, recognised by its id.
    pub(crate) duplicates: u64,
    /// Handled under another id too: their sender was killed before it learnt that they were
    /// handled.
    pub(crate) sent_twice: u64,
    /// Accepted from a worker that was killed before they left it.
    pub(crate) died_with_sender: u64,
    /// Accepted from a worker that lived, or part of the input, and never handled.
    pub(crate) lost: u64,
    /// The first breach of the promised order, marks and ids.
    pub(crate) breach: Option<String>,
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Ledger {
        Ledger {
            plan,
            sent: HashMap::new(),
            deliveries: Vec::new(),
            killed: HashSet::new(),
            covered: vec![false; plan.pieces() as usize],
            covered_count: 0,
            resume_at: vec![0; plan.workers as usize],
        }
    }

    /// Records a worker's report. The records of one worker come in the order in which it wrote
    /// them.
    pub(crate) fn enter(&mut self, life: Life, record: Record) {
        match record {
            Record::Sent { id, piece } => {
                self.sent.insert(id, (piece, life));
            }
            Record::Handled { id, piece, generation, redelivered } => {
                self.deliveries.push(Delivery { id, piece, generation, redelivered });
                if let Some(covered) = self.covered.get_mut(piece as usize)
                    && !*covered
                {
                    *covered = true;
                    self.covered_count += 1;
                }
            }
            Record::Hosting { .. } | Record::Finished => {}
        }
    }

    /// This life ended by a kill: messages that were accepted and not yet passed on died with it.
    pub(crate) fn killed(&mut self, life: Life) {
        self.killed.insert(life);
    }

    /// The number of pieces that were handled at least once.
    pub(crate) fn covered(&self) -> u64 {
        self.covered_count
    }

    /// The place in its share at which a restarted worker goes on: the first piece not handled yet.
    pub(crate) fn resume_at(&mut self, worker: u64) -> u64 {
        let Some(at) = self.resume_at.get_mut(worker as usize) else {
            return 0;
        };
        while self.covered.get(self.plan.number(worker, *at) as usize) == Some(&true) {
            *at += 1;
        }
        *at
    }

    /// Checks the ledger, once every worker's records are in.
    pub(crate) fn verdict(&self) -> Verdict {
        let handled: HashSet<Id> = self.deliveries.iter().map(|delivery| delivery.id).collect();
        let mut verdict = Verdict {
            // A worker may be killed after the channel accepted a message and before it reported
            // that.
            sent: self.sent.keys().filter(|id| !handled.contains(id)).count() as u64
                + handled.len() as u64,
            handled: handled.len() as u64,
            redelivered: self.deliveries.iter().filter(|delivery| delivery.redelivered).count()
                as u64,
            duplicates: (self.deliveries.len() - handled.len()) as u64,
            sent_twice: (handled.len() as u64).saturating_sub(self.covered_count),
            breach: self.breach().map(|breach| breach.to_string()),
            ..Verdict::default()
        };
        let mut lost: HashSet<u64> = (0..)
            .zip(&self.covered)
            .filter(|(_, covered)| !**covered)
            .map(|(piece, _)| piece)
            .collect();
        for (id, (piece, life)) in &self.sent {
            if handled.contains(id) {
                continue;
            }
            if self.killed.contains(life) {
                verdict.died_with_sender += 1;
            } else {
                lost.insert(*piece);
            }
        }
        verdict.lost = lost.len() as u64;
        verdict
    }

    fn breach(&self) -> Option<Breach> {
        let mut sockets: HashMap<u128, Vec<&Delivery>> = HashMap::new();
        for delivery in &self.deliveries {
            sockets.entry(delivery.id.0).or_default().push(delivery);
        }
        sockets.into_values().find_map(|mut deliveries| {
            // Within a generation, one process handled them and reported in its order. Across
            // generations, two pipes are read side by side, so the generation decides which came
            // first.
            deliveries.sort_by_key(|delivery| delivery.generation);
            self.breach_on_socket(&deliveries)
        })
    }

    fn breach_on_socket(&self, deliveries: &[&Delivery]) -> Option<Breach> {
        let mut pieces: HashMap<u64, u64> = HashMap::new();
        let mut furthest: Option<u64> = None;
        let mut previous: Option<(&Delivery, u64)> = None;
        let first_worker = deliveries.first().map(|delivery| self.plan.place(delivery.piece).0);
        for delivery in deliveries {
            let (worker, place) = self.plan.place(delivery.piece);
            let breach = |what| {
                Some(Breach { what, piece: delivery.piece, generation: delivery.generation })
            };
            if Some(worker) != first_worker || delivery.piece >= self.plan.pieces() {
                return breach("arrived on a socket that it was not sent on");
            }
            let seen = pieces.insert(delivery.id.1, delivery.piece);
            if seen.is_some_and(|piece| piece != delivery.piece) {
                return breach("has the id of another message");
            }
            if seen.is_some() && !delivery.redelivered {
                return breach("was delivered again without being marked");
            }
            match (previous, furthest) {
                (Some((before, at)), _)
                    if before.generation == delivery.generation && place != at + 1 =>
                {
                    return breach(if place <= at {
                        "was delivered twice, or late, by one host"
                    } else {
                        "came before its predecessor"
                    });
                }
                (_, Some(furthest)) if place > furthest + 1 => {
                    return breach("came before its predecessor");
                }
                _ => {}
            }
            furthest = furthest.max(Some(place));
            previous = Some((delivery, place));
        }
        None
    }
}

/// A promise not kept, by the message that shows it.
struct Breach {
    what: &'static str,
    piece: u64,
    generation: u64,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} {} (generation {})", self.piece, self.what, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Verdict};
    use crate::demo::plan::Plan;
    use crate::demo::record::{Id, Record};

    /// Two workers, six pieces: 0, 2, 4 on worker 0's socket, 1, 3, 5 on worker 1's.
    fn ledger() -> Ledger {
        let plan = Plan { input_bytes: 6, piece_bytes: 1, passes: 1, workers: 2 };
        assert_eq!(plan.pieces(), 6);
        Ledger::new(plan)
    }

    fn id(piece: u64) -> Id {
        (u128::from(piece % 2) + 100, piece / 2)
    }

    fn sent(ledger: &mut Ledger, pieces: &[u64]) {
        for &piece in pieces {
            ledger.enter((piece % 2) as u32, Record::Sent { id: id(piece), piece });
        }
    }

    fn handled(ledger: &mut Ledger, generation: u64, pieces: &[u64]) {
        for &piece in pieces {
            ledger
                .enter(9, Record::Handled { id: id(piece), piece, generation, redelivered: false });
        }
    }

    fn again(ledger: &mut Ledger, generation: u64, pieces: &[u64]) {
        for &piece in pieces {
            ledger
                .enter(9, Record::Handled { id: id(piece), piece, generation, redelivered: true });
        }
    }

    fn breach(ledger: &Ledger) -> String {
        ledger.verdict().breach.expect("a breach")
    }

    #[test]
    fn all_handled_once_is_all_well() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 1, 2, 3, 4, 5]);
        handled(&mut ledger, 1, &[1, 0, 2, 3, 5, 4]);
        assert_eq!(ledger.verdict(), Verdict { sent: 6, handled: 6, ..Verdict::default() });
        assert_eq!(ledger.covered(), 6);
    }

    #[test]
    fn what_the_next_host_gets_again_is_counted_once() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 1, 2, 3, 4, 5]);
        // The records of the next host may be read before the last ones of the dead host.
        again(&mut ledger, 2, &[2, 4]);
        handled(&mut ledger, 1, &[0, 1, 2]);
        again(&mut ledger, 2, &[3]);
        handled(&mut ledger, 2, &[5]);
        let expected =
            Verdict { sent: 6, handled: 6, redelivered: 3, duplicates: 1, ..Verdict::default() };
        assert_eq!(ledger.verdict(), expected);
    }

    #[test]
    fn a_message_that_nobody_handled_is_lost() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 1, 2, 3, 4, 5]);
        handled(&mut ledger, 1, &[0, 1, 2, 3, 4]);
        assert_eq!(ledger.verdict().lost, 1);
    }

    #[test]
    fn a_piece_that_nobody_sent_is_lost_too() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 1, 2, 3, 4]);
        handled(&mut ledger, 1, &[0, 1, 2, 3, 4]);
        assert_eq!(ledger.verdict().lost, 1);
    }

    #[test]
    fn a_message_that_dies_with_its_sender_is_distinguished_and_must_come_again() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 2, 1, 3, 5]);
        handled(&mut ledger, 1, &[0, 1]);
        assert_eq!(ledger.resume_at(0), 1);
        ledger.killed(0);
        handled(&mut ledger, 2, &[3, 5]);
        assert_eq!(ledger.verdict().lost, 2, "pieces 2 and 4 are still missing");
        // The worker starts again, on a new socket.
        for (seq, piece) in [(0, 2), (1, 4)] {
            let id = (200, seq);
            ledger.enter(7, Record::Sent { id, piece });
            ledger.enter(9, Record::Handled { id, piece, generation: 2, redelivered: false });
        }
        let expected = Verdict { sent: 7, handled: 6, died_with_sender: 1, ..Verdict::default() };
        assert_eq!(ledger.verdict(), expected);
        assert_eq!(ledger.resume_at(0), 3);
    }

    #[test]
    fn a_message_handled_after_its_sender_started_again_is_distinguished_too() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 2, 1, 3, 5]);
        handled(&mut ledger, 1, &[0, 1]);
        ledger.killed(0);
        for (seq, piece) in [(0, 2), (1, 4)] {
            let id = (200, seq);
            ledger.enter(7, Record::Sent { id, piece });
            ledger.enter(9, Record::Handled { id, piece, generation: 1, redelivered: false });
        }
        handled(&mut ledger, 1, &[2, 3, 5]);
        let expected = Verdict { sent: 7, handled: 7, sent_twice: 1, ..Verdict::default() };
        assert_eq!(ledger.verdict(), expected);
    }

    #[test]
    fn handled_before_the_sender_could_say_so_counts_as_sent() {
        let mut ledger = ledger();
        sent(&mut ledger, &[0, 1, 2, 3, 4]);
        handled(&mut ledger, 1, &[0, 1, 2, 3, 4, 5]);
        assert_eq!(ledger.verdict().sent, 6);
    }

    #[test]
    fn a_gap_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[0, 4, 2]);
        assert!(breach(&ledger).contains("message 4 came before its predecessor"));
    }

    #[test]
    fn a_gap_across_hosts_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[0]);
        again(&mut ledger, 2, &[4]);
        assert!(breach(&ledger).contains("message 4 came before its predecessor"));
    }

    #[test]
    fn twice_by_one_host_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[1, 3]);
        again(&mut ledger, 1, &[3]);
        assert!(breach(&ledger).contains("by one host"));
    }

    #[test]
    fn again_without_the_mark_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[1, 3]);
        handled(&mut ledger, 2, &[3]);
        assert!(breach(&ledger).contains("without being marked"));
    }

    #[test]
    fn another_message_under_the_same_id_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[1]);
        ledger.enter(9, Record::Handled { id: id(1), piece: 3, generation: 2, redelivered: true });
        assert!(breach(&ledger).contains("id of another message"));
    }

    #[test]
    fn a_piece_on_the_wrong_socket_is_a_breach() {
        let mut ledger = ledger();
        handled(&mut ledger, 1, &[1]);
        ledger.enter(
            9,
            Record::Handled { id: (id(1).0, 1), piece: 2, generation: 1, redelivered: false },
        );
        assert!(breach(&ledger).contains("not sent on"));
    }
}
