//! `open-channel send`: delivers messages; its exit status is 0 if they were handled.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use open_channel::Socket;
use tokio::time::timeout;

use crate::interrupt::{Interrupted, asked_to_stop};
use crate::lines;
use crate::options::Options;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The channel's name.
    name: String,

    /// One message each [default: the lines of standard input]
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,

    /// How long to wait for a host, and for it to acknowledge, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

/// Never hosts: a tool that ends at once would only cause another change of host.
pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let channel = options.channel(&args.name).connect_timeout(args.timeout).build_peer()?;
    let socket = channel.connect();
    let delivered = tokio::select! {
        delivered = async {
            channel.join().await.map_err(|error| unreached(error, &args.name))?;
            deliver(&socket, args.messages, args.timeout).await
        } => delivered,
        never = discard_received(&socket) => match never {},
        () = asked_to_stop() => return Err(Interrupted.into()),
    };
    delivered.context("not everything was delivered")
}

fn unreached(error: open_channel::Error, name: &str) -> anyhow::Error {
    match error {
        open_channel::Error::Timeout { .. } => anyhow!(
            "{error}: start one that does (`open-channel join {name:?}`), or wait longer with --timeout"
        ),
        error => error.into(),
    }
}

async fn deliver(socket: &Socket, messages: Vec<String>, limit: Duration) -> Result<()> {
    if messages.is_empty() {
        let mut lines = lines::from_stdin();
        while let Some(line) = lines.recv().await {
            send(socket, line?, limit).await?;
        }
    }
    for message in messages {
        send(socket, message.into(), limit).await?;
    }
    in_time(limit, socket.flush()).await?;
    // Everything is acknowledged. An orderly end is not necessary for that.
    let _ = timeout(limit, socket.close()).await;
    Ok(())
}

async fn send(socket: &Socket, message: Bytes, limit: Duration) -> Result<()> {
    in_time(limit, async { socket.send(message).await.map_err(|refused| refused.error) }).await?;
    Ok(())
}

/// The limit is for a host that is alive and handles nothing.
async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, open_channel::Error>>,
) -> Result<T> {
    match timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(anyhow!(
            "no acknowledgement within {limit:?}: is the host busy? try a longer --timeout"
        )),
    }
}

/// A host that relays may send messages here too. They are read, so that the host does not wait.
async fn discard_received(socket: &Socket) -> std::convert::Infallible {
    while let Ok(Some(message)) = socket.recv().await {
        message.ack();
    }
    std::future::pending().await
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than zero seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::{Args, seconds};
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

    #[test]
    fn a_timeout_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "soon", "", "NaN", "inf", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
