//! The engine of a forked child, which has inherited its parent's group: everything fails there,
//! and nothing reaches the parent's sockets and locks.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};

use crate::core::{
    Answers, CallEnd, CallId, CallOptions, Delivery, DeliveryId, JobEnd, JobId, LockClaim, LockId,
    LockMode, LockName, LockQueryId, LockWait, MapChange, MemberId, Name, Outcome, Pattern,
    PublishEnd, PublishId, Refused, RequestId, RunId, SubscriptionId, Target, Topic, Value,
    WatchId, WorkerId, Write, WriteEnd,
};
use crate::engine::{
    Attempt, Begun, BoxFuture, Ending, Engine, Event, LockState, Promises, Request, View,
};
use crate::error::Error;

/// An engine without a group.
#[derive(Debug)]
pub(crate) struct Forked;

impl Engine for Forked {
    fn promises(&self) -> Promises {
        Promises::default()
    }

    fn id(&self) -> MemberId {
        MemberId(0)
    }

    fn is_host(&self) -> bool {
        false
    }

    fn view(&self) -> watch::Receiver<View> {
        watch::channel(View::default()).1
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        broadcast::channel(1).1
    }

    fn error(&self) -> Error {
        open_channel::Error::Forked.into()
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Err(self.error())))
    }

    fn abandon(&self) {}

    fn publish(&self, _: Topic, _: Bytes) -> Begun<PublishId, Ending<PublishEnd>> {
        Err(Refused::Left)
    }

    fn subscribe(&self, _: Pattern, _: bool) -> Begun<SubscriptionId, Ending<()>> {
        Err(Refused::Left)
    }

    fn poll_delivery(
        &self,
        _: SubscriptionId,
        _: &mut Context<'_>,
    ) -> Poll<Option<(Delivery, bool)>> {
        Poll::Ready(None)
    }

    fn handled(&self, _: SubscriptionId, _: DeliveryId) {}

    fn unsubscribe(&self, _: SubscriptionId) {}

    fn call(&self, _: Target, _: Bytes, _: CallOptions) -> Begun<CallId, Ending<CallEnd>> {
        Err(Refused::Left)
    }

    fn call_all(&self, _: &Name, _: Bytes, _: CallOptions) -> Begun<CallId, Ending<Answers>> {
        Err(Refused::Left)
    }

    fn cancel(&self, _: CallId) {}

    fn serve(&self, _: Name) -> Begun<mpsc::UnboundedReceiver<Request>, Ending<WriteEnd>> {
        Err(Refused::Left)
    }

    fn unserve(&self, _: Name) {}

    fn answer(&self, _: RequestId, _: Result<Bytes, String>) -> Result<(), Refused> {
        Err(Refused::Left)
    }

    fn lock(
        &self,
        _: LockName,
        _: LockMode,
        _: LockWait,
    ) -> Begun<LockId, watch::Receiver<LockState>> {
        Err(Refused::Left)
    }

    fn unlock(&self, _: LockId) {}

    fn query_locks(&self) -> Begun<LockQueryId, Ending<Vec<LockClaim>>> {
        Err(Refused::Left)
    }

    #[cfg(unix)]
    fn lend(&self, _: LockId) -> std::io::Result<std::fs::File> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn push(&self, _: Name, _: Bytes, _: Option<u32>) -> Begun<JobId, Ending<JobEnd>> {
        Err(Refused::Left)
    }

    fn work(&self, _: Name, _: u32) -> Begun<WorkerId, mpsc::UnboundedReceiver<Attempt>> {
        Err(Refused::Left)
    }

    fn stop_work(&self, _: WorkerId) {}

    fn finish(&self, _: RunId, _: Outcome) -> Result<(), Refused> {
        Err(Refused::Left)
    }

    fn write(&self, _: Write) -> Result<Ending<WriteEnd>, Refused> {
        Err(Refused::Left)
    }

    fn get(&self, _: &Name) -> Result<Option<Value>, Error> {
        Err(self.error())
    }

    fn entries(&self, _: &str) -> Result<Vec<(Name, Value)>, Error> {
        Err(self.error())
    }

    fn watch(&self, _: &str) -> WatchId {
        WatchId(0)
    }

    fn poll_change(&self, _: WatchId, _: &mut Context<'_>) -> Poll<Option<MapChange>> {
        Poll::Ready(None)
    }

    fn unwatch(&self, _: WatchId) {}
}
