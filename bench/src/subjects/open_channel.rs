//! open-channel, async face.

use super::batches;
use crate::job::{Job, Subject};
use crate::payload::{Payload, Scratch};
use crate::receive;
use crate::tally::Tally;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::{Context, Result};
use open_channel::{Batch, Builder, Channel, Socket};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Every message is sent and received by itself.
pub(crate) type OneByOne = OpenChannel<false>;
/// Messages are sent and received in batches.
pub(crate) type Buffered = OpenChannel<true>;

pub(crate) struct OpenChannel<const BUFFERED: bool> {
    subject: Subject,
    channel: Channel,
    accepted: mpsc::UnboundedReceiver<Socket>,
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
}

/// Apart and boxed, so that the others are small enough to be compiled into the loops.
impl<const BUFFERED: bool> End<BUFFERED> {
    async fn send_in_place(&mut self, payload: Payload) -> Result<()> {
        let mut reservation = self.socket.reserve(payload.len).await?;
        payload.append_to(&mut reservation);
        reservation.commit()?;
        Ok(())
    }

    async fn recv_in_place(&mut self) -> Result<Payload> {
        let mut message = self.socket.recv_reader().await?.context("the other side finished")?;
        let payload = Payload::read(&mut message)?;
        message.ack();
        Ok(payload)
    }

    async fn answer_in_place(&mut self) -> Result<Payload> {
        let mut message = self.socket.recv_reader().await?.context("the other side finished")?;
        let payload = Payload::read(&mut message)?;
        self.send_in_place(payload).await?;
        message.ack();
        Ok(payload)
    }
}

/// Rings for messages in place: such a message waits for its place in the ring only if it takes no
/// more than a quarter, and a ring that is larger than the nearest caches is filled faster: what
/// the other core has read has left that core's caches by then.
fn roomy(len: usize) -> usize {
    (32 * len).clamp(1 << 20, 8 << 20)
}

/// For both faces.
pub(crate) fn builder(job: &Job) -> Builder {
    let builder = Channel::builder(&job.name).runtime_dir(&job.place);
    if let Some(link) = job.subject.forced_link() {
        return builder.link(link);
    }
    if job.subject.in_place() {
        let ring = roomy(job.len);
        return builder.ring_bytes(ring).outbox_bytes(2 * ring).receive_window(2 * ring);
    }
    builder
}

impl<const BUFFERED: bool> Transport for OpenChannel<BUFFERED> {
    type Endpoint = End<BUFFERED>;
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
        Ok(OpenChannel { subject: job.subject, channel, accepted })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        let socket = self.accepted.recv().await.context("the channel closed")?;
        Ok(End::new(self.subject, self.channel.clone(), socket))
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        let channel = builder(job).build_peer()?;
        let socket = channel.connect();
        Ok(End::new(job.subject, channel, socket))
    }

    async fn connect_many(job: &Job, count: usize) -> Result<Vec<Self::Endpoint>> {
        let channel = builder(job).build_peer()?;
        Ok((0..count).map(|_| End::new(job.subject, channel.clone(), channel.connect())).collect())
    }

    async fn receive_all(mut self, tally: Arc<Tally>) -> Result<()> {
        loop {
            tokio::spawn(receive::receive(self.accept().await?, Arc::clone(&tally)));
        }
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let channel = builder(job).build(|socket: Socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
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
            return Box::pin(self.send_in_place(payload)).await;
        }
        self.socket.send_copy(self.scratch.message(payload)).await?;
        Ok(())
    }

    async fn feed(&mut self, payload: Payload) -> Result<()> {
        if !BUFFERED {
            return self.send(payload).await;
        }
        if batches::push(&mut self.batch, payload) {
            // Boxed, so that the rest is small enough to be compiled into the sending loop.
            return Box::pin(self.flush()).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.socket.send_many(&mut self.batch).await?)
    }

    async fn recv(&mut self) -> Result<Payload> {
        if self.in_place {
            return Box::pin(self.recv_in_place()).await;
        }
        let message = self.socket.recv().await?.context("the other side finished")?;
        let payload = Payload::check(&message)?;
        message.ack();
        Ok(payload)
    }

    async fn recv_some(&mut self, mut take: impl FnMut(Payload) -> Result<()>) -> Result<()> {
        if !BUFFERED {
            return take(self.recv().await?);
        }
        let messages = self.socket.recv_many().await?.context("the other side finished")?;
        batches::read_each(&messages, take)?;
        messages.ack();
        Ok(())
    }

    async fn answer(&mut self) -> Result<Payload> {
        if self.in_place {
            return Box::pin(self.answer_in_place()).await;
        }
        let message = self.socket.recv().await?.context("the other side finished")?;
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
        Ok(self.socket.flush().await?)
    }
}
