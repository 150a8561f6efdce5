//! `open-channel ls`: the channels of this user, and how they are.

mod details;
mod group;
mod json;
pub(crate) mod table;

use std::time::Duration;

use anyhow::{Result, bail};
use open_channel::inspect;

use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;
use crate::survey::{Surveyed, ask_again, survey};

/// Time between the two questions that a rate needs.
const RATE_OVER: Duration = Duration::from_millis(200);

/// Sockets described in the overview, for their links, and in the details.
const FEW: usize = 64;
const ALL: usize = 512;

#[derive(clap::Args)]
#[command(after_help = "\
A host is asked over a socket and answers from a thread of the library's own: also if its program \
is busy, and also from Node. One that does not answer within 0.7 seconds is called silent; \
`open-channel doctor` says why. A stale channel is one that all processes have left, by force; \
its files are in nobody's way.

Columns: KIND, a channel or a group; STATE; HOST, program and process id; GEN, the generation, \
which grows with every change of host; SOCKETS, or the members of a group; LINKS, what carries the \
sockets; MSG/S and BYTES/S, both directions; WAITING, messages that are not acknowledged yet, both \
directions; OLDEST, the age of the oldest of these; AGAIN, redelivered messages, with the highest \
attempt; UP, for how long this host has hosted.")]
pub(crate) struct Args {
    /// Show the details of the channels and groups of this name
    name: Option<String>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let listed = tokio::select! {
        listed = list(&args, options) => listed?,
        signal = asked_to_stop() => return Err(signal.into()),
    };
    let directory = inspect::runtime_directory(options.dir())?;
    if let Some(name) = &args.name
        && listed.is_empty()
    {
        bail!(
            "there is no channel {name:?} and no group of that name in {}: `open-channel ls` shows \
             those that are there, and `open-channel doctor {name:?}` looks elsewhere, too",
            directory.display()
        );
    }
    if args.json {
        return output::line(json::all(&directory, &listed).to_string().as_bytes());
    }
    if listed.is_empty() {
        output::say(format_args!("no channels in {}", directory.display()));
        return Ok(());
    }
    let style = output::Style::of_stdout();
    output::write(
        match args.name {
            Some(_) => details::all(&listed, style),
            None => table::all(&listed, style),
        }
        .as_bytes(),
    )
}

async fn list(args: &Args, options: &Options) -> Result<Vec<Surveyed>> {
    let sockets = if args.name.is_some() { ALL } else { FEW };
    let mut first = survey(options.dir(), 0).await?;
    select(&mut first, args, options);
    if !first.iter().any(|surveyed| surveyed.answer.is_ok()) {
        return Ok(first);
    }
    tokio::time::sleep(RATE_OVER).await;
    Ok(ask_again(first, sockets).await)
}

fn select(listed: &mut Vec<Surveyed>, args: &Args, options: &Options) {
    listed.retain(|surveyed| {
        args.name.as_ref().is_none_or(|name| surveyed.may_be(name))
            && options.scope_app().is_none_or(|app| match &surveyed.answer {
                Ok(status) => status.host.app.as_deref() == Some(app),
                // Nobody can tell.
                Err(_) => true,
            })
    });
}
