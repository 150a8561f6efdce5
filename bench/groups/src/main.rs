//! `oc-bench-groups`: the faces of a group beside the servers that people start for the same.
//!
//! ```text
//!   run ── starts ──▶ a server (redis, nats), or nothing
//!    │
//!    └─── starts ──▶ worker processes: "ready" ▶ "go" ▶ the results, a line of JSON
//! ```
//! Every row is measured with processes of its own. The payload is numbered, and who receives it
//! checks its number.

use anyhow::Result;
use clap::Parser;

mod control;
mod group;
mod measure;
#[cfg(feature = "peers")]
mod nats;
mod place;
mod raw_channel;
#[cfg(feature = "peers")]
mod redis;
mod report;
mod row;
mod task;
#[cfg(feature = "peers")]
mod zeromq;

#[derive(Parser)]
#[command(about)]
enum Command {
    /// Measure and print a table
    Run(measure::Args),
    /// A process of a measurement; started by `run`
    #[command(hide = true)]
    Worker {
        /// Its task, as JSON
        task: String,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Run(args) => measure::run(&args),
        Command::Worker { task } => task::work(&serde_json::from_str(&task)?),
    }
}
