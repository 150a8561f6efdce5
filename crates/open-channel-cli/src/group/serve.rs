//! `open-channel serve`: answers calls with what a command prints.

use std::num::NonZeroU32;

use anyhow::{Result, anyhow};
use open_channel_group::{Group, Request};
use tokio::task::JoinSet;

use super::command::{CommandLine, Purpose, Running};
use super::place::Place;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
CMD runs without a shell, once for each call: the request is its standard input, and what it \
prints is the answer, without one newline at the end. An exit status other than 0 is a failure, \
with the last line on its standard error as the reason. It is stopped when its caller gives up. \
CMD finds OPEN_CHANNEL_GROUP, OPEN_CHANNEL_NAME and OPEN_CHANNEL_SENDER in its environment. Start \
several: the calls are spread over them. When this program is asked to stop, it finishes the \
calls that run.

    open-channel serve upper -- tr a-z A-Z")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The service's name
    service: String,

    /// How many calls are handled at a time
    #[arg(short, long, value_name = "NUMBER", default_value = "1")]
    jobs: NonZeroU32,

    #[command(flatten)]
    command: CommandLine,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    args.place.visit(options, async |group| serve(&args, options, group).await).await
}

async fn serve(args: &Args, options: &Options, group: &Group) -> Result<()> {
    let purpose =
        Purpose { words: &args.command.words, options, group: group.name(), name: &args.service };
    let mut requests = tokio::select! {
        requests = group.requests(&args.service) => requests?,
        signal = asked_to_stop() => return Err(signal.into()),
    };
    tracing::info!(service = args.service, "serving");
    let mut handlers = JoinSet::new();
    let ended = loop {
        let has_room = handlers.len() < args.jobs.get() as usize;
        tokio::select! {
            biased;
            signal = asked_to_stop() => break signal.into(),
            Some(_) = handlers.join_next() => {}
            request = requests.recv(), if has_room => match request {
                Some(request) => begin(purpose, request, &mut handlers).await?,
                None => break anyhow!("the group {:?} is over", group.name()),
            },
        }
    };
    drop(requests);
    handlers.join_all().await;
    Err(ended)
}

async fn begin(purpose: Purpose<'_>, request: Request, handlers: &mut JoinSet<()>) -> Result<()> {
    tokio::select! {
        biased;
        () = request.cancelled() => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let mut command = purpose.command();
    command.env("OPEN_CHANNEL_SENDER", format!("{:016x}", request.from().0));
    let running = Running::start_piped(purpose.words, command, true)?;
    handlers.spawn(handle(running, request));
    Ok(())
}

async fn handle(mut running: Running, request: Request) {
    let outcome = running.handle(request.payload(), request.cancelled()).await;
    // Refused when nobody waits for it.
    let _ = match outcome {
        Ok(None) => return,
        Ok(Some(outcome)) if outcome.status.success() => {
            let mut answer = outcome.answer;
            if answer.last() == Some(&b'\n') {
                answer.pop();
            }
            request.answer(answer)
        }
        Ok(Some(outcome)) if outcome.last_error.is_empty() => request.fail(outcome.status),
        Ok(Some(outcome)) => request.fail(outcome.last_error),
        Err(error) => {
            output::say(format_args!("{error:#}"));
            request.fail(error)
        }
    };
}
