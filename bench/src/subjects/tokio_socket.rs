//! The plain tokio Unix socket with length-delimited frames: what people write without a library,
//! and what every ratio is taken against.

use crate::job::Job;
use crate::payload::{Arena, Payload};
use crate::receive;
use crate::tally::Tally;
use crate::transport::{Endpoint, Runtime, Transport};
use crate::worker;
use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Every message is flushed.
pub(crate) type Flushed = TokioSocket<false>;
/// Messages are fed; the codec flushes when its buffer is full.
pub(crate) type Buffered = TokioSocket<true>;

pub(crate) struct TokioSocket<const BUFFERED: bool> {
    listener: UnixListener,
}

pub(crate) struct Frames<const BUFFERED: bool, S = UnixStream> {
    frames: Framed<S, LengthDelimitedCodec>,
    arena: Arena,
}

impl<const BUFFERED: bool, S: AsyncRead + AsyncWrite> Frames<BUFFERED, S> {
    pub(super) fn new(stream: S) -> Self {
        Frames { frames: Framed::new(stream, LengthDelimitedCodec::new()), arena: Arena::default() }
    }
}

impl<const BUFFERED: bool> Transport for TokioSocket<BUFFERED> {
    type Endpoint = Frames<BUFFERED>;
    const RUNTIME: Runtime = Runtime::Tokio;

    async fn host(job: &Job) -> Result<Self> {
        Ok(TokioSocket { listener: UnixListener::bind(job.place.join("socket"))? })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        Ok(Frames::new(self.listener.accept().await?.0))
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        Ok(Frames::new(UnixStream::connect(job.place.join("socket")).await?))
    }

    async fn receive_all(mut self, tally: Arc<Tally>) -> Result<()> {
        loop {
            tokio::spawn(receive::receive(self.accept().await?, Arc::clone(&tally)));
        }
    }

    async fn connect_first(job: &Job) -> Result<()> {
        let mut host = Self::host(job).await?;
        tokio::task::spawn_local(async move {
            let mut endpoint = host.accept().await?;
            worker::echo(&mut endpoint).await
        });
        Self::connect(job).await?.confirmed(Payload::new(job.len, 0).last()).await
    }
}

impl<const BUFFERED: bool, S: AsyncRead + AsyncWrite + Unpin> Endpoint for Frames<BUFFERED, S> {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        Ok(self.frames.send(self.arena.message(payload)).await?)
    }

    async fn feed(&mut self, payload: Payload) -> Result<()> {
        if BUFFERED {
            Ok(self.frames.feed(self.arena.message(payload)).await?)
        } else {
            self.send(payload).await
        }
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(SinkExt::<bytes::Bytes>::flush(&mut self.frames).await?)
    }

    async fn recv(&mut self) -> Result<Payload> {
        let frame = self.frames.next().await.context("the other side closed the socket")??;
        Payload::check(&frame)
    }
}
