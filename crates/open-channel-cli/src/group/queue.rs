//! `open-channel queue`: jobs for whoever has room.

use std::future::poll_fn;
use std::io;
use std::num::NonZeroU32;
use std::task::Poll;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use open_channel_group::{Error, Group, Job, Queue};
use tokio::task::JoinSet;

use super::command::{CommandLine, Purpose, Running};
use super::place::{Place, unless_asked};
use crate::framing::Framing;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;

/// Jobs pushed and not yet done.
const UNDER_WAY: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Push jobs, and wait until workers have done them
    Push(Push),
    /// Run a command for each job
    Work(Work),
}

#[derive(clap::Args)]
#[command(after_help = "\
A job lives in the process that pushed it: this one, until the job is done. It is tried again, by \
any worker, until CMD of one has ended with 0. The exit status is 1 if a job has had all its \
attempts, or a worker refused it for good.

    ls *.wav | open-channel queue push encode")]
struct Push {
    #[command(flatten)]
    place: Place,

    /// The queue's name
    name: String,

    /// One job each [default: those on standard input]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,

    /// How the jobs on standard input follow each other
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,

    /// How often a job is tried [default: as often as it takes]
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<NonZeroU32>,
}

#[derive(clap::Args)]
#[command(after_help = "\
CMD runs without a shell, once for each job, which is its standard input. The job is done when CMD \
ends with 0, and is tried again, by any worker and after a pause that grows, if it does not. CMD \
finds OPEN_CHANNEL_ATTEMPT in its environment, which is 1 at first: from the second on, the job \
may have been done already. OPEN_CHANNEL_GROUP, OPEN_CHANNEL_NAME and OPEN_CHANNEL_SENDER are \
there, too. When this program is asked to stop, it finishes the jobs that run.

    open-channel queue work encode --jobs 4 -- xargs -d '\\n' ./encode.sh")]
struct Work {
    #[command(flatten)]
    place: Place,

    /// The queue's name
    name: String,

    /// How many jobs are done at a time
    #[arg(short, long, value_name = "NUMBER", default_value = "1")]
    jobs: NonZeroU32,

    #[command(flatten)]
    command: CommandLine,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    match args.action {
        Action::Push(args) => {
            let push = async |group: &Group| unless_asked(push(&args, group)).await;
            args.place.visit(options, push).await
        }
        Action::Work(args) => {
            args.place.visit(options, async |group| work(&args, options, group).await).await
        }
    }
}

async fn push(args: &Push, group: &Group) -> Result<()> {
    let mut pushing = Pushing {
        queue: group.queue(&args.name)?,
        attempts: args.attempts,
        under_way: JoinSet::new(),
    };
    if args.jobs.is_empty() {
        let mut input = args.framing.read(io::stdin());
        while let Some(job) = input.recv().await {
            pushing.push(job?).await?;
        }
    }
    for job in &args.jobs {
        pushing.push(job.clone().into()).await?;
    }
    while let Some(done) = pushing.under_way.join_next().await {
        done??;
    }
    Ok(())
}

struct Pushing {
    queue: Queue,
    attempts: Option<NonZeroU32>,
    under_way: JoinSet<Result<()>>,
}

impl Pushing {
    async fn push(&mut self, job: Bytes) -> Result<()> {
        while self.under_way.len() >= UNDER_WAY {
            if let Some(done) = self.under_way.join_next().await {
                done??;
            }
        }
        let (queue, attempts) = (self.queue.clone(), self.attempts);
        let mut push =
            Box::pin(async move { queue.push_at_most(job, attempts).await.map_err(explained) });
        // It begins here, so that jobs are pushed in their order.
        match poll_fn(|cx| Poll::Ready(push.as_mut().poll(cx))).await {
            Poll::Ready(done) => done?,
            Poll::Pending => drop(self.under_way.spawn(push)),
        }
        Ok(())
    }
}

fn explained(error: Error) -> anyhow::Error {
    match &error {
        Error::Exhausted(job) | Error::Terminated { payload: job, .. } => {
            let beginning = String::from_utf8_lossy(&job[..job.len().min(40)]).into_owned();
            anyhow!("{error}: {beginning:?}")
        }
        _ => error.into(),
    }
}

async fn work(args: &Work, options: &Options, group: &Group) -> Result<()> {
    let purpose =
        Purpose { words: &args.command.words, options, group: group.name(), name: &args.name };
    let queue = group.queue(&args.name)?;
    let mut worker = tokio::select! {
        worker = queue.work(args.jobs) => worker?,
        signal = asked_to_stop() => return Err(signal.into()),
    };
    tracing::info!(queue = args.name, "working");
    let mut handlers = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            signal = asked_to_stop() => break signal.into(),
            Some(_) = handlers.join_next() => {}
            job = worker.recv() => match job {
                Some(job) if job.is_cancelled() => {}
                Some(job) => drop(handlers.spawn(handle(start(purpose, &job)?, job))),
                None => break anyhow!("the group {:?} is over", group.name()),
            },
        }
    };
    drop(worker);
    handlers.join_all().await;
    Err(ended)
}

fn start(purpose: Purpose<'_>, job: &Job) -> Result<Running> {
    let mut command = purpose.command();
    command
        .env("OPEN_CHANNEL_ATTEMPT", job.attempt().to_string())
        .env("OPEN_CHANNEL_SENDER", format!("{:016x}", job.from().0));
    Running::start_piped(purpose.words, command, false)
}

/// A job that is dropped is tried again after a pause.
async fn handle(mut running: Running, job: Job) {
    match running.handle(job.payload(), job.cancelled()).await {
        Ok(Some(outcome)) if outcome.status.success() => job.ack(),
        Ok(_) => {}
        Err(error) => output::say(format_args!("{error:#}")),
    }
}
