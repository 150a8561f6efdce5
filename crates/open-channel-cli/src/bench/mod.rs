//! `open-channel bench`: how fast messages are on this machine, beside a plain socket.

mod ends;
mod kind;
mod measure;
mod plain;
mod plot;
mod process;
mod results;
pub(crate) mod worker;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget};

use self::kind::Measure;
use self::measure::Bench;
use self::results::Row;
use crate::interrupt::asked_to_stop;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
Each measurement runs between processes of this program, in a directory of its own, once over a \
channel and once over a plain socket: a Unix socket (elsewhere loopback TCP) with a length before \
each message, one write and two reads for each, and nothing else. A channel does more: it \
acknowledges every message when it is handled, keeps it until then, and goes on when its host \
dies. Both use one thread on each side that blocks. RATIO is how many times as fast as the plain \
socket the channel is.

  round-trip  a message to another process and back
  rate        messages to another process, one after the other, until all were handled
  connect     a new connection, and the first message there and back
  fan-out     each message to four processes, until all were handled
  failover    the host is killed; until the next one has handled a message

A machine that does other things meanwhile shows it in the numbers.

    open-channel bench --only round-trip --svg round-trip.svg")]
pub(crate) struct Args {
    /// Measure this only; may be given several times
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<Measure>,

    /// Time for each number, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    seconds: Duration,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Draw a plot, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let (time, only) = (args.seconds, args.only.clone());
    // It blocks, as what it measures does.
    let measuring = tokio::task::spawn_blocking(move || measure(time, &only));
    let rows = tokio::select! {
        rows = measuring => rows.context("the measurement failed")??,
        signal = asked_to_stop() => return Err(signal.into()),
    };
    if let Some(path) = &args.svg {
        plot::draw(&rows, path)?;
    }
    if cfg!(debug_assertions) {
        output::say("this program was built for debugging, and is slow: build it with --release");
    }
    if args.json {
        let rows: Vec<_> = rows.iter().map(Row::object).collect();
        return output::line(serde_json::json!({ "results": rows }).to_string().as_bytes());
    }
    output::write(results::table(&rows, output::Style::of_stdout()).as_bytes())
}

fn measure(time: Duration, only: &[Measure]) -> Result<Vec<Row>> {
    // Nowhere but on a terminal.
    let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let bench = Bench::new(time, |what| progress.set_message(what.to_owned()))?;
    let rows = bench.run(only);
    progress.finish_and_clear();
    rows
}
