//! Calls and services.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::handle::{Face, Handle};
use crate::core::{
    Answers, CallEnd, CallId, CallOptions, MemberId, Name, RequestId, Target, WriteEnd,
};
use crate::engine;
use crate::error::Error;

/// Gives the call up when nobody waits for it any more.
struct Open<'a> {
    handle: &'a Handle,
    call: CallId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.handle.engine().cancel(self.call);
    }
}

pub(crate) async fn call(
    handle: &Handle,
    target: Target,
    payload: Bytes,
    options: CallOptions,
) -> Result<Bytes, Error> {
    let (call, ending) = handle
        .begin(Face::Calls, |engine| engine.call(target.clone(), payload.clone(), options))
        .await?;
    let open = Open { handle, call };
    let end = handle.end(ending).await?;
    std::mem::forget(open);
    match end {
        CallEnd::Answered(payload) => Ok(payload),
        CallEnd::Failed(reason) => Err(Error::Failed(reason)),
        CallEnd::Died => Err(Error::Died),
        CallEnd::TimedOut => Err(Error::TimedOut),
        CallEnd::NoSuchService => Err(Error::NoSuchService),
        CallEnd::Cancelled | CallEnd::Unknown => Err(Error::Unknown),
    }
}

pub(crate) async fn call_all(
    handle: &Handle,
    service: &str,
    payload: Bytes,
    options: CallOptions,
) -> Result<Answers, Error> {
    let service = Name::new(service)?;
    let (call, ending) = handle
        .begin(Face::Calls, |engine| engine.call_all(&service, payload.clone(), options))
        .await?;
    let open = Open { handle, call };
    let answers = handle.end(ending).await?;
    std::mem::forget(open);
    Ok(answers)
}

pub(crate) async fn requests(handle: &Arc<Handle>, service: &str) -> Result<Requests, Error> {
    let service = Name::new(service)?;
    let (requests, ending) =
        handle.begin(Face::Writes, |engine| engine.serve(service.clone())).await?;
    let requests = Requests { handle: Arc::clone(handle), service, requests };
    match handle.end(ending).await? {
        WriteEnd::MapFull => Err(Error::MapFull),
        // It is served, or will be when this member is back.
        _ => Ok(requests),
    }
}

/// The calls of one service of this member, from [`Group::requests`](crate::Group::requests); a
/// [`Stream`]. Dropping it ends the service.
#[derive(Debug)]
pub struct Requests {
    handle: Arc<Handle>,
    service: Name,
    requests: mpsc::UnboundedReceiver<engine::Request>,
}

impl Requests {
    /// The next call; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no call is lost.
    pub async fn recv(&mut self) -> Option<Request> {
        let request = self.requests.recv().await?;
        Some(Request::new(&self.handle, request))
    }
}

impl Stream for Requests {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        let next = self.requests.poll_recv(cx);
        next.map(|request| Some(Request::new(&self.handle, request?)))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.handle.engine().unserve(self.service.clone());
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            drop(Request::new(&self.handle, request));
        }
    }
}

/// A call that this member answers. Dropped without an answer it fails.
#[derive(Debug)]
pub struct Request {
    handle: Arc<Handle>,
    /// Nothing once it is answered.
    id: Option<RequestId>,
    from: MemberId,
    payload: Bytes,
    cancelled: watch::Receiver<bool>,
}

impl Request {
    fn new(handle: &Arc<Handle>, request: engine::Request) -> Self {
        let engine::Request { id, from, payload, cancelled } = request;
        Self { handle: Arc::clone(handle), id: Some(id), from, payload, cancelled }
    }

    /// The caller.
    pub fn from(&self) -> MemberId {
        self.from
    }

    /// The bytes that it was called with.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Resolves when nobody waits for the answer any more: the caller gave up, or is gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn cancelled(&self) {
        // Its sender is gone when the group is.
        let _ = self.cancelled.clone().wait_for(|cancelled| *cancelled).await;
    }

    /// Answers.
    ///
    /// # Errors
    /// When nobody waits for the answer any more, or it is too large.
    pub fn answer(mut self, answer: impl Into<Bytes>) -> Result<(), Error> {
        self.end(Ok(answer.into()))
    }

    /// Fails, in these words.
    ///
    /// # Errors
    /// When nobody waits for the answer any more, or the reason is too large.
    pub fn fail(mut self, reason: impl Display) -> Result<(), Error> {
        self.end(Err(reason.to_string()))
    }

    fn end(&mut self, answer: Result<Bytes, String>) -> Result<(), Error> {
        let Some(id) = self.id.take() else { return Ok(()) };
        let answered = self.handle.engine().answer(id, answer);
        if matches!(answered, Err(crate::core::Refused::TooLarge { .. })) {
            // The caller must not wait for it.
            let reason = "its answer was too large".into();
            let _ = self.handle.engine().answer(id, Err(reason));
        }
        answered.map_err(|refused| self.handle.refused(refused))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Refused when nobody waits for it.
        let _ = self.end(Err("its handler gave no answer".into()));
    }
}

/// A call, as a handler of [`Group::serve`](crate::Group::serve) gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The caller.
    pub from: MemberId,
    /// The bytes that it was called with.
    pub payload: Bytes,
}

impl Call {
    pub(crate) fn of(request: &Request) -> Self {
        Self { from: request.from, payload: request.payload.clone() }
    }
}

/// A service that a handler serves, from [`Group::serve`](crate::Group::serve). Dropping it ends
/// the service; handlers that run are aborted, and their callers learn so.
#[derive(Debug)]
pub struct Service {
    task: AbortHandle,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve<F, Fut, A, E>(
    handle: &Arc<Handle>,
    service: &str,
    handler: F,
) -> Result<Service, Error>
where
    F: Fn(Call) -> Fut + Send + 'static,
    Fut: Future<Output = Result<A, E>> + Send + 'static,
    A: Into<Bytes> + 'static,
    E: Display + 'static,
{
    let runtime = runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
    let mut requests = requests(handle, service).await?;
    let task = runtime.spawn(async move {
        let mut handlers = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                request = requests.recv() => {
                    let Some(request) = request else { return };
                    let answer = handler(Call::of(&request));
                    handlers.spawn(run(request, answer));
                }
                // A panic is known to its caller: the request was dropped with it.
                Some(_) = handlers.join_next() => {}
            }
        }
    });
    Ok(Service { task: task.abort_handle() })
}

async fn run<A: Into<Bytes>, E: Display>(
    request: Request,
    answer: impl Future<Output = Result<A, E>>,
) {
    let answer = tokio::select! {
        answer = answer => answer.map(Into::into).map_err(|error| error.to_string()),
        () = request.cancelled() => return,
    };
    // Refused when nobody waits for it.
    let _ = match answer {
        Ok(answer) => request.answer(answer),
        Err(reason) => request.fail(reason),
    };
}
