//! The faces of a group, as an application uses them.

use bytes::Bytes;

use std::time::Duration;

use super::{CallOptions, Member, Phase, Target};
use crate::core::error::Refused;
use crate::core::event::{Delivery, MapChange, Outcome};
use crate::core::frame::{LockMode, LockName, LockWait, ToHost};
use crate::core::ids::{
    CallId, DeliveryId, JobId, LockId, LockQueryId, Mark, MemberId, OpId, PublishId, RequestId,
    RunId, SubscriptionId, WatchId, WorkerId,
};
use crate::core::log::Log;
use crate::core::map::Value;
use crate::core::name::Name;
use crate::core::pattern::{Pattern, Topic};
use crate::core::view::MemberView;
use crate::core::write::Write;

/// The view.
impl Member {
    /// Its id in the view.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// The generation of the host that it has met last.
    pub fn tenure(&self) -> u64 {
        self.tenure
    }

    /// Whether a host serves it.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// The members in the order in which they joined, and the view's number; empty and 0 before
    /// it has joined.
    pub fn view(&self) -> (u64, &[MemberView]) {
        self.replica().map_or((0, &[]), |replica| (replica.view_number, &replica.members))
    }

    /// Where its replica stands, once it has joined.
    pub fn mark(&self) -> Option<Mark> {
        self.log.as_ref().map(Log::mark)
    }

    /// Leaves the view; [`Event::Left`](crate::core::Event::Left) follows. Everything under
    /// way is given up, so a driver waits for [`is_idle`](Self::is_idle) first.
    pub fn leave(&mut self) {
        if self.leaving || self.phase == Phase::Left {
            return;
        }
        self.leaving = true;
        if self.log.is_none() {
            self.left();
        } else {
            self.out.send(ToHost::Leave);
        }
    }

    /// Whether nothing that this member started is under way.
    pub fn is_idle(&self) -> bool {
        self.publishing.is_idle()
            && self.calls.is_idle()
            && self.serving.is_idle()
            && self.jobs.is_idle()
            && self.locks.is_idle()
            && self.writes.is_idle()
            && self.out.is_empty()
    }

    /// Bytes that it holds for what is under way; each face is bounded by
    /// [`Limits::window`](crate::core::Limits::window), and each subscription and watch.
    pub fn memory(&self) -> usize {
        self.publishing.memory()
            + self.subscriptions.memory()
            + self.calls.memory()
            + self.serving.memory()
            + self.jobs.memory()
            + self.writes.memory()
            + self.watches.memory()
            + self.log.as_ref().map_or(0, |log| log.held_bytes())
    }

    fn check(&self, len: usize) -> Result<(), Refused> {
        if self.leaving || self.phase == Phase::Left {
            return Err(Refused::Left);
        }
        self.check_len(len)
    }

    fn check_len(&self, len: usize) -> Result<(), Refused> {
        let max = self.limits.max_payload;
        if len > max { Err(Refused::TooLarge { len, max }) } else { Ok(()) }
    }
}

/// Topics.
impl Member {
    /// Publishes to every matching subscription of all members;
    /// [`Event::Published`](crate::core::Event::Published) follows.
    ///
    /// # Errors
    /// When it is too large, or the window is full.
    pub fn publish(&mut self, topic: Topic, payload: Bytes) -> Result<PublishId, Refused> {
        self.check(payload.len())?;
        self.publishing.publish(topic, payload, &mut self.out)
    }

    /// Subscribes; [`Event::Subscribed`](crate::core::Event::Subscribed) follows with each host.
    /// With `latest` it never holds a publisher up: it drops its oldest messages and counts them.
    ///
    /// # Errors
    /// When the member has left, or has [as many](crate::core::MAX_ITEMS) as it may.
    pub fn subscribe(&mut self, pattern: Pattern, latest: bool) -> Result<SubscriptionId, Refused> {
        self.check(0)?;
        self.subscriptions.subscribe(pattern, latest, &mut self.out)
    }

