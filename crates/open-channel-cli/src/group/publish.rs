//! `open-channel pub`: tells all who care.

use std::io;

use anyhow::Result;

use super::place::{Place, unless_asked};
use crate::framing::Framing;
use crate::options::Options;

#[derive(clap::Args)]
#[command(after_help = "\
A topic is words with dots between them. Each message is published once all subscribers have \
handled the one before; the exit status is 0 once the last one was handled by all, and also if \
there was nobody.

    open-channel pub cache.prices changed
    tail -f access.log | open-channel pub log.web")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// The topic
    topic: String,

    /// One message each [default: those on standard input]
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,

    /// How the messages on standard input follow each other
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let Args { place, topic, messages, framing } = args;
    place
        .visit(options, async |group| {
            unless_asked(async {
                if messages.is_empty() {
                    let mut input = framing.read(io::stdin());
                    while let Some(message) = input.recv().await {
                        group.publish(&topic, message?).await?;
                    }
                }
                for message in messages {
                    group.publish(&topic, message).await?;
                }
                Ok(())
            })
            .await
        })
        .await
}
