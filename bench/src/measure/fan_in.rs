//! One host, many peers: what the host does, and how the controller measures it.

use crate::clock;
use crate::job::{Job, Line, Side, Subject, Task};
use crate::payload::Payload;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::run::Plan;
use crate::subjects::answers;
use crate::transport::{Endpoint, Transport, ready};
use crate::worker::say;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const PEERS: [usize; 3] = [1, 8, 64];
const LEN: usize = 64;

/// What a host has heard, over all connections.
pub(crate) struct Tally {
    expected: usize,
    arrived: AtomicUsize,
    finished: AtomicUsize,
    messages: AtomicU64,
    /// Of the peer that got fewest through.
    fewest: AtomicU64,
}

impl Tally {
    pub(crate) fn new(expected: usize) -> Tally {
        let (arrived, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Tally { expected, arrived, finished, messages: AtomicU64::new(0), fewest: AtomicU64::new(u64::MAX) }
    }

    fn note(&self, payload: Payload) {
        if payload.number() == 0 && self.arrived.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            say(&Line::Settled);
        }
        if payload.is_last() {
            self.messages.fetch_add(payload.number(), Ordering::Relaxed);
            self.fewest.fetch_min(payload.number(), Ordering::Relaxed);
            if self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.expected {
                let end_nanos = clock::now();
                let (messages, fewest) =
                    (self.messages.load(Ordering::Relaxed), self.fewest.load(Ordering::Relaxed));
                say(&Line::FanIn { messages, fewest, end_nanos });
            }
        }
    }
}

/// Receives for ever, and checks that each of the endpoint's `sources` is heard whole and in order.
async fn drain<E: Endpoint>(endpoint: &mut E, tally: &Tally, sources: usize) -> Result<()> {
    let mut due = vec![0_u64; sources];
    loop {
        endpoint
            .recv_some(|payload| {
                let source = if sources == 1 { 0 } else { usize::from(payload.sender()) };
                let due = due.get_mut(source).context("a peer has an unknown index")?;
                ensure!(payload.number() == *due, "message {} came when {due} was due", payload.number());
                *due += 1;
                if payload.number() == 0 || payload.is_last() {
                    tally.note(payload);
                }
                Ok(())
            })
            .await?;
    }
}

/// One endpoint that hears every peer.
pub(crate) async fn receive_at_one<T: Transport>(mut host: T, tally: Arc<Tally>) -> Result<()> {
    let mut endpoint = host.accept().await?;
    drain(&mut endpoint, &tally, tally.expected).await
}

/// What a host does with one of many connections. It ends with the connection, and so may end in an error.
pub(crate) async fn receive<E: Endpoint>(mut endpoint: E, tally: Arc<Tally>) -> Result<()> {
    drain(&mut endpoint, &tally, 1).await
}

/// A thread for each connection.
pub(crate) async fn receive_in_threads<T: Transport>(mut host: T, tally: Arc<Tally>) -> Result<()>
where
    T::Endpoint: Send + 'static,
{
    loop {
        let endpoint = host.accept().await?;
        let tally = Arc::clone(&tally);
        std::thread::spawn(move || ready(receive(endpoint, tally)));
    }
}

/// Everyone connects, waits for the word, sends for a while; the rate is over the time from the
/// word until the host has read the last message of the last peer.
pub(crate) fn measure(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::FanIn) {
        return Ok(());
    }
    for peers in PEERS {
        let mut group = Group::new()?;
        let job = Job { len: LEN, millis: plan.millis, ..group.job(subject, Side::Host, Task::FanIn, peers) };
        group.start_host(&job)?;
        for index in 0..peers {
            group.start(&Job { side: Side::Peer, index: u16::try_from(index)?, ..job.clone() })?;
        }
        group.wait_for("all peers to arrive", |line| matches!(line, Line::Settled).then_some(()))?;
        let start = clock::now();
        group.go()?;
        let (messages, fewest, end) = group.wait_for("the host to have read it all", |line| match *line {
            Line::FanIn { messages, fewest, end_nanos } => Some((messages, fewest, end_nanos)),
            _ => None,
        })?;
        let rate = messages as f64 * 1e9 / (end - start) as f64;
        let case = if peers == 1 { "1 peer".to_owned() } else { format!("{peers} peers") };
        results.add(Measure::FanIn, &case, Metric::MessagesPerSecond, subject, rate);
        if peers > 1 {
            let share = (fewest * peers as u64) as f64 / messages as f64;
            results.add(Measure::FanIn, case, Metric::LeastShare, subject, share);
        }
    }
    Ok(())
}
