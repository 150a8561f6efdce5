//! `open-channel send`: delivers messages; its exit status is 0 if they were handled.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use open_channel::{Channel, Error, Socket};
use tokio::time::timeout;

use crate::framing::Framing;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;
use crate::seconds::seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The channel's name.
    name: String,

    /// One message each [default: those on standard input]
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,

    /// How the messages on standard input, and the answers, follow each other
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,

    /// Print what the host answers, until it ends the connection
    #[arg(long)]
    answers: bool,

    /// How long to wait for a host, and for it to acknowledge, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

/// Never hosts: a tool that ends at once would only cause another change of host.
pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let channel = options.channel(&args.name).connect_timeout(args.timeout).build_peer()?;
    let framing = args.framing;
    let delivery = Delivery { socket: channel.connect(), channel, limit: args.timeout, framing };
    let deliver = async {
        delivery.channel.join().await.map_err(|error| delivery.unreached(error))?;
        delivery.deliver(args.messages).await
    };
    let delivered = async {
        if !args.answers {
            return tokio::select! {
                delivered = deliver => delivered,
                never = discard_received(&delivery.socket) => match never {},
            };
        }
        // Both at once: a host that waits for room for its answers takes nothing more.
        let deliver = async {
            deliver.await?;
            Ok(delivery.socket.finish()?)
        };
        tokio::try_join!(deliver, delivery.print_answers()).map(drop)
    };
    tokio::select! {
        delivered = delivered => delivered.context("not everything was delivered")?,
        signal = asked_to_stop() => return Err(signal.into()),
    }
    // Everything is acknowledged. An orderly end is not necessary for that.
    let _ = timeout(args.timeout, delivery.socket.close()).await;
    Ok(())
}

struct Delivery {
    channel: Channel,
    socket: Socket,
    /// For each step.
    limit: Duration,
    framing: Framing,
}

impl Delivery {
    async fn deliver(&self, messages: Vec<String>) -> Result<()> {
        if messages.is_empty() {
            let mut input = self.framing.read(io::stdin());
            while let Some(message) = input.recv().await {
                self.send(message?).await?;
            }
        }
        for message in messages {
            self.send(message.into()).await?;
        }
        self.in_time(self.socket.flush()).await.map(drop)
    }

    async fn print_answers(&self) -> Result<()> {
        while let Some(answer) = self.socket.recv().await? {
            tokio::task::block_in_place(|| output::write(&self.framing.encode(&answer)))?;
            answer.ack(); // after it was printed
        }
        Ok(())
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let sent = async { self.socket.send(message).await.map_err(|refused| refused.error) };
        self.in_time(sent).await.map(drop)
    }

    /// The limit is for a host that is alive and handles nothing, or that is gone.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T> {
        match timeout(self.limit, work).await {
            Ok(done) => done.map_err(|error| self.unreached(error)),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> anyhow::Error {
        let Self { channel, limit, .. } = self;
        let (name, directory) = (channel.name(), channel.directory());
        let directory = directory.display();
        if channel.connected() {
            return anyhow!(
                "the host of {name:?} acknowledged nothing within {limit:?} (in {directory}): \
                 `open-channel ls {name:?}` shows whether its handler hangs; \
                 or wait longer with --timeout"
            );
        }
        anyhow!(
            "the host of {name:?} is gone, and no other process hosts it within {limit:?} \
             (in {directory}): {}",
            remedy(name)
        )
    }

    fn unreached(&self, error: Error) -> anyhow::Error {
        match error {
            Error::Timeout { .. } => anyhow!("{error}: {}", remedy(self.channel.name())),
            error => error.into(),
        }
    }
}

fn remedy(name: &str) -> String {
    format!("start one that does (`open-channel join {name:?}`), or wait longer with --timeout")
}

/// A host that relays may send messages here too. They are read, so that the host does not wait.
async fn discard_received(socket: &Socket) -> std::convert::Infallible {
    while let Ok(Some(message)) = socket.recv().await {
        message.ack();
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Args;
    use crate::relay::SLOWEST;

    #[derive(Parser)]
    struct Send {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_host_lets_a_suspended_member_go_before_the_sender_gives_up() {
        let Send { args } = Send::parse_from(["send", "room"]);
        // It may wait once for the member to take the message, and once for the acknowledgement.
        assert!(SLOWEST * 2 < args.timeout);
    }
}
