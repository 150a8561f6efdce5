//! `open-channel call`: asks one member, and prints its answer.

use std::collections::HashMap;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use open_channel::inspect::printable;
use open_channel_group::{CallOptions, Error, Group, MemberId, MemberInfo};
use serde_json::{Value, json};

use super::place::{Place, unless_asked};
use crate::framing::{Framing, text_or_hex};
use crate::members;
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
#[command(after_help = "\
Without MESSAGE, all of standard input is the request. The exit status is 1 if nobody serves it, \
the handler failed, its process died, or there was no answer in time; the line on standard error \
says which.

With --all the answers come in the order in which their members joined the group. The exit \
status is 1 if one of them is missing; each has a line on standard error that says whose, and why. \
With --json, each member that was asked is one line: an object with `sender` (its id), `pid`, `program`, \
`outcome` (answered, failed, died, timed-out), and `message`, or `hex` if that is not UTF-8.

    open-channel call upper 'to be shouted'
    open-channel call version --all --json")]
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

    /// Ask all members that serve it, and print each answer
    #[arg(long, conflicts_with = "idempotent")]
    all: bool,

    /// With --all: print who answered, and who did not, as JSON
    #[arg(long, requires = "all", conflicts_with = "framing")]
    json: bool,
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
            if args.all {
                return unless_asked(call_all(&args, request, how, group)).await;
            }
            let answer = unless_asked(async {
                let answer = group.call_with(&args.service, request, how).await;
                answer.map_err(|error| explained(error, &args.service, group.name()))
            })
            .await?;
            output::write(&args.framing.encode(&answer))
        })
        .await
}

async fn call_all(args: &Args, request: Bytes, how: CallOptions, group: &Group) -> Result<()> {
    let asked = group.members().get().members;
    let answers = group.call_all(&args.service, request, how).await;
    let answers = answers.map_err(|error| explained(error, &args.service, group.name()))?;
    let mut outcomes: HashMap<MemberId, Outcome> = HashMap::new();
    outcomes.extend(answers.answered.into_iter().map(|(member, answer)| (member, answer.into())));
    outcomes.extend(answers.died.into_iter().map(|member| (member, Outcome::Died)));
    outcomes.extend(answers.timed_out.into_iter().map(|member| (member, Outcome::TimedOut)));
    if outcomes.is_empty() {
        return Err(explained(Error::NoSuchService, &args.service, group.name()));
    }
    // One that joined meanwhile is not in the view, and comes last.
    let place =
        |id: &MemberId| asked.iter().position(|member| member.id == *id).unwrap_or(usize::MAX);
    let mut outcomes: Vec<(MemberId, Outcome)> = outcomes.into_iter().collect();
    outcomes.sort_by_key(|(id, _)| (place(id), *id));
    let mut missing = 0;
    for (id, outcome) in outcomes {
        let info = asked.iter().find(|member| member.id == id).map(|member| &member.info);
        missing += usize::from(!matches!(outcome, Outcome::Answered(_)));
        if args.json {
            output::line(outcome.object(id, info).to_string().as_bytes())?;
            continue;
        }
        match outcome {
            Outcome::Answered(answer) => output::write(&args.framing.encode(&answer))?,
            outcome => {
                let who = info.map_or_else(|| members::id(id), |info| format!("pid {}", info.pid));
                output::say(format_args!("{who}: {}", outcome.words()));
            }
        }
    }
    match missing {
        0 => Ok(()),
        missing => Err(anyhow!("{missing} members did not answer")),
    }
}

/// How it went with one member.
enum Outcome {
    Answered(Bytes),
    Failed(String),
    Died,
    TimedOut,
}

impl From<Result<Bytes, String>> for Outcome {
    fn from(answer: Result<Bytes, String>) -> Self {
        answer.map_or_else(Self::Failed, Self::Answered)
    }
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Failed(_) => "failed",
            Self::Died => "died",
            Self::TimedOut => "timed-out",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Answered(_) => "it answered".into(),
            Self::Failed(reason) => format!("its handler failed: {}", printable(reason)),
            Self::Died => "it died".into(),
            Self::TimedOut => "it did not answer in time".into(),
        }
    }

    fn object(&self, id: MemberId, info: Option<&MemberInfo>) -> Value {
        let mut object = json!({
            "sender": members::id(id),
            "pid": info.map(|info| info.pid),
            "program": info.map(|info| &info.program),
            "outcome": self.word(),
        });
        match self {
            Self::Answered(answer) => {
                let (key, text) = text_or_hex(answer);
                object[key] = text.into();
            }
            Self::Failed(reason) => object["reason"] = reason.clone().into(),
            Self::Died | Self::TimedOut => {}
        }
        object
    }
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
