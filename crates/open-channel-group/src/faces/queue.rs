//! Job queues.

use std::fmt::Display;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::handle::{Face, Handle};
use crate::core::{JobEnd, MemberId, Name, Outcome, RunId, WorkerId};
use crate::engine::Attempt;
use crate::error::Error;

/// Pause before a job that was dropped or has failed is tried again. It doubles with each attempt.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A queue of jobs, from [`Group::queue`](crate::Group::queue); cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    handle: Arc<Handle>,
    name: Name,
}

impl Queue {
    pub(crate) fn new(handle: &Arc<Handle>, name: &str) -> Result<Self, Error> {
        Ok(Self { handle: Arc::clone(handle), name: Name::new(name)? })
    }

    /// Pushes a job, and waits until a worker has done it. It is tried as often as it takes.
    ///
    /// The job lives in this member until it is done. It is lost with its process.
    ///
    /// # Errors
    /// [`Error::Terminated`] when a worker refused it for good, with the job; and why the group is
    /// over.
    ///
    /// # Cancel safety
    /// When dropped before it is accepted, nothing was pushed. Afterwards the job goes on, and
    /// nobody learns of its end.
    pub async fn push(&self, job: impl Into<Bytes>) -> Result<(), Error> {
        self.push_at_most(job, None).await
    }

    /// [`push`](Self::push) with a limit of attempts.
    ///
    /// # Errors
    /// [`Error::Exhausted`] with the job after its last attempt; else as [`push`](Self::push).
    ///
    /// # Cancel safety
    /// As [`push`](Self::push).
    pub async fn push_at_most(
        &self,
        job: impl Into<Bytes>,
        attempts: impl Into<Option<NonZeroU32>>,
    ) -> Result<(), Error> {
        let (job, attempts) = (job.into(), attempts.into().map(NonZeroU32::get));
        let push = |engine: &dyn crate::engine::Engine| {
            engine.push(self.name.clone(), job.clone(), attempts)
        };
        let (_, ending) = self.handle.begin(Face::Jobs, push).await?;
        match self.handle.end(ending).await? {
            JobEnd::Done => Ok(()),
            JobEnd::Exhausted(job) => Err(Error::Exhausted(job)),
            JobEnd::Terminated(reason, payload) => Err(Error::Terminated { reason, payload }),
        }
    }

    /// Works for the queue: up to `capacity` jobs at a time.
    ///
    /// # Errors
    /// When the group is over, or this member has as many workers as it may.
    pub async fn work(&self, capacity: NonZeroU32) -> Result<Worker, Error> {
        let (id, attempts) = self
            .handle
            .begin(Face::Workers, |engine| engine.work(self.name.clone(), capacity.get()))
            .await?;
        Ok(Worker { handle: Arc::clone(&self.handle), id, attempts })
    }

    /// Works for the queue with a handler, which runs on this tokio runtime for up to `capacity`
    /// jobs at a time. A job is done when the handler returns `Ok`. If it fails or panics, the job
    /// is tried again after a pause of 10 ms, which doubles with each attempt up to 1 s.
    ///
    /// A job whose pusher is gone is aborted.
    ///
    /// # Errors
    /// As [`work`](Self::work), and [`Error::NoRuntime`].
    pub async fn process<F, Fut, E>(
        &self,
        capacity: NonZeroU32,
        handler: F,
    ) -> Result<Processor, Error>
    where
        F: Fn(Task) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + 'static,
    {
        let runtime = runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let mut worker = self.work(capacity).await?;
        let task = runtime.spawn(async move {
            let mut handlers = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    job = worker.recv() => {
                        let Some(job) = job else { return };
                        let task = Task {
                            from: job.from(),
                            attempt: job.attempt(),
                            payload: job.payload().clone(),
                        };
                        handlers.spawn(run(job, handler(task)));
                    }
                    // A panic has given the job back.
                    Some(_) = handlers.join_next() => {}
                }
            }
        });
        Ok(Processor { task: task.abort_handle() })
    }
}

