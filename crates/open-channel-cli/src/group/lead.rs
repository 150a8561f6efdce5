//! `open-channel lead`: runs a command in exactly one of the places where it is started.

use std::time::Duration;

use anyhow::Result;
use open_channel_group::Group;

use super::command::{CommandLine, Ended, Purpose};
use super::held::{End, Held};
use super::place::{Place, unless_asked};
use crate::options::Options;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
Start it wherever CMD may run: in each process of PM2, in each unit of systemd. One of them runs \
CMD, the others wait. When that one ends, dies or is killed, the next one runs CMD, as soon as no \
process of the former CMD is left. Where the role is lost, CMD gets SIGTERM, and SIGKILL after the \
grace; then this program waits for its turn again.

CMD runs without a shell and finds OPEN_CHANNEL_TOKEN in its environment: a number that is greater \
for each later leader. SIGHUP, SIGINT and SIGTERM are passed on to it. CMD gets SIGTERM when this \
program is killed (on Linux). Programs in Rust and Node share the role by `group.lead(NAME)`.

Exit status: that of CMD, when it ends by itself; 128 and the number of the signal that ended it, \
127 if CMD was not found and 126 if it could not be run.

    open-channel lead scheduler -- node scheduler.js")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The role's name
    name: String,

    /// Take the role from the place that has it, at first
    #[arg(long)]
    steal: bool,

    /// How long CMD may take to end after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    grace: Duration,

    #[command(flatten)]
    command: CommandLine,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    args.place.visit(options, async |group| lead(&args, options, group).await).await
}

async fn lead(args: &Args, options: &Options, group: &Group) -> Result<()> {
    let purpose =
        Purpose { words: &args.command.words, options, group: group.name(), name: &args.name };
    let held = Held { purpose, grace: Some(args.grace) };
    let mut steal = args.steal;
    loop {
        let guard = unless_asked(async {
            let name = &args.name;
            Ok(if steal { group.steal_lead(name).await? } else { group.lead(name).await? })
        })
        .await?;
        steal = false;
        tracing::info!(name = args.name, token = guard.token().number(), "this process leads");
        match held.run(&guard).await? {
            End::Ended(status) => return Ended::of(status),
            End::Asked(signal) => return Err(signal.into()),
            End::Lost(_) => tracing::info!(name = args.name, "this process leads no more"),
        }
    }
}
