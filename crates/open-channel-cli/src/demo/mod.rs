//! `open-channel demo`: several processes share one channel without a server. The host is killed,
//! and nothing is lost.
//!
//! This process is not on the channel at all. It starts workers that run identical code, and kills
//! the one that hosts. Like a process manager, it starts a killed worker again, even one that the
//! user killed. The workers report down their pipes, and a ledger records the reports.
//!
//! By contract, messages that a worker had accepted for sending die with it. The worker resumes at
//! the first piece of its share that is not known to be handled. Everything else must arrive.

mod display;
mod ledger;
mod plan;
mod process;
mod record;
mod report;
mod supervisor;
pub(crate) mod worker;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::display::grouped;
use self::plan::Plan;
use self::process::Launch;
use self::supervisor::Supervisor;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;

/// Default duration of the traffic: long enough to watch.
const SECONDS: f64 = 6.0;

/// Each kill gets some traffic of its own.
const SECONDS_PER_KILL: f64 = 0.25;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many worker processes meet on the channel.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,

    /// How many times the process that hosts is killed (SIGKILL) while messages flow.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u64).range(0..=1000))]
    kills: u64,

    /// The file to stream through the channel [default: this program's own executable]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Over how many seconds to spread the traffic [default: 6, or more for many kills]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: Option<u16>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let program =
        std::env::current_exe().context("could not find this program's own executable")?;
    let input = args.input.unwrap_or_else(|| program.clone());
    let metadata =
        input.metadata().with_context(|| format!("could not read {}", input.display()))?;
    ensure!(
        metadata.is_file(),
        "{} is not a regular file: choose one with --input",
        input.display()
    );
    File::open(&input).with_context(|| {
        format!("could not open {}: choose a file that may be read with --input", input.display())
    })?;
    let seconds = args.seconds.map_or_else(
        || SECONDS.max(args.kills as f64 * SECONDS_PER_KILL),
        |seconds| seconds.into(),
    );
    let plan = Plan::new(metadata.len(), seconds, args.workers)?;

    let place = tempfile::Builder::new()
        .prefix("open-channel-demo-")
        .tempdir()
        .context("could not make a directory for the demo")?;
    let output = place.path().join("put-together-again");
    File::create(&output)
        .and_then(|file| file.set_len(plan.input_bytes * plan.passes))
        .with_context(|| format!("could not make {}", output.display()))?;

    output::line(introduction(&input, &plan, args.kills).as_bytes())?;
    let launch = Launch {
        program,
        input: input.clone(),
        output: output.clone(),
        runtime_dir: place.path().join("channel"),
        duration: Duration::from_secs_f64(seconds),
        verbose: options.verbose,
    };
    let mut supervisor = Supervisor::new(plan, launch, args.kills);
    let ran = tokio::select! {
        ran = supervisor.run() => ran,
        signal = asked_to_stop() => Err(signal.into()),
    };
    supervisor.finish_display();
    ran?;

    let verdict = supervisor.verdict();
    let digests = report::compare(&input, &output, plan.passes)?;
    output::write(report::table(&verdict, &digests, &plan).as_bytes())?;
    report::judge(&verdict, &digests, &input)
}

fn introduction(input: &Path, plan: &Plan, kills: u64) -> String {
    let times = match plan.passes {
        1 => String::new(),
        passes => format!(" {} times", grouped(passes)),
    };
    let kills = match kills {
        0 => "nobody is killed".to_owned(),
        1 => "whoever hosts it is killed once".to_owned(),
        kills => format!("whoever hosts it is killed {kills} times"),
    };
    format!(
        "{} processes, no server: they stream {} ({} bytes){times} through one channel\n\
         as {} numbered messages; {kills} on the way\n",
        plan.workers,
        input.display(),
        grouped(plan.input_bytes),
        grouped(plan.pieces()),
    )
}
