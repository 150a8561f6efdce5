//! `open-channel call`: asks one member, and prints its answer.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use open_channel_group::{CallOptions, Error};

use super::place::{Place, unless_asked};
use crate::framing::Framing;
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
Without MESSAGE, all of standard input is the request. The exit status is 1 if nobody serves it, \
the handler failed, its process died, or there was no answer in time; the line on standard error \
says which.

    open-channel call upper 'to be shouted'")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The service's name
    service: String,

    /// The request [default: standard input]
    message: Option<String>,

    /// How the answer is written
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,

    /// How long the answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// The request may run twice: when the process that has it dies, the next one is asked
    #[arg(long)]
    idempotent: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let request = match &args.message {
        Some(message) => Bytes::from(message.clone()),
        None => unless_asked(standard_input()).await?,
    };
    let mut how = CallOptions::default().within(args.timeout);
    if args.idempotent {
        how = how.idempotent();
    }
    args.place
        .visit(options, async |group| {
            let answer = unless_asked(async {
                let answer = group.call_with(&args.service, request, how).await;
                answer.map_err(|error| explained(error, &args.service, group.name()))
            })
            .await?;
            output::write(&args.framing.encode(&answer))
        })
        .await
}

/// All of it, read by a thread of its own: a terminal must not prevent the program from ending.
pub(super) async fn standard_input() -> Result<Bytes> {
    let (sender, input) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let longest = crate::framing::LONGEST;
        let read = io::stdin().take(longest as u64 + 1).read_to_end(&mut bytes);
        // Nobody waits for it when the program ends.
        let _ = sender.send(read.map(|_| bytes));
    });
    let bytes = input.await.context("reading was given up")?;
    let bytes = bytes.context("could not read the input")?;
    anyhow::ensure!(
        bytes.len() <= crate::framing::LONGEST,
        "the input is longer than {} bytes",
        crate::framing::LONGEST
    );
    Ok(bytes.into())
}

fn explained(error: Error, service: &str, group: &str) -> anyhow::Error {
    match error {
        Error::NoSuchService => anyhow!(
            "no member of the group {group:?} serves {service:?}: start one that does \
             (`open-channel serve {service:?} -- CMD`)"
        ),
        error => anyhow::Error::new(error).context(format!("calling {service:?}")),
    }
}
