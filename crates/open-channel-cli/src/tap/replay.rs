//! `open-channel replay`: sends recorded messages again.

use std::collections::HashMap;
use std::fs::File;
use std::future::poll_fn;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use open_channel::{Channel, SendHalf};
use open_channel_group::Group;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::recording::{Reader, Recorded};
use super::target::{Kind, is_groups_own};
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

/// What is under way in a group at most, before the next message waits for it.
const UNDER_WAY: usize = 256;
/// Limit of the time that leaving takes.
const LEAVING: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(after_help = "\
Of a channel, the messages to the host are sent again, each socket's by a socket of its own; what \
the host answers is not looked at. Of a group, publications, calls and jobs are made again. \
Messages come at the times at which they were recorded, and no sooner. The file is checked before \
the first one is sent. The exit status is 0 when all were handled.

    open-channel replay room.jsonl --speed 10")]
pub(crate) struct Args {
    /// The recording, from `open-channel record`
    file: PathBuf,

    /// The channel or the group [default: the recorded one]
    name: Option<String>,

    /// How many times as fast as recorded
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = speed)]
    speed: f64,

    /// Do not wait between messages
    #[arg(long, conflicts_with = "speed")]
    at_once: bool,

    /// How long to wait for a host, and for it to handle everything, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (1e-3..=1e6).contains(&speed) => Ok(speed),
        _ => Err("not a number between 0.001 and 1000000".into()),
    }
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    tokio::select! {
        biased;
        signal = asked_to_stop() => Err(signal.into()),
        done = replay(&args, options) => done,
    }
}

async fn replay(args: &Args, options: &Options) -> Result<()> {
    let wrong = || format!("{} cannot be replayed", args.file.display());
    let kind = tokio::task::block_in_place(|| check(&args.file)).with_context(wrong)?;
    let reader = open(&args.file).with_context(wrong)?;
    let name = args.name.clone().unwrap_or_else(|| reader.head.name.clone());
    match kind {
        Kind::Channel => to_channel(args, reader, &name, options).await,
        Kind::Group => to_group(args, reader, &name, options).await,
    }
}

fn open(path: &Path) -> Result<Reader<BufReader<File>>> {
    let file = File::open(path).context("could not open it")?;
    Reader::begin(BufReader::new(file))
}

/// Reads all of it, so that nothing of a damaged file is sent.
fn check(path: &Path) -> Result<Kind> {
    if !std::fs::metadata(path).context("could not open it")?.is_file() {
        bail!("it is no file: it is read twice, so it cannot be a pipe");
    }
    let mut reader = open(path)?;
    while reader.next()?.is_some() {}
    if reader.head.kind == Kind::Channel && is_groups_own(&reader.head.name) {
        bail!("line 1: the channel is that of a group");
    }
    Ok(reader.head.kind)
}

/// When each message is due.
struct Times {
    began: Instant,
    /// `None`: at once.
    speed: Option<f64>,
}

impl Times {
    fn new(args: &Args) -> Self {
        Self { began: Instant::now(), speed: (!args.at_once).then_some(args.speed) }
    }

    async fn wait_for(&self, recorded: &Recorded) {
        if let Some(speed) = self.speed {
            sleep_until(self.began + recorded.at.div_f64(speed)).await;
        }
    }
}

async fn to_channel(
    args: &Args,
    mut reader: Reader<BufReader<File>>,
    name: &str,
    options: &Options,
) -> Result<()> {
    let channel = options.channel(name).connect_timeout(args.timeout).build_peer()?;
    channel.join().await?;
    let mut sockets: HashMap<String, SendHalf> = HashMap::new();
    let times = Times::new(args);
    while let Some(recorded) = tokio::task::block_in_place(|| reader.next())? {
        if !recorded.to_host {
            continue;
        }
        times.wait_for(&recorded).await;
        let socket = sockets.entry(recorded.socket).or_insert_with(|| begin(&channel));
        let sent = timeout(args.timeout, socket.send(recorded.payload)).await;
        let sent = sent.with_context(|| late(name, args.timeout))?;
        sent.map_err(|refused| refused.error)?;
    }
    for socket in sockets.values() {
        let flushed = timeout(args.timeout, socket.flush()).await;
        flushed.with_context(|| late(name, args.timeout))??;
    }
    Ok(())
}

fn begin(channel: &Channel) -> SendHalf {
    let (sender, answers) = channel.connect().split();
    tokio::spawn(async move {
        // A host that waits for room for its answers takes nothing more.
        while let Ok(Some(answer)) = answers.recv().await {
            answer.ack();
        }
    });
    sender
}

fn late(name: &str, limit: Duration) -> String {
    format!(
        "the host of {name:?} handled too little within {limit:?}: `open-channel ls {name:?}` \
         shows whether its handler hangs"
    )
}

async fn to_group(
    args: &Args,
    mut reader: Reader<BufReader<File>>,
    name: &str,
    options: &Options,
) -> Result<()> {
    let group = options.group(name).connect_timeout(args.timeout).join().await;
    let group = group.with_context(|| format!("could not join the group {name:?}"))?;
    let times = Times::new(args);
    let mut under_way = JoinSet::new();
    while let Some(recorded) = tokio::task::block_in_place(|| reader.next())? {
        times.wait_for(&recorded).await;
        let Some(mut act) = act(&group, recorded) else { continue };
        while under_way.len() >= UNDER_WAY {
            done(under_way.join_next().await)?;
        }
        // It begins here, so that all begin in their order.
        match poll_fn(|cx| Poll::Ready(act.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => drop(under_way.spawn(act)),
        }
    }
    let rest = async {
        while !under_way.is_empty() {
            done(under_way.join_next().await)?;
        }
        Ok(())
    };
    let finished = timeout(args.timeout, rest).await;
    // What is under way has ended, or is given up with an error that is told already.
    let _ = timeout(LEAVING, group.close()).await;
    finished.with_context(|| format!("not all was handled within {:?}", args.timeout))?
}

type Acting = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a member did; `None` for what cannot be done again.
fn act(group: &Group, recorded: Recorded) -> Option<Acting> {
    let Recorded { to_host: true, act: Some(act), name: Some(name), payload, .. } = recorded else {
        return None;
    };
    let group = group.clone();
    let acting: Acting = match &*act {
        "publish" => Box::pin(async move { Ok(group.publish(&name, payload).await?) }),
        "job" => Box::pin(async move { Ok(group.queue(&name)?.push(payload).await?) }),
        "call" => Box::pin(async move {
            // The answer is another one each time.
            if let Err(error) = group.call(&name, payload).await {
                output::say(format_args!("calling {name:?}: {error}"));
            }
            Ok(())
        }),
        _ => return None,
    };
    Some(acting)
}

fn done(joined: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    joined.unwrap_or(Ok(Ok(())))?
}
