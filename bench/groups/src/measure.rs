//! Starts the processes of each measurement, and collects what they report.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::control::{self, Results};
use crate::place::{Place, cpu_of};
use crate::report::{self, Outcome, Table};
use crate::row::{Row, Subject};
use crate::task::Task;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only these (comma-separated)
    #[arg(long, value_delimiter = ',')]
    only: Vec<Row>,
    /// Measure only these subjects (comma-separated)
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// How often everything is measured; medians are reported
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A quarter of the messages
    #[arg(long)]
    quick: bool,
    /// Also write the table as Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen = |all: &[Row]| {
        let only = |row: &&Row| args.only.is_empty() || args.only.contains(row);
        all.iter().filter(only).copied().collect::<Vec<_>>()
    };
    let subjects: Vec<_> = Subject::ALL
        .into_iter()
        .filter(|subject| args.subjects.is_empty() || args.subjects.contains(subject))
        .filter(|subject| {
            cfg!(feature = "peers") || matches!(subject, Subject::Group | Subject::Channel)
        })
        .collect();
    let mut table = Table::default();
    for round in 1..=args.rounds {
        for row in chosen(&Row::ALL) {
            eprintln!("round {round}/{}: {}", args.rounds, row.title());
            for subject in subjects.iter().copied().filter(|subject| subject.has(row)) {
                let outcome = once(subject, row, row.count(args.quick))
                    .with_context(|| format!("{}, {}", subject.name(), row.title()))?;
                table.add(row, subject, outcome);
            }
        }
    }
    let text = report::text(&table, args.rounds);
    println!("{text}");
    if let Some(file) = &args.report {
        std::fs::write(file, report::markdown(&table, args.rounds))?;
    }
    Ok(())
}

/// One row of one subject, once.
fn once(subject: Subject, row: Row, count: u64) -> Result<Outcome> {
    let place = Place::of(subject)?;
    let roles = row.roles();
    let mut workers = Vec::new();
    for role in &roles {
        let alike = roles.iter().filter(|other| *other == &roles[0]).count() as u64;
        let task = Task { subject, row, role: *role, place: place.address.clone(), count, alike };
        workers.push(Worker::start(&task)?);
    }
    let server = place.cpu()?;
    let serving: u64 = workers.iter().map(Worker::cpu_of_one_that_serves).sum::<Result<u64>>()?;
    let begin = control::now();
    // Those that listen first.
    for worker in &mut workers {
        worker.go()?;
    }
    let mut end = begin;
    let mut latencies = Vec::new();
    let mut cpu = 0;
    for worker in workers.iter_mut().filter(|worker| !worker.task.role.serves()) {
        let results = worker.results()?;
        end = end.max(results.end);
        cpu += results.cpu;
        latencies.extend(results.latencies);
    }
    let served: u64 = workers.iter().map(Worker::cpu_of_one_that_serves).sum::<Result<u64>>()?;
    latencies.sort_unstable();
    Ok(Outcome {
        rate: things(row, &roles, count) as f64 * 1e9 / (end - begin) as f64,
        cpu: (cpu + served - serving + place.cpu()? - server) as f64
            / things(row, &roles, count) as f64,
        latencies,
    })
}

/// Deliveries, calls, holders, jobs or increments of all processes.
fn things(row: Row, roles: &[crate::task::Role], count: u64) -> u64 {
    let alike = roles.iter().filter(|role| *role == &roles[0]).count() as u64;
    match row {
        Row::Call | Row::Queue => count,
        Row::Single | Row::Fanout | Row::Latency | Row::Lock | Row::Map => count * alike,
    }
}

/// A process; killed when dropped.
struct Worker {
    task: Task,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it, and waits until it is ready. A publisher of ZeroMQ is ready once its subscribers
    /// are there, which connect as soon as it listens.
    fn start(task: &Task) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(task)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { bail!("no pipes") };
        let output = BufReader::new(output);
        let mut worker = Self { task: task.clone(), child, input, output };
        let line = worker.line()?;
        if line.trim() != "ready" {
            bail!("{:?} says {line:?}", task.role);
        }
        Ok(worker)
    }

    fn go(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"go\n")?)
    }

    fn results(&mut self) -> Result<Results> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("{:?} ended with {}", self.task.role, self.child.wait()?);
        }
        Ok(line)
    }

    fn cpu_of_one_that_serves(&self) -> Result<u64> {
        if self.task.role.serves() { cpu_of(self.child.id()) } else { Ok(0) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
