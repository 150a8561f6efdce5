//! One host, many peers.

use crate::clock;
use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::answers;
use anyhow::Result;

const PEERS: [usize; 3] = [1, 8, 64];
const LEN: usize = 64;

/// Everyone connects, waits for the word, sends for a while; the rate is over the time from the
/// word until the host has read the last message of the last peer.
pub(crate) fn measure(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::FanIn) {
        return Ok(());
    }
    for peers in PEERS {
        let mut group = Group::new()?;
        let job = Job {
            len: LEN,
            millis: plan.millis,
            ..group.job(subject, Side::Host, Task::FanIn, peers)
        };
        group.start_host(&job)?;
        for index in 0..peers {
            group.start(&Job { side: Side::Peer, index: u16::try_from(index)?, ..job.clone() })?;
        }
        group
            .wait_for("all peers to arrive", |line| matches!(line, Line::Settled).then_some(()))?;
        let start = clock::now();
        group.go()?;
        let (messages, fewest, end) =
            group.wait_for("the host to have read it all", |line| match *line {
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
