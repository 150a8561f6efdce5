//! `open-channel sub`: prints what is published.

use anyhow::{Result, anyhow};
use open_channel_group::{Group, Published};
use serde_json::{Value, json};

use super::place::{Place, unless_asked};
use crate::framing::Framing;
use crate::options::Options;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
In a pattern, `*` stands for one word of a topic, and `>` at the end for one or more. A message \
counts as handled when it was printed, and its publisher waits for that; with --latest it does \
not, and only the newest message of each topic waits for a slow reader. A process that was stopped \
for long is put out of the group; when it is back, a line on standard error says that messages may \
be missing.

With --json each message is one line: an object with `topic`, `sender` (the member's id), `pid` \
(its process, or null once it is gone), and `message`, or `hex` if that is not UTF-8.

    open-channel sub 'log.>' --json | jq -r .topic
    open-channel sub deploy.done --count 1 && echo 'now it is deployed'")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The topics
    pattern: String,

    /// How the messages follow each other
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,

    /// Print topic and sender, too, as JSON
    #[arg(long, conflicts_with = "framing")]
    json: bool,

    /// End after so many messages [default: never]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Never hold a publisher up; what comes too fast is dropped
    #[arg(long)]
    latest: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    args.place.visit(options, async |group| unless_asked(print(&args, group)).await).await
}

async fn print(args: &Args, group: &Group) -> Result<()> {
    let mut subscription = if args.latest {
        group.subscribe_latest(&args.pattern).await?
    } else {
        group.subscribe(&args.pattern).await?
    };
    tracing::info!(pattern = args.pattern, "subscribed");
    let mut left = args.count;
    while left != Some(0) {
        let next = subscription.recv().await;
        let message = next.ok_or_else(|| anyhow!("the group {:?} is over", group.name()))?;
        if message.interrupted() {
            output::say(
                "this process was put out of the group for a while: messages may be missing",
            );
        }
        let text = if args.json {
            format!("{}\n", object(group, &message)).into_bytes()
        } else {
            args.framing.encode(&message)
        };
        tokio::task::block_in_place(|| output::write(&text))?;
        drop(message); // after it was printed
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn object(group: &Group, message: &Published) -> Value {
    let sender = message.publisher();
    let members = group.members().get().members;
    let pid = members.iter().find(|member| member.id == sender).map(|member| member.info.pid);
    let mut object = json!({
        "topic": message.topic(),
        "sender": format!("{:016x}", sender.0),
        "pid": pid,
    });
    let (key, text) = crate::framing::text_or_hex(message);
    object[key] = text.into();
    object
}
