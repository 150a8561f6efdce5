//! The verbs of the engine, each in its caller.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};

use super::clock;
use super::member::Driver;
use super::state::Standing;
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

/// What the channel promises.
const PROMISES: Promises = Promises {
    engine: "channel",
    one_order: true,
    handled_by_all: true,
    never_twice: true,
    deaths_at_once: true,
    locks_without_lease: true,
    local_reads: true,
    durable_jobs: false,
    durable_map: false,
};

impl Engine for Driver {
    fn promises(&self) -> Promises {
        PROMISES
    }

    fn id(&self) -> MemberId {
        self.read(|state| state.member.id())
    }

    fn is_host(&self) -> bool {
        self.channel().role() == open_channel::Role::Host
    }

    fn view(&self) -> watch::Receiver<View> {
        self.read(|state| match state.is_over() {
            true => watch::channel(View::default()).1,
            false => state.shown.view.subscribe(),
        })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.read(|state| match state.is_over() {
            true => broadcast::channel(1).1,
            false => state.shown.events.subscribe(),
        })
    }

    fn error(&self) -> Error {
        match self.standing() {
            Standing::Over(Some(error)) => error,
            _ => Error::Left,
        }
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        // Made now, so that no progress from here on is missed.
        Box::pin(self.progress().notified())
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(Self::leave(self))
    }

    fn abandon(&self) {
        Self::abandon(self);
    }

    fn publish(&self, topic: Topic, payload: Bytes) -> Begun<PublishId, Ending<PublishEnd>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.publish(topic, payload)?;
            Ok((id, state.board.publish(id)))
        })
    }

    fn subscribe(&self, pattern: Pattern, latest: bool) -> Begun<SubscriptionId, Ending<()>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.subscribe(pattern, latest)?;
            Ok((id, state.board.subscribe(id)))
        })
    }

    fn poll_delivery(
        &self,
        subscription: SubscriptionId,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Delivery, bool)>> {
        self.read(|state| {
            let Some(reader) = state.board.readers.get_mut(&subscription) else {
                return Poll::Ready(None);
            };
            if let Some(before) = reader.before.pop_front() {
                return Poll::Ready(Some(before));
            }
            match state.member.next_delivery(subscription) {
                Some(delivery) => {
                    Poll::Ready(Some((delivery, std::mem::take(&mut reader.interrupted))))
                }
                None => {
                    reader.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn handled(&self, subscription: SubscriptionId, delivery: DeliveryId) {
        // The subscription may have ended meanwhile.
        let _ = self.with(|state| state.member.handled(subscription, delivery));
    }

    fn unsubscribe(&self, subscription: SubscriptionId) {
        self.with(|state| {
            state.board.readers.remove(&subscription);
            let _ = state.member.unsubscribe(subscription);
        });
    }

    fn call(
        &self,
        target: Target,
        payload: Bytes,
        options: CallOptions,
    ) -> Begun<CallId, Ending<CallEnd>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.call(target, payload, options, clock::now())?;
            Ok((id, state.board.call(id)))
        })
    }

    fn call_all(
        &self,
        service: &Name,
        payload: Bytes,
        options: CallOptions,
    ) -> Begun<CallId, Ending<Answers>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.call_all(service, &payload, options, clock::now())?;
            Ok((id, state.board.call_all(id)))
        })
    }

    fn cancel(&self, call: CallId) {
        self.with(|state| {
            state.board.forget_call(call);
            // It may be over.
            let _ = state.member.cancel(call);
        });
    }

    fn serve(&self, service: Name) -> Begun<mpsc::UnboundedReceiver<Request>, Ending<WriteEnd>> {
        self.with(|state| {
            state.check()?;
            if state.board.serves(&service) {
                return Err(Refused::AlreadyServed);
            }
            let op = state.member.serve(service.clone())?;
            Ok((state.board.serve(service), state.board.write(op)))
        })
    }

    fn unserve(&self, service: Name) {
        self.with(|state| state.unserve(service));
    }

    fn answer(&self, request: RequestId, answer: Result<Bytes, String>) -> Result<(), Refused> {
        self.with(|state| state.answer(request, answer))
    }

    fn lock(
        &self,
        name: LockName,
        mode: LockMode,
        wait: LockWait,
    ) -> Begun<LockId, watch::Receiver<LockState>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.lock(name, mode, wait)?;
            Ok((id, state.board.lock(id)))
        })
    }

    fn unlock(&self, lock: LockId) {
        self.with(|state| {
            state.board.unlock(lock);
            // It may have been stolen.
            let _ = state.member.unlock(lock);
        });
    }

    fn query_locks(&self) -> Begun<LockQueryId, Ending<Vec<LockClaim>>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.query_locks()?;
            Ok((id, state.board.query_locks(id)))
        })
    }

    #[cfg(unix)]
    fn lend(&self, lock: LockId) -> std::io::Result<std::fs::File> {
        self.with(|state| state.lend(lock))
    }

    fn push(
        &self,
        queue: Name,
        payload: Bytes,
        max_attempts: Option<u32>,
    ) -> Begun<JobId, Ending<JobEnd>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.push(queue, payload, max_attempts)?;
            Ok((id, state.board.job(id)))
        })
    }

    fn work(
        &self,
        queue: Name,
        capacity: u32,
    ) -> Begun<WorkerId, mpsc::UnboundedReceiver<Attempt>> {
        self.with(|state| {
            state.check()?;
            let id = state.member.work(queue, capacity)?;
            Ok((id, state.board.work(id)))
        })
    }

    fn stop_work(&self, worker: WorkerId) {
        self.with(|state| {
            state.board.stop_work(worker);
            let _ = state.member.stop_work(worker);
        });
    }

    fn finish(&self, run: RunId, outcome: Outcome) -> Result<(), Refused> {
        self.with(|state| {
            state.member.finish(run, outcome)?;
            state.board.finished(run);
            Ok(())
        })
    }

    fn write(&self, write: Write) -> Result<Ending<WriteEnd>, Refused> {
        self.with(|state| {
            state.check()?;
            let op = state.member.write(write)?;
            Ok(state.board.write(op))
        })
    }

    fn get(&self, key: &Name) -> Result<Option<Value>, Error> {
        self.read(|state| {
            state.check_replica()?;
            Ok(state.member.get(key).cloned())
        })
    }

    fn entries(&self, prefix: &str) -> Result<Vec<(Name, Value)>, Error> {
        self.read(|state| {
            state.check_replica()?;
            let entries = state.member.entries();
            let own = entries.filter(|(key, _)| key.as_str().starts_with(prefix));
            Ok(own.map(|(key, value)| (key.clone(), value.clone())).collect())
        })
    }

    fn watch(&self, prefix: &str) -> WatchId {
        self.read(|state| {
            let watch = state.member.watch(prefix);
            if !state.left {
                state.board.watches.insert(watch, None);
            }
            watch
        })
    }

    fn poll_change(&self, watch: WatchId, cx: &mut Context<'_>) -> Poll<Option<MapChange>> {
        self.read(|state| {
            let Some(waker) = state.board.watches.get_mut(&watch) else {
                return Poll::Ready(None);
            };
            match state.member.next_change(watch) {
                Some(change) => Poll::Ready(Some(change)),
                None => {
                    *waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn unwatch(&self, watch: WatchId) {
        self.read(|state| {
            state.board.watches.remove(&watch);
            let _ = state.member.unwatch(watch);
        });
    }
}
