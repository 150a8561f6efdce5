//! The processes of the failover measurement.

use super::open_channel::builder;
use crate::clock;
use crate::control::say;
use crate::job::{Job, Line};
use crate::payload::{Arena, Payload};
use crate::worker;
use anyhow::Result;
use open_channel::{Role, Socket};
use std::time::Duration;

/// Takes part in a channel whose hosts are killed: sends numbered messages for ever, and says when
/// each generation's first acknowledgement arrived.
pub(crate) fn take_part(job: &Job) -> Result<()> {
    worker::tokio_runtime()?.block_on(async {
        let channel = builder(job).build(|socket| async move {
            if let Err(error) = check_order(&socket).await {
                say(&Line::Failed { why: format!("{error:#}") });
            }
        })?;
        let socket = channel.connect();
        let mut arena = Arena::default();
        let mut known = None;
        for number in 0.. {
            socket.send(arena.message(Payload::new(job.len, number))).await?;
            socket.flush().await?;
            let (at_nanos, generation) = (clock::now(), socket.generation());
            if known != Some(generation) {
                known = Some(generation);
                let hosting = channel.role() == Role::Host;
                say(&Line::Acked { at_nanos, generation, hosting });
            }
            tokio::time::sleep(Duration::from_millis(job.millis)).await;
        }
        Ok(())
    })
}

/// A host may hear a number again, and begins where the one before it left off; it never misses
/// one.
async fn check_order(socket: &Socket) -> Result<()> {
    let mut next = None;
    while let Ok(Some(message)) = socket.recv().await {
        let number = Payload::check(&message)?.number();
        let expected = next.unwrap_or(number);
        anyhow::ensure!(number <= expected, "message {number} came when {expected} was due");
        next = Some(number + 1);
        message.ack();
    }
    Ok(())
}
