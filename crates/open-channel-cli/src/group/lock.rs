//! `open-channel lock`: runs a command while it holds a lock, in the manner of flock(1).

use std::time::Duration;

use anyhow::Result;
use open_channel_group::{Group, LockGuard};
use tokio::time::timeout;

use super::command::{CommandLine, Ended, Purpose};
use super::held::{End, Held};
use super::place::{Place, unless_asked};
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
CMD runs without a shell and finds OPEN_CHANNEL_TOKEN in its environment: a number that is greater \
for each later holder, so that a file or a database can refuse one that comes late. \
OPEN_CHANNEL_GROUP and OPEN_CHANNEL_NAME are there, too.

CMD and its children inherit the lock, as with flock(1): the kernel holds it until the last of \
them has ended, even if this program is killed. CMD gets SIGTERM when this program is killed (on \
Linux), and when the lock is stolen; SIGHUP, SIGINT and SIGTERM are passed on to it. \
Programs in Rust and Node share the lock by `group.lock(NAME)`.

Exit status: that of CMD, 128 and the number of the signal that ended it, 127 if CMD was not found \
and 126 if it could not be run; the conflict exit code if the lock was not free in time.

    open-channel lock deploy -- ./deploy.sh
    open-channel lock backup --nonblock -- ./backup.sh || echo 'it runs already'")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The lock's name
    name: String,

    /// Share the lock with others that share it, too
    #[arg(short, long)]
    shared: bool,

    /// Do not wait if the lock is not free
    #[arg(short, long, conflicts_with = "timeout")]
    nonblock: bool,

    /// How long to wait for the lock, in seconds [default: for ever]
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// The exit status if the lock was not free in time
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = 1)]
    conflict_exit_code: u8,

    /// Take the lock from its holders, whose CMD gets SIGTERM; it is held once those have ended
    #[arg(long, conflicts_with_all = ["shared", "nonblock"])]
    steal: bool,

    #[command(flatten)]
    command: CommandLine,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    args.place.visit(options, async |group| hold(&args, options, group).await).await
}

async fn hold(args: &Args, options: &Options, group: &Group) -> Result<()> {
    let Some(guard) = unless_asked(acquire(args, group)).await? else {
        return Err(Ended { status: args.conflict_exit_code }.into());
    };
    let purpose =
        Purpose { words: &args.command.words, options, group: group.name(), name: &args.name };
    let held = Held { purpose, grace: None };
    match held.run(&guard).await? {
        End::Ended(status) => Ended::of(status),
        End::Lost(status) => {
            output::say(format_args!("the lock {:?} was taken away", args.name));
            status.map_or_else(|| Err(Ended { status: 1 }.into()), Ended::of)
        }
        End::Asked(signal) => Err(signal.into()),
    }
}

/// Nothing if it is not free in time.
async fn acquire(args: &Args, group: &Group) -> Result<Option<LockGuard>> {
    let name = &args.name;
    if args.nonblock {
        let tried = if args.shared {
            group.try_lock_shared(name).await
        } else {
            group.try_lock(name).await
        };
        return Ok(tried?);
    }
    let lock = async {
        match (args.steal, args.shared) {
            (true, _) => group.steal(name).await,
            (_, true) => group.lock_shared(name).await,
            _ => group.lock(name).await,
        }
    };
    let Some(limit) = args.timeout else { return Ok(Some(lock.await?)) };
    match timeout(limit, lock).await {
        Ok(guard) => Ok(Some(guard?)),
        Err(_) => Ok(None),
    }
}
