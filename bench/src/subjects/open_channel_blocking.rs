//! open-channel, blocking face.

use super::open_channel::builder;
use crate::job::Job;
use crate::measure::fan_in::{self, Tally};
use crate::payload::{Arena, Payload};
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use open_channel::blocking::{Channel, Socket};
use std::sync::{Arc, mpsc};

pub(crate) struct OpenChannelBlocking {
    channel: Channel,
    accepted: mpsc::Receiver<Socket>,
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

impl Transport for OpenChannelBlocking {
    type Endpoint = End;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        let (sockets, accepted) = mpsc::channel();
        let channel = Channel::build(builder(job), move |socket| {
            let _ = sockets.send(socket);
        })?;
        channel.join()?;
        Ok(OpenChannelBlocking { channel, accepted })
    }

    async fn accept(&mut self) -> Result<End> {
        let socket = self.accepted.recv().context("the channel closed")?;
        Ok(End::new(self.channel.clone(), socket))
    }

    async fn connect(job: &Job) -> Result<End> {
        let channel = Channel::from(builder(job).build_peer()?);
        let socket = channel.connect();
        Ok(End::new(channel, socket))
    }

    async fn connect_many(job: &Job, count: usize) -> Result<Vec<End>> {
        let channel = Channel::from(builder(job).build_peer()?);
        Ok((0..count).map(|_| End::new(channel.clone(), channel.connect())).collect())
    }

    async fn receive_all(self, tally: Arc<Tally>) -> Result<()> {
        fan_in::receive_in_threads(self, tally).await
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let channel =
            Channel::build(builder(job), |socket: Socket| while let Ok(Some(_)) = socket.recv() {})?;
        let socket = channel.connect();
        End::new(channel, socket).confirmed(Payload::new(job.len, 0)).await
    }
}

impl Endpoint for End {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        self.socket.send(self.arena.message(payload))?;
        Ok(())
    }

    async fn recv(&mut self) -> Result<Payload> {
        let message = self.socket.recv()?.context("the other side finished")?;
        Payload::check(&message)
    }

    fn link(&self) -> Option<String> {
        self.socket.link().map(|link| link.to_string())
    }

    async fn confirmed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await?;
        Ok(self.socket.flush()?)
    }
}
