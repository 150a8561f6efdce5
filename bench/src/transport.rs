//! The shape that every subject is brought into, so that one set of loops measures them all.
//!
//! The methods are `async` for the sake of the async subjects. A blocking subject blocks inside of
//! them, never returns pending, and is driven by one poll: no executor, no cost.

use crate::job::Job;
use crate::payload::Payload;
use crate::tally::Tally;
use anyhow::{Context as _, Result, ensure};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// One end of a two-way connection.
pub(crate) trait Endpoint {
    /// Writes the message and sends it on its way at once.
    async fn send(&mut self, payload: Payload) -> Result<()>;

    /// Writes the message; it may wait in a buffer until that is full or `flush`ed.
    async fn feed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// The link that carries the messages, where the subject has a choice.
    fn link(&self) -> Option<String> {
        None
    }

    /// The next message, read and checked to the last byte.
    async fn recv(&mut self) -> Result<Payload>;

    /// Receives the messages of one call of the subject, at least one. Each is read and checked to
    /// the last byte, and given to `take`.
    async fn recv_some(&mut self, mut take: impl FnMut(Payload) -> Result<()>) -> Result<()> {
        take(self.recv().await?)
    }

    /// The next message, answered with its like. The message is released only after that, as in a
    /// service that must not lose a request.
    async fn answer(&mut self) -> Result<Payload> {
        let payload = self.recv().await?;
        self.send(payload).await?;
        Ok(payload)
    }

    /// Sends, and waits until the other side's application has had the message.
    /// Without acknowledgements of its own a subject needs an answer for that.
    async fn confirmed(&mut self, payload: Payload) -> Result<()> {
        self.send(payload).await?;
        let answer = self.recv().await?;
        ensure!(answer == payload, "sent {payload:?}, got {answer:?} back");
        Ok(())
    }

    /// Receives for ever, and checks that each of the endpoint's `sources` is heard whole and in
    /// order.
    async fn drain(&mut self, tally: &Tally, sources: usize) -> Result<()> {
        let mut due = vec![0_u64; sources];
        loop {
            self.recv_some(|payload| {
                let source = if sources == 1 { 0 } else { usize::from(payload.sender()) };
                let due = due.get_mut(source).context("a peer has an unknown index")?;
                ensure!(
                    payload.number() == *due,
                    "message {} came when {due} was due",
                    payload.number()
                );
                *due += 1;
                if payload.number() == 0 || payload.is_last() {
                    tally.note(payload);
                }
                Ok(())
            })
            .await?;
        }
    }
}

/// How the subject's futures are run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// A tokio runtime on the main thread; of a host with many peers, one with a worker for each
    /// core.
    Tokio,
    /// They never wait: see `ready`.
    Blocking,
}

/// A subject: how to host a place and how to reach it.
pub(crate) trait Transport: Sized {
    type Endpoint: Endpoint;
    const RUNTIME: Runtime;

    async fn host(job: &Job) -> Result<Self>;
    async fn accept(&mut self) -> Result<Self::Endpoint>;
    async fn connect(job: &Job) -> Result<Self::Endpoint>;

    /// `count` connections from this process.
    async fn connect_many(job: &Job, count: usize) -> Result<Vec<Self::Endpoint>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(Self::connect(job).await?);
        }
        Ok(all)
    }

    /// Receives from all connections until the process ends. A subject whose one endpoint hears
    /// every peer uses this; others use a task or a thread for each connection.
    async fn receive_all(mut self, tally: Arc<Tally>) -> Result<()> {
        self.accept().await?.drain(&tally, tally.expected()).await
    }

    /// Hosts, connects to itself and has one message confirmed.
    async fn connect_first(_job: &Job) -> Result<()> {
        anyhow::bail!("this subject has no host that connects to itself")
    }
}

/// The result of a future that blocks instead of waiting.
pub(crate) fn ready<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => anyhow::bail!("a blocking subject returned before it was done"),
    }
}
