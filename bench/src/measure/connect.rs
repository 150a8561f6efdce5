//! From connect() to the first acknowledged message, each time in fresh processes.

use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::answers;
use anyhow::Result;

pub(crate) fn measure(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    for _ in 0..plan.connects {
        if answers(subject, Task::ConnectFirst) {
            let mut group = Group::new()?;
            let job = group.job(subject, Side::Host, Task::ConnectFirst, 1);
            group.start(&job)?;
            let nanos = connected(&group)?;
            results.add(Measure::Connect, "first process", Metric::Nanos, subject, nanos);
        }
        if answers(subject, Task::Connect) {
            let mut group = Group::new()?;
            let host = group.job(subject, Side::Host, Task::Connect, 1);
            group.start_host(&host)?;
            group.start(&Job { side: Side::Peer, ..host })?;
            let nanos = connected(&group)?;
            results.add(Measure::Connect, "second process", Metric::Nanos, subject, nanos);
        }
    }
    Ok(())
}

fn connected(group: &Group) -> Result<f64> {
    group.wait_for("the first acknowledgement", |line| match line {
        Line::Connected { nanos } => Some(*nanos as f64),
        _ => None,
    })
}
