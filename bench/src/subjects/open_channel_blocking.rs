//! open-channel, blocking face.

use super::batches;
use super::open_channel::builder;
use crate::job::{Job, Subject};
use crate::payload::{Payload, Scratch};
use crate::receive;
use crate::tally::Tally;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use open_channel::Batch;
use open_channel::blocking::{Channel, Socket};
use std::sync::{Arc, mpsc};

/// Every message is sent and received by itself.
pub(crate) type OneByOne = OpenChannelBlocking<false>;
/// Messages are sent and received in batches.
pub(crate) type Buffered = OpenChannelBlocking<true>;

pub(crate) struct OpenChannelBlocking<const BUFFERED: bool> {
    subject: Subject,
    channel: Channel,
    accepted: mpsc::Receiver<Socket>,
}

pub(crate) struct End<const BUFFERED: bool> {
    socket: Socket,
    scratch: Scratch,
    batch: Batch,
    in_place: bool,
    _channel: Channel,
}

impl<const BUFFERED: bool> End<BUFFERED> {
    fn new(subject: Subject, channel: Channel, socket: Socket) -> Self {
        let in_place = subject.in_place();
        End {
            socket,
            scratch: Scratch::default(),
            batch: Batch::new(),
            in_place,
            _channel: channel,
        }
    }

    /// Apart, so that the rest is small enough to be compiled into the sending loop.
    #[inline(never)]
    fn send_batch(&mut self) -> Result<()> {
        Ok(self.socket.send_many(&mut self.batch)?)
    }
}

impl<const BUFFERED: bool> Transport for OpenChannelBlocking<BUFFERED> {
    type Endpoint = End<BUFFERED>;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        let (sockets, accepted) = mpsc::channel();
        let channel = Channel::build(builder(job), move |socket| {
            let _ = sockets.send(socket);
        })?;
        channel.join()?;
        Ok(OpenChannelBlocking { subject: job.subject, channel, accepted })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        let socket = self.accepted.recv().context("the channel closed")?;
        Ok(End::new(self.subject, self.channel.clone(), socket))
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        let channel = Channel::from(builder(job).build_peer()?);
        let socket = channel.connect();
        Ok(End::new(job.subject, channel, socket))
    }

    async fn connect_many(job: &Job, count: usize) -> Result<Vec<Self::Endpoint>> {
        let channel = Channel::from(builder(job).build_peer()?);
        Ok((0..count).map(|_| End::new(job.subject, channel.clone(), channel.connect())).collect())
    }

    async fn receive_all(self, tally: Arc<Tally>) -> Result<()> {
        receive::receive_in_threads(self, tally).await
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let channel = Channel::build(builder(job), |socket: Socket| {
            while let Ok(Some(message)) = socket.recv() {
                message.ack();
            }
        })?;
        let socket = channel.connect();
        Self::Endpoint::new(job.subject, channel, socket).confirmed(Payload::new(job.len, 0)).await
    }
}

impl<const BUFFERED: bool> Endpoint for End<BUFFERED> {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        if self.in_place {
            let mut reservation = self.socket.reserve(payload.len)?;
            payload.append_to(&mut reservation);
            reservation.commit()?;
            return Ok(());
        }
        self.socket.send_copy(self.scratch.message(payload))?;
        Ok(())
    }

    async fn feed(&mut self, payload: Payload) -> Result<()> {
        if !BUFFERED {
            return self.send(payload).await;
        }
        if batches::push(&mut self.batch, payload) {
            return self.send_batch();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.send_batch()
    }

    async fn recv(&mut self) -> Result<Payload> {
        if self.in_place {
            let mut message = self.socket.recv_reader()?.context("the other side finished")?;
            let payload = Payload::read(&mut message)?;
            message.ack();
            return Ok(payload);
        }
        let message = self.socket.recv()?.context("the other side finished")?;
        let payload = Payload::check(&message)?;
        message.ack();
        Ok(payload)
    }

    async fn recv_some(&mut self, mut take: impl FnMut(Payload) -> Result<()>) -> Result<()> {
        if !BUFFERED {
            return take(self.recv().await?);
        }
        let messages = self.socket.recv_many()?.context("the other side finished")?;
        batches::read_each(&messages, take)?;
        messages.ack();
        Ok(())
    }

    async fn answer(&mut self) -> Result<Payload> {
        if self.in_place {
            let mut message = self.socket.recv_reader()?.context("the other side finished")?;
            let payload = Payload::read(&mut message)?;
            self.send(payload).await?;
            message.ack();
            return Ok(payload);
        }
        let message = self.socket.recv()?.context("the other side finished")?;
        let payload = Payload::check(&message)?;
        self.send(payload).await?;
        message.ack();
        Ok(payload)
    }

    fn link(&self) -> Option<String> {
        self.socket.link().map(|link| link.to_string())
    }

    async fn confirmed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await?;
        Ok(self.socket.flush()?)
    }
}
