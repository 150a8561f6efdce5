//! The cost of a connection while nobody sends anything: memory, and processor time.

use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::procfs;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::{answers, holds_many};
use anyhow::Result;
use std::time::Duration;

const CONNECTIONS: usize = 500;
const PEERS: usize = 8;
/// After the last message, before anything is read off.
const CALM: Duration = Duration::from_millis(300);

/// 500 connections from one process; each has carried a message, so that buffers exist.
pub(crate) fn memory(_plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !holds_many(subject) {
        return Ok(());
    }
    let one = resident(subject, 1)?;
    let many = resident(subject, CONNECTIONS)?;
    let each =
        |before: u64, after: u64| after.saturating_sub(before) as f64 / (CONNECTIONS - 1) as f64;
    let case = format!("{CONNECTIONS} connections");
    let mut add =
        |metric, value| results.add(Measure::Memory, case.clone(), metric, subject, value);
    add(Metric::HostPss, each(one.0.pss, many.0.pss));
    add(Metric::HostRss, each(one.0.rss, many.0.rss));
    add(Metric::PeerPss, each(one.1.pss, many.1.pss));
    Ok(())
}

/// Memory of a host and of a peer process with so many connections between them.
fn resident(subject: Subject, connections: usize) -> Result<(procfs::Memory, procfs::Memory)> {
    let mut group = Group::new()?;
    let job = group.job(subject, Side::Host, Task::Hold, connections);
    let host = group.start_host(&job)?;
    let peer = group.start(&Job { side: Side::Peer, ..job })?;
    settled(&group)?;
    Ok((procfs::memory(group.pid(host))?, procfs::memory(group.pid(peer))?))
}

fn settled(group: &Group) -> Result<()> {
    group.wait_for("all connections", |line| matches!(line, Line::Settled).then_some(()))?;
    std::thread::sleep(CALM);
    Ok(())
}

/// Processor time and wake-ups of a host and its 8 peers over some seconds of silence.
pub(crate) fn processor(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::Hold) {
        return Ok(());
    }
    let mut group = Group::new()?;
    let job = group.job(subject, Side::Host, Task::Hold, PEERS);
    let host = group.start_host(&job)?;
    let mut peers = Vec::new();
    for index in 0..PEERS {
        let index = u16::try_from(index)?;
        peers.push(group.start(&Job { side: Side::Peer, connections: 1, index, ..job.clone() })?);
    }
    settled(&group)?;

    let all = || -> Result<Vec<procfs::Activity>> {
        [host].iter().chain(&peers).map(|&index| procfs::activity(group.pid(index))).collect()
    };
    let before = all()?;
    std::thread::sleep(plan.idle);
    let after = all()?;
    let seconds = plan.idle.as_secs_f64();
    let spent: Vec<(f64, f64)> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| {
            let share = (after.cpu_nanos - before.cpu_nanos) as f64 / 1e9 / seconds;
            (share, (after.switches - before.switches) as f64 / seconds)
        })
        .collect();
    let mut add =
        |case: &str, metric, value| results.add(Measure::Idle, case, metric, subject, value);
    add("host", Metric::CpuShare, spent[0].0);
    add("host", Metric::WakeupsPerSecond, spent[0].1);
    let count = PEERS as f64;
    add("a peer", Metric::CpuShare, spent[1..].iter().map(|peer| peer.0).sum::<f64>() / count);
    add(
        "a peer",
        Metric::WakeupsPerSecond,
        spent[1..].iter().map(|peer| peer.1).sum::<f64>() / count,
    );
    Ok(())
}