    /// Ends a subscription, with what was not handled.
    ///
    /// # Errors
    /// When there is none.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) -> Result<(), Refused> {
        self.subscriptions.unsubscribe(subscription, &mut self.out)
    }

    /// The next message of a subscription.
    pub fn next_delivery(&mut self, subscription: SubscriptionId) -> Option<Delivery> {
        self.subscriptions.next_delivery(subscription)
    }

    /// A message is handled. Any order will do. Those of `latest` subscriptions need it not.
    ///
    /// # Errors
    /// When it is not known, or was handled before.
    pub fn handled(
        &mut self,
        subscription: SubscriptionId,
        delivery: DeliveryId,
    ) -> Result<(), Refused> {
        self.subscriptions.handled(subscription, delivery, &mut self.out)
    }
}

/// Calls.
impl Member {
    /// Serves a service: calls come as [`Event::Request`](crate::core::Event::Request). It is
    /// known to all when the write is over.
    ///
    /// # Errors
    /// When the window of writes is full.
    pub fn serve(&mut self, service: Name) -> Result<OpId, Refused> {
        self.check(0)?;
        let write = Write::Serve { service: service.clone() };
        let op = self.writes.write(write, &mut self.out)?;
        self.serving.serve(service);
        Ok(op)
    }

    /// Serves it no more. Requests that run may still be answered.
    ///
    /// # Errors
    /// When the window of writes is full.
    pub fn unserve(&mut self, service: Name) -> Result<OpId, Refused> {
        self.check(0)?;
        self.serving.unserve(&service);
        self.writes.write(Write::Unserve { service }, &mut self.out)
    }

    /// Calls one member; [`Event::CallEnded`](crate::core::Event::CallEnded) follows.
    ///
    /// # Errors
    /// When it is too large, or the window is full.
    pub fn call(
        &mut self,
        target: Target,
        payload: Bytes,
        options: CallOptions,
        now: Duration,
    ) -> Result<CallId, Refused> {
        self.now = now;
        self.check(payload.len())?;
        let (calls, mut context) = self.calls();
        calls.call(target, payload, options, now, &mut context)
    }

    /// Calls all members that serve it now;
    /// [`Event::AllAnswered`](crate::core::Event::AllAnswered) follows.
    ///
    /// # Errors
    /// When it is too large, or the window has no room for one call for each.
    pub fn call_all(
        &mut self,
        service: &Name,
        payload: &Bytes,
        options: CallOptions,
        now: Duration,
    ) -> Result<CallId, Refused> {
        self.now = now;
        self.check(payload.len())?;
        let (calls, mut context) = self.calls();
        calls.call_all(service, payload, options, now, &mut context)
    }

    /// Gives a call up: it ends at once, and its handler learns so.
    ///
    /// # Errors
    /// When it is over.
    pub fn cancel(&mut self, call: CallId) -> Result<(), Refused> {
        let (calls, mut context) = self.calls();
        calls.cancel(call, &mut context)
    }

    /// Answers a request, with bytes or with the reason of a failure.
    ///
    /// # Errors
    /// When nobody waits for it any more, it is too large, or the window of answers is full.
    pub fn answer(
        &mut self,
        request: RequestId,
        answer: Result<Bytes, String>,
    ) -> Result<(), Refused> {
        let len = answer.as_ref().map_or_else(String::len, Bytes::len);
        self.check_len(len)?;
        self.serving.answer(request, answer, &mut self.out)
    }
}

