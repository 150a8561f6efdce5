//! Two processes: round trips, and the one-way rate.

use super::distance::SHORTER;
use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::answers;
use anyhow::Result;

pub(crate) const SMALLEST: usize = 64;
const ROUND_TRIPS: [usize; 2] = [SMALLEST, 1024];
const ONE_WAY: [usize; 4] = [SMALLEST, 1024, 64 * 1024, 1024 * 1024];
/// From here on a rate in bytes says more than one in messages.
const LARGE: usize = 64 * 1024;
pub(crate) fn size(len: usize) -> String {
    match len {
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

/// Two processes with one connection between them.
pub(crate) struct Pair {
    pub(crate) group: Group,
    pub(crate) host: usize,
    pub(crate) peer: usize,
}

impl Pair {
    /// Starts both, the host on the first of the cores.
    pub(crate) fn start(job: &Job, group: Group, cores: Option<(usize, usize)>) -> Result<Pair> {
        let mut group = group;
        let host = group.start_host(&Job { core: cores.map(|(host, _)| host), ..job.clone() })?;
        let core = cores.map(|(_, peer)| peer);
        let peer = group.start(&Job { side: Side::Peer, core, ..job.clone() })?;
        Ok(Pair { group, host, peer })
    }

    /// The report of the sending side, and the processor time of the receiving side.
    pub(crate) fn reports(&self, subject: Subject, results: &mut Results) -> Result<(Line, u64)> {
        let (mut sent, mut served) = (None, None);
        // The two reports come in either order.
        loop {
            match self.group.wait_for("the measurement", |line| Some(line.clone()))? {
                Line::Served { cpu_nanos, .. } => served = Some(cpu_nanos),
                Line::Link { name } => results.note_link(subject, name),
                line @ (Line::RoundTrip { .. } | Line::OneWay { .. }) => sent = Some(line),
                _ => {}
            }
            if let (Some(sent), Some(served)) = (&sent, served) {
                return Ok((sent.clone(), served));
            }
        }
    }
}

fn run(
    millis: u64,
    subject: Subject,
    task: Task,
    len: usize,
    cores: Option<(usize, usize)>,
    results: &mut Results,
) -> Result<(Line, u64)> {
    let group = Group::new()?;
    let job = Job { len, millis, ..group.job(subject, Side::Host, task, 1) };
    Pair::start(&job, group, cores)?.reports(subject, results)
}

/// [`run`] on two cores, again if they were moved meanwhile and what is measured follows their
/// distance.
fn run_steadily(
    plan: &Plan,
    subject: Subject,
    task: Task,
    len: usize,
    results: &mut Results,
) -> Result<(Line, u64)> {
    let follows = subject.spins() && (task == Task::RoundTrip || len >= LARGE);
    let Some(distance) = plan.distance.as_ref().filter(|_| follows) else {
        return run(plan.millis, subject, task, len, plan.pin, results);
    };
    let measure = || run(plan.millis / SHORTER, subject, task, len, plan.pin, results);
    let (reports, steady) = distance.steady(measure)?;
    if !steady {
        let what = format!("{subject}, {}", size(len));
        results.caveat(format!(
            "Not all measurements of {what}, were made at the chosen distance between cores."
        ));
    }
    Ok(reports)
}

fn per_million(cpu_nanos: u64, messages: u64) -> f64 {
    cpu_nanos as f64 * 1e6 / messages as f64
}

pub(crate) fn round_trip(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::RoundTrip) {
        return Ok(());
    }
    for len in ROUND_TRIPS {
        let reports = run_steadily(plan, subject, Task::RoundTrip, len, results)?;
        add_round_trip(Measure::Rtt, &size(len), subject, &reports, results);
    }
    Ok(())
}

/// Round trips for which somebody has to be woken: because nothing was sent for a while, or because
/// there is but one core and spinning would only keep the other side from it.
pub(crate) fn asleep(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::PacedRoundTrip) {
        return Ok(());
    }
    let mut ask = |case: &str, task, cores| -> Result<()> {
        let reports = run(plan.millis, subject, task, SMALLEST, cores, results)?;
        add_round_trip(Measure::Asleep, case, subject, &reports, results);
        Ok(())
    };
    ask("paced", Task::PacedRoundTrip, plan.pin)?;
    ask("one core", Task::RoundTrip, Some((0, 0)))
}

fn add_round_trip(
    measure: Measure,
    case: &str,
    subject: Subject,
    (line, served): &(Line, u64),
    results: &mut Results,
) {
    if let Line::RoundTrip { p50, p99, p999, messages, cpu_nanos } = *line {
        let cpu = per_million(cpu_nanos + served, messages);
        let metrics = [
            (Metric::P50, p50),
            (Metric::P99, p99),
            (Metric::P999, p999),
            (Metric::CpuPerMillion, cpu),
        ];
        for (metric, value) in metrics {
            // A pause leaves too few round trips for one in a thousand to mean anything.
            if (measure, metric) != (Measure::Asleep, Metric::P999) {
                results.add(measure, case, metric, subject, value);
            }
        }
    }
}

pub(crate) fn one_way(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    for len in ONE_WAY {
        let (line, served) = run_steadily(plan, subject, Task::OneWay, len, results)?;
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