async fn run<E: Display>(job: Job, done: impl Future<Output = Result<(), E>>) {
    let done = tokio::select! {
        done = done => done,
        () = job.cancelled() => return,
    };
    match done {
        Ok(()) => job.ack(),
        Err(error) => {
            tracing::debug!(%error, attempt = job.attempt(), "a job has failed");
            drop(job);
        }
    }
}

/// A job, as a handler of [`Queue::process`] gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// The member that pushed it.
    pub from: MemberId,
    /// Which attempt it is: 1 at first. From the second on another worker may have done it.
    pub attempt: u32,
    /// The job.
    pub payload: Bytes,
}

/// A worker with a handler, from [`Queue::process`]. Dropping it stops the work; jobs that run are
/// given back.
#[derive(Debug)]
pub struct Processor {
    task: AbortHandle,
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A worker, from [`Queue::work`]; a [`Stream`] of jobs. Dropping it stops the work; jobs that were
/// received are finished as usual.
#[derive(Debug)]
pub struct Worker {
    handle: Arc<Handle>,
    id: WorkerId,
    attempts: mpsc::UnboundedReceiver<Attempt>,
}

impl Worker {
    /// The next job; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no job is lost.
    pub async fn recv(&mut self) -> Option<Job> {
        let attempt = self.attempts.recv().await?;
        Some(Job::new(&self.handle, attempt))
    }
}

impl Stream for Worker {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let next = self.attempts.poll_recv(cx);
        next.map(|attempt| Some(Job::new(&self.handle, attempt?)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.handle.engine().stop_work(self.id);
        self.attempts.close();
        while let Ok(attempt) = self.attempts.try_recv() {
            Job::new(&self.handle, attempt).nak_after(Duration::ZERO);
        }
    }
}

/// An attempt of a job.
///
/// Dropped without an outcome it is given back, after a pause of 10 ms that doubles with each
/// attempt, up to 1 s.
#[derive(Debug)]
#[must_use = "a job that is not acknowledged with `ack` is tried again"]
pub struct Job {
    handle: Arc<Handle>,
    /// Nothing once it is finished.
    id: Option<RunId>,
    attempt: Attempt,
}

impl Job {
    fn new(handle: &Arc<Handle>, attempt: Attempt) -> Self {
        Self { handle: Arc::clone(handle), id: Some(attempt.run.id), attempt }
    }

    /// The job.
    pub fn payload(&self) -> &Bytes {
        &self.attempt.run.payload
    }

    /// The member that pushed it.
    pub fn from(&self) -> MemberId {
        self.attempt.run.pusher
    }

    /// Its number at the member that pushed it.
    pub fn number(&self) -> u64 {
        self.attempt.run.job.0
    }

    /// Which attempt it is: 1 at first. From the second on another worker may have done it.
    pub fn attempt(&self) -> u32 {
        self.attempt.run.attempt
    }

    /// Resolves when the attempt is not needed any more: its pusher is gone, or this member was put
    /// out of the view and another worker gets the job.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn cancelled(&self) {
        // Its sender is gone when the group is.
        let _ = self.attempt.cancelled.clone().wait_for(|cancelled| *cancelled).await;
    }

    /// Whether the attempt is not needed any more.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.cancelled.has_changed().is_err() || *self.attempt.cancelled.borrow()
    }

    /// It is done.
    pub fn ack(mut self) {
        self.finish(Outcome::Ack);
    }

    /// It is to be tried again at once, by any worker.
    pub fn nak(self) {
        self.nak_after(Duration::ZERO);
    }

    /// It is to be tried again after a while.
    pub fn nak_after(mut self, delay: Duration) {
        self.finish(Outcome::Nak(delay));
    }

    /// It is never to be tried again: its pusher gets it back with these words, of which at most
    /// 4096 bytes are passed on.
    pub fn term(mut self, reason: &str) {
        let mut end = reason.len().min(4096);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.finish(Outcome::Term(reason[..end].into()));
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(id) = self.id.take() {
            // Refused when the group is over.
            let _ = self.handle.engine().finish(id, outcome);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let doublings = self.attempt().saturating_sub(1).min(16);
        self.finish(Outcome::Nak(PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)));
    }
}
