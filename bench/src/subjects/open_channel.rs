//! open-channel, async face.

use crate::job::Job;
use crate::measure::fan_in::{self, Tally};
use crate::payload::{Arena, Payload};
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use open_channel::{Builder, Channel, LinkKind, Socket};
use std::sync::Arc;
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

/// For both faces.
pub(crate) fn builder(job: &Job) -> Builder {
    let builder = Channel::builder(&job.name).runtime_dir(&job.place);
    if job.subject.forces_unix() { builder.link(LinkKind::Unix) } else { builder }
}

impl Transport for OpenChannel {
    type Endpoint = End;
    const RUNTIME: Runtime = Runtime::Tokio;

    async fn host(job: &Job) -> Result<Self> {
        let (sockets, accepted) = mpsc::unbounded_channel();
        let channel = builder(job).build(move |socket| {
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
        let channel = builder(job).build_peer()?;
        let socket = channel.connect();
        Ok(End::new(channel, socket))
    }

    async fn connect_many(job: &Job, count: usize) -> Result<Vec<End>> {
        let channel = builder(job).build_peer()?;
        Ok((0..count).map(|_| End::new(channel.clone(), channel.connect())).collect())
    }

    async fn receive_all(self, tally: Arc<Tally>) -> Result<()> {
        fan_in::receive_in_tasks(self, tally).await
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let channel = builder(job).build(|socket: Socket| async move {
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

    fn link(&self) -> Option<String> {
        self.socket.link().map(|link| link.to_string())
    }

    async fn confirmed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await?;
        Ok(self.socket.flush().await?)
    }
}
