//! `open-channel tap`, `record` and `replay`: the messages of a channel or a group go by.

mod filter;
mod follow;
pub(crate) mod record;
mod recording;
pub(crate) mod replay;
mod seen;
mod show;
mod target;

use anyhow::Result;

use self::filter::Filter;
use self::follow::{Follow, Happened};
use self::show::Shown;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;

/// Bytes of a message that are shown.
const SHOWN: usize = 200;

#[derive(clap::Args)]
#[command(after_help = "\
The program that hosts has to allow it, with OPEN_CHANNEL_TAP=1 in its environment, \
`Builder::tap(true)` in Rust or `tap: true` in Node. Only its own user may tap. A tap takes no \
part and slows nobody: messages that come while it is too slow are dropped, and a line on standard \
error counts them. When another process takes over, the tap goes on there.

A message to the host is seen when its program takes it, one from the host when it is sent. Of a \
group, what members do is shown: publications, calls and their answers, jobs, locks and writes; \
with --direction from-host, what the host passes on.

With --json each message is one line: an object with `at` (seconds since the tap began), \
`direction`, `pid` (the process on the other side, or null), `socket`, `attempt`, `length`, and \
`message`, or `hex` if that is not UTF-8; of a group also `act`, and `name`, its topic, service, \
queue, lock or key.

    open-channel tap tea-room
    open-channel tap shop --topic 'order.>' --json | jq -r .message")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,

    /// Print JSON, one line for each message
    #[arg(long)]
    json: bool,

    /// End after so many messages [default: never]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How many bytes of each message are printed; 0 for all [default: 200, or all with --json]
    #[arg(long, value_name = "NUMBER")]
    bytes: Option<usize>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    tokio::select! {
        biased;
        signal = asked_to_stop() => Err(signal.into()),
        done = print(&args, options) => done,
    }
}

async fn print(args: &Args, options: &Options) -> Result<()> {
    let bytes = match args.bytes {
        Some(0) => usize::MAX,
        Some(bytes) => bytes,
        None if args.json => usize::MAX,
        None => SHOWN,
    };
    let shown = Shown { json: args.json, bytes };
    let mut follow = Follow::begin(&args.filter, bytes, options).await?;
    let mut left = args.count;
    while left != Some(0) {
        match follow.next().await? {
            Happened::Seen(seen) => {
                tokio::task::block_in_place(|| output::line(shown.line(&seen).as_bytes()))?;
                left = left.map(|left| left - 1);
            }
            happened => match happened.words() {
                Some(words) => output::say(words),
                None => return follow.ended(left),
            },
        }
    }
    Ok(())
}
