//! How many system calls a busy pair makes, counted by the kernel: the tracepoint that every one of
//! them passes.

use super::pair::Pair;
use crate::job::{Job, Line, Side, Subject, Task};
use crate::plan::Plan;
use crate::process::Group;
use crate::results::{Measure, Metric, Results};
use crate::subjects::answers::answers;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

const EVENT: &str = "raw_syscalls:sys_enter";

/// Why nothing can be counted here, if so.
pub(crate) fn obstacle() -> Option<String> {
    let what = match Command::new("perf").args(["stat", "-e", EVENT, "true"]).output() {
        Ok(output) if output.status.success() => return None,
        Ok(_) => {
            "perf may not use the kernel's tracepoints here (root may, and not in every container)"
        }
        Err(_) => "perf is not installed (Debian has it in linux-perf)",
    };
    Some(format!("System calls were not counted: {what}."))
}

pub(crate) fn measure(plan: &Plan, subject: Subject, results: &mut Results) -> Result<()> {
    if !answers(subject, Task::CountedRoundTrips) {
        return Ok(());
    }
    let group = Group::new()?;
    let job = group.job(subject, Side::Host, Task::CountedRoundTrips, 1);
    // A subject that sleeps for every message makes so many calls that fewer trips say as much, and
    // takes long.
    let trips = if subject.spins() { plan.trips } else { plan.trips / 10 };
    let job = Job { millis: plan.warm_up, trips, ..job };
    let mut pair = Pair::start(&job, group, plan.pin)?;
    pair.group.wait_for("the warm-up", |line| matches!(line, Line::Settled).then_some(()))?;
    let counter = Counter::start([pair.host, pair.peer].map(|index| pair.group.pid(index)))?;
    pair.group.go()?;
    let trips = pair.group.wait_for("the round trips", |line| match line {
        Line::RoundTrip { messages, .. } => Some(*messages),
        _ => None,
    })?;
    let calls = counter.finish()?;
    results.add(
        Measure::Syscalls,
        "64 B",
        Metric::CallsPerTrip,
        subject,
        calls as f64 / trips as f64,
    );
    Ok(())
}

/// perf counts what the processes do for as long as a command of its own runs. That command is
/// `cat`: what it repeats shows that the counting has begun, and the end of its input ends it.
struct Counter {
    perf: Child,
}

impl Counter {
    fn start(pids: [u32; 2]) -> Result<Counter> {
        let pids = pids.map(|pid| pid.to_string()).join(",");
        let mut perf = Command::new("perf")
            .args(["stat", "-x", ";", "-e", EVENT, "-p", &pids, "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start perf")?;
        let hello = b"counting\n";
        perf.stdin.as_mut().context("perf has no input")?.write_all(hello)?;
        let mut answer = vec![0; hello.len()];
        perf.stdout
            .as_mut()
            .context("perf has no output")?
            .read_exact(&mut answer)
            .context("perf gave up")?;
        Ok(Counter { perf })
    }

    fn finish(mut self) -> Result<u64> {
        drop(self.perf.stdin.take());
        let output = self.perf.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count =
            text.lines().find(|line| line.contains(EVENT)).and_then(|line| line.split(';').next());
        ensure!(output.status.success(), "perf failed: {text}");
        count.context("perf counted nothing")?.parse().with_context(|| format!("perf said: {text}"))
    }
}
