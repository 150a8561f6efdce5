//! Two processes: round trips, and the one-way rate.

use crate::job::{Job, Line, Side, Subject, Task};
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::run::Plan;
use crate::subjects::answers;
use anyhow::Result;

pub(crate) const ROUND_TRIPS: [usize; 2] = [64, 1024];
pub(crate) const ONE_WAY: [usize; 4] = [64, 1024, 64 * 1024, 1024 * 1024];
/// From here on a rate in bytes says more than one in messages.
const LARGE: usize = 64 * 1024;

pub(crate) fn size(len: usize) -> String {
    match len {
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

/// What the sending side reported, and the processor time of the receiving side.
fn run(plan: &Plan, subject: Subject, task: Task, len: usize) -> Result<(Line, u64)> {
    let mut group = Group::new()?;
    let host = Job {
        len,
        millis: plan.millis,
        core: plan.pin.map(|(host, _)| host),
        ..group.job(subject, Side::Host, task, 1)
    };
    group.start_host(&host)?;
    let core = plan.pin.map(|(_, peer)| peer);
    group.start(&Job { side: Side::Peer, core, ..host })?;
    let (mut sent, mut served) = (None, None);
    // The two reports come in either order.
    loop {
        let line = group.wait_for("the measurement", |line| match line {
            Line::RoundTrip { .. } | Line::OneWay { .. } | Line::Served { .. } => Some(line.clone()),
            _ => None,
        })?;
        match line {
            Line::Served { cpu_nanos, .. } => served = Some(cpu_nanos),
            line => sent = Some(line),
        }
        if let (Some(sent), Some(served)) = (&sent, served) {
            return Ok((sent.clone(), served));
        }
    }
}

fn per_million(cpu_nanos: u64, messages: u64) -> f64 {
    cpu_nanos as f64 * 1e6 / messages as f64
}

pub(crate) fn round_trip(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::RoundTrip) {
        return Ok(());
    }
    for len in ROUND_TRIPS {
        let (line, served) = run(plan, subject, Task::RoundTrip, len)?;
        if let Line::RoundTrip { p50, p99, p999, messages, cpu_nanos } = line {
            let cpu = per_million(cpu_nanos + served, messages);
            let metrics =
                [(Metric::P50, p50), (Metric::P99, p99), (Metric::P999, p999), (Metric::CpuPerMillion, cpu)];
            for (metric, value) in metrics {
                results.add(Measure::Rtt, size(len), metric, subject, value);
            }
        }
    }
    Ok(())
}

pub(crate) fn one_way(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    for len in ONE_WAY {
        let (line, served) = run(plan, subject, Task::OneWay, len)?;
        if let Line::OneWay { messages, nanos, cpu_nanos } = line {
            let rate = messages as f64 * 1e9 / nanos as f64;
            let (metric, value) = if len >= LARGE {
                (Metric::BytesPerSecond, rate * len as f64)
            } else {
                (Metric::MessagesPerSecond, rate)
            };
            results.add(Measure::OneWay, size(len), metric, subject, value);
            let cpu = per_million(cpu_nanos + served, messages);
            results.add(Measure::OneWay, size(len), Metric::CpuPerMillion, subject, cpu);
        }
    }
    Ok(())
}
