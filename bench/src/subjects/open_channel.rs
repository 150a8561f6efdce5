//! open-channel, async face, and the processes of the failover measurement.

use crate::clock;
use crate::job::{Job, Line};
use crate::measure::fan_in::{self, Tally};
use crate::payload::{Arena, Payload};
use crate::transport::{Endpoint, Runtime, Transport};
use crate::worker::{self, say};
use anyhow::{Context, Result};
use open_channel::{Channel, Role, Socket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) struct OpenChannel {
    channel: Channel,
    accepted: mpsc::UnboundedReceiver<Socket>,
}

pub(crate) struct End {
    socket: Socket,
    arena: Arena,
    _channel: Channel,
}

impl End {
    fn new(channel: Channel, socket: Socket) -> End {
        End { socket, arena: Arena::default(), _channel: channel }
    }
}

impl Transport for OpenChannel {
    type Endpoint = End;
    const RUNTIME: Runtime = Runtime::Tokio;

    async fn host(job: &Job) -> Result<Self> {
        let (sockets, accepted) = mpsc::unbounded_channel();
        let channel = Channel::builder(&job.name).runtime_dir(&job.place).build(move |socket| {
            let sockets = sockets.clone();
            async move {
                let _ = sockets.send(socket);
            }
        })?;
        channel.join().await?;
        Ok(OpenChannel { channel, accepted })
    }

    async fn accept(&mut self) -> Result<End> {
        let socket = self.accepted.recv().await.context("the channel closed")?;
        Ok(End::new(self.channel.clone(), socket))
    }

    async fn connect(job: &Job) -> Result<End> {
        let channel = Channel::builder(&job.name).runtime_dir(&job.place).build_peer()?;
        let socket = channel.connect();
        Ok(End::new(channel, socket))
    }

    async fn connect_many(job: &Job, count: usize) -> Result<Vec<End>> {
        let channel = Channel::builder(&job.name).runtime_dir(&job.place).build_peer()?;
        Ok((0..count).map(|_| End::new(channel.clone(), channel.connect())).collect())
    }

    async fn receive_all(self, tally: Arc<Tally>) -> Result<()> {
        fan_in::receive_in_tasks(self, tally).await
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let builder = Channel::builder(&job.name).runtime_dir(&job.place);
        let channel = builder.build(|socket: Socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                drop(message);
            }
        })?;
        let socket = channel.connect();
        End::new(channel, socket).confirmed(Payload::new(job.len, 0)).await
    }
}

impl Endpoint for End {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        self.socket.send(self.arena.message(payload)).await?;
        Ok(())
    }

    async fn recv(&mut self) -> Result<Payload> {
        let message = self.socket.recv().await?.context("the other side finished")?;
        Payload::check(&message)
    }

    async fn confirmed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await?;
        Ok(self.socket.flush().await?)
    }
}

/// Takes part in a channel whose hosts are killed: sends numbered messages for ever, and says when
/// each generation's first acknowledgement arrived.
pub(crate) fn failover(job: &Job) -> Result<()> {
    worker::tokio_runtime()?.block_on(async {
        let builder = Channel::builder(&job.name).runtime_dir(&job.place);
        let channel = builder.build(|socket| async move {
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

/// A host may hear a number again, and begins where the one before it left off; it never misses one.
async fn check_order(socket: &Socket) -> Result<()> {
    let mut next = None;
    while let Ok(Some(message)) = socket.recv().await {
        let number = Payload::check(&message)?.number;
        let expected = next.unwrap_or(number);
        anyhow::ensure!(number <= expected, "message {number} came when {expected} was due");
        next = Some(number + 1);
    }
    Ok(())
}
