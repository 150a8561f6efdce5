//! Side-by-side measurements of open-channel, of what people use in its place, and of what the
//! machine can do at all. See the README beside this crate for what is measured and how.

mod child;
mod clock;
mod control;
mod job;
mod measure;
mod payload;
mod plan;
mod process;
mod procfs;
mod receive;
mod report;
mod results;
mod run;
mod stats;
mod subjects;
mod tally;
mod transport;
mod worker;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures open-channel beside other ways to carry messages between processes
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure and print a table
    Run(plan::Options),
    /// One process of a measurement (this program starts these itself)
    #[command(name = process::CHILD, hide = true)]
    Child { job: String },
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Child { job } => child::main(&job)?,
        Command::Run(options) => {
            let plan = plan::Plan::new(&options);
            let results = run::run(&plan);
            report::print(&plan, &results);
            if let Some(directory) = &options.report {
                report::write(&plan, &results, directory)?;
                println!("report: {}", directory.join("README.md").display());
            }
            if !results.failures().is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