/// Locks.
impl Member {
    /// Asks for a lock or a role: [`Acquired`](crate::core::Event::Acquired),
    /// [`Denied`](crate::core::Event::Denied) or [`Lost`](crate::core::Event::Lost) follow.
    ///
    /// # Errors
    /// When the member has left, or has [as many](crate::core::MAX_ITEMS) as it may.
    pub fn lock(
        &mut self,
        name: LockName,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<LockId, Refused> {
        self.check(0)?;
        let mode = if wait == LockWait::Steal { LockMode::Exclusive } else { mode };
        self.locks.lock(name, mode, wait, &mut self.out)
    }

    /// Lets a lock go, or stops waiting for it.
    ///
    /// # Errors
    /// When it was lost, or let go before.
    pub fn unlock(&mut self, lock: LockId) -> Result<(), Refused> {
        self.locks.unlock(lock, &mut self.out)
    }

    /// Asks who holds locks and roles, and who waits for them, in the whole group;
    /// [`LocksQueried`](crate::core::Event::LocksQueried) follows.
    ///
    /// # Errors
    /// When the member has left, or asks [as much](crate::core::MAX_ITEMS) as it may.
    pub fn query_locks(&mut self) -> Result<LockQueryId, Refused> {
        self.check(0)?;
        self.queries.query(&mut self.out)
    }
}

/// Queues.
impl Member {
    /// Pushes a job; [`Event::JobEnded`](crate::core::Event::JobEnded) follows when it is done, or
    /// has had `max_attempts` (at least 1; without it as many as it takes).
    ///
    /// # Errors
    /// When it is too large, or the window is full.
    pub fn push(
        &mut self,
        queue: Name,
        payload: Bytes,
        max_attempts: Option<u32>,
    ) -> Result<JobId, Refused> {
        self.check(payload.len())?;
        self.jobs.push(queue, payload, max_attempts, &mut self.out)
    }

    /// Takes a job back that no worker has.
    ///
    /// # Errors
    /// When it is over, or a worker has it.
    pub fn withdraw(&mut self, job: JobId) -> Result<Bytes, Refused> {
        self.jobs.withdraw(job, &mut self.out)
    }

    /// Works for a queue: up to `capacity` runs at a time come as
    /// [`Event::Run`](crate::core::Event::Run).
    ///
    /// # Errors
    /// When the member has left, or has [as many](crate::core::MAX_ITEMS) as it may.
    pub fn work(&mut self, queue: Name, capacity: u32) -> Result<WorkerId, Refused> {
        self.check(0)?;
        self.serving.work(queue, capacity, &mut self.out)
    }

    /// Takes no more jobs; those that run are finished as usual.
    ///
    /// # Errors
    /// When there is no such worker.
    pub fn stop_work(&mut self, worker: WorkerId) -> Result<(), Refused> {
        self.serving.stop_work(worker, &mut self.out)
    }

    /// Ends a run; also one that was cancelled, to make room.
    ///
    /// # Errors
    /// When it is over, or the reason is too large.
    pub fn finish(&mut self, run: RunId, outcome: Outcome) -> Result<(), Refused> {
        if let Outcome::Term(reason) = &outcome {
            self.check_len(reason.len())?;
        }
        self.serving.finish(run, outcome, &mut self.out)
    }
}

/// The map.
impl Member {
    /// The value of a key in this replica: never older than this member's own acknowledged writes.
    pub fn get(&self, key: &Name) -> Option<&Value> {
        self.replica()?.map.get(key)
    }

    /// All keys of this replica in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.replica().into_iter().flat_map(|replica| replica.map.iter())
    }

    /// Changes the map; [`Event::Wrote`](crate::core::Event::Wrote) follows. Writes are evaluated
    /// in their order. Only over a change of host, one that changed nothing (a compare-and-set that
    /// failed) may be evaluated again, after later ones.
    ///
    /// # Errors
    /// When it is too large, or the window is full.
    pub fn write(&mut self, write: Write) -> Result<OpId, Refused> {
        self.check(write.len())?;
        self.writes.write(write, &mut self.out)
    }

    /// Watches the keys with this prefix; all keys if it is empty.
    pub fn watch(&mut self, prefix: &str) -> WatchId {
        self.watches.watch(prefix)
    }

    /// Ends a watch.
    ///
    /// # Errors
    /// When there is none.
    pub fn unwatch(&mut self, watch: WatchId) -> Result<(), Refused> {
        if self.watches.unwatch(watch) { Ok(()) } else { Err(Refused::NotFound) }
    }

    /// The next key that has changed since the watch was asked last; each once, however often.
    pub fn next_change(&mut self, watch: WatchId) -> Option<MapChange> {
        self.watches.next_change(watch)
    }
}
