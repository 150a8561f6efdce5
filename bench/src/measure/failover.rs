//! The host is killed with SIGKILL while every process sends numbered messages; how long until the
//! next host has acknowledged one?

use crate::clock;
use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::answers;
use anyhow::{Context, Result};
use std::time::Duration;

const PEERS: [usize; 3] = [2, 8, 64];
/// All peers together send about this many messages in a second, so that what is measured is the
/// change of host and not the wait for a processor.
const MESSAGES_PER_MILLI: usize = 8;
/// Between a change of host and the next kill.
const CALM: Duration = Duration::from_millis(150);

/// First acknowledgement of a generation, as one process saw it.
#[derive(Clone, Copy)]
struct Ack {
    index: usize,
    at_nanos: u64,
    generation: u64,
    hosting: bool,
}

pub(crate) fn measure(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::Failover) {
        return Ok(());
    }
    for peers in PEERS {
        let mut group = Group::new()?;
        let millis = (peers / MESSAGES_PER_MILLI).max(1) as u64;
        let job = Job { millis, ..group.job(subject, Side::Peer, Task::Failover, peers) };
        let mut host = join(&mut group, &job)?;
        for _ in 0..peers {
            group.start(&job)?;
        }
        for _ in 0..peers {
            next_ack(&group, host.generation)?;
        }
        for _ in 0..plan.kills {
            std::thread::sleep(CALM);
            let killed = clock::now();
            group.kill(host.index)?;
            let mut acks = Vec::with_capacity(peers);
            while acks.len() < peers {
                acks.push(next_ack(&group, host.generation + 1)?);
            }
            let since = |ack: &Ack| ack.at_nanos.saturating_sub(killed) as f64;
            let all: Vec<f64> = acks.iter().map(since).collect();
            let remote: Vec<f64> = acks.iter().filter(|ack| !ack.hosting).map(since).collect();
            let case = format!("{peers} peers");
            let mut add = |metric, value: Option<f64>| {
                if let Some(value) = value {
                    results.add(Measure::Failover, case.clone(), metric, subject, value);
                }
            };
            add(Metric::FirstAck, all.iter().copied().reduce(f64::min));
            add(Metric::FirstRemoteAck, remote.into_iter().reduce(f64::min));
            add(Metric::SlowestAck, all.into_iter().reduce(f64::max));
            host = acks.into_iter().find(|ack| ack.hosting).context("nobody became the host")?;
            join(&mut group, &job)?;
        }
    }
    Ok(())
}

/// One more process; returns when it has been acknowledged.
fn join(group: &mut Group, job: &Job) -> Result<Ack> {
    let index = group.start(job)?;
    group.wait_from("a newcomer's first acknowledgement", |from, line| {
        ack(from, line).filter(|_| from == index)
    })
}

fn next_ack(group: &Group, generation: u64) -> Result<Ack> {
    group.wait_from("an acknowledgement by the host", |index, line| {
        ack(index, line).filter(|ack| ack.generation >= generation)
    })
}

fn ack(index: usize, line: &Line) -> Option<Ack> {
    match *line {
        Line::Acked { at_nanos, generation, hosting } => {
            Some(Ack { index, at_nanos, generation, hosting })
        }
        _ => None,
    }
}
