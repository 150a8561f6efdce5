//! The seam between the faces of a group and what it runs on.
//!
//! A face knows the verbs of [`Engine`] and its [`Promises`], never a socket. One engine is there:
//! the channel, in [`driver`](crate::driver).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::core::{
    Answers, CallEnd, CallId, CallOptions, Delivery, DeliveryId, JobEnd, JobId, LeaveReason,
    LockClaim, LockId, LockMode, LockName, LockQueryId, LockWait, MapChange, MemberId, MemberView,
    Name, Outcome, Pattern, PublishEnd, PublishId, Refused, RequestId, Run, RunId, SubscriptionId,
    Target, Token, Topic, Value, WatchId, WorkerId, Write, WriteEnd,
};
use crate::error::Error;

/// What an engine promises, face by face.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// Name of the engine.
    pub engine: &'static str,
    /// Publications are in one order for all subscribers within one host's time.
    pub one_order: bool,
    /// A publication is acknowledged when every subscriber has handled it.
    pub handled_by_all: bool,
    /// A subscriber never gets a publication twice, over changes of host too.
    pub never_twice: bool,
    /// A member's death is known at once, not after a timeout.
    pub deaths_at_once: bool,
    /// A lock never has two holders; else it has a lease.
    pub locks_without_lease: bool,
    /// Reads of the map are local, and never behind an own acknowledged write.
    pub local_reads: bool,
    /// Jobs outlive the process that pushed them.
    pub durable_jobs: bool,
    /// The map outlives the last member.
    pub durable_map: bool,
}

/// The members at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// It grows with each change.
    pub number: u64,
    /// The members in the order in which they joined.
    pub members: Vec<MemberView>,
}

/// A change of the group, from [`Group::events`](crate::Group::events).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A host serves this member: the first one, or the next.
    #[non_exhaustive]
    Serving {
        /// The host's generation.
        generation: u64,
    },
    /// A member is in the view from now on.
    #[non_exhaustive]
    Joined {
        /// The number of the view with it.
        view: u64,
        /// The member.
        member: MemberView,
    },
    /// A member is not in the view any more.
    #[non_exhaustive]
    Left {
        /// The number of the view without it.
        view: u64,
        /// The member.
        id: MemberId,
        /// Why.
        reason: LeaveReason,
    },
    /// This member was put out of the view. It comes back by itself, with a new id.
    #[non_exhaustive]
    PutOut {
        /// Why.
        reason: LeaveReason,
    },
}

/// The end of something that was begun; an error when the group is over before.
pub(crate) type Ending<T> = oneshot::Receiver<T>;

/// Whether a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockState {
    Waiting,
    Held(Token),
    /// Not free, and not to be waited for.
    Denied,
    /// Stolen, before or after it was held.
    Lost,
}

/// A call to be answered, or a job to be done, and whether it is still wanted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) from: MemberId,
    pub(crate) payload: Bytes,
    pub(crate) cancelled: watch::Receiver<bool>,
}

/// An attempt of a job, and whether it is still wanted.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) run: Run,
    pub(crate) cancelled: watch::Receiver<bool>,
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// What a verb answers that begins something: its number, and its end.
pub(crate) type Begun<Id, T> = Result<(Id, T), Refused>;

/// The verbs of an engine. None of them waits, but for `room` and `leave`. Each thing begun goes on
/// over changes of host, and ends with its [`Ending`]. `Refused::Full` is waited for with `room`.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    fn promises(&self) -> Promises;
    fn id(&self) -> MemberId;
    /// Whether this process has the part that others depend on.
    fn is_host(&self) -> bool;
    fn view(&self) -> watch::Receiver<View>;
    fn events(&self) -> broadcast::Receiver<Event>;
    /// The error with which the group ended; [`Error::Left`] if there is none.
    fn error(&self) -> Error;
    /// Resolves when something that was full may have room.
    fn room(&self) -> BoxFuture<'_, ()>;
    fn leave(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Leaves as if this process had been killed.
    fn abandon(&self);

    fn publish(&self, topic: Topic, payload: Bytes) -> Begun<PublishId, Ending<PublishEnd>>;
    fn subscribe(&self, pattern: Pattern, latest: bool) -> Begun<SubscriptionId, Ending<()>>;
    /// The next message, and whether some before it may be missing; `None` when the group is over.
    fn poll_delivery(
        &self,
        subscription: SubscriptionId,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Delivery, bool)>>;
    fn handled(&self, subscription: SubscriptionId, delivery: DeliveryId);
    fn unsubscribe(&self, subscription: SubscriptionId);

    fn call(
        &self,
        target: Target,
        payload: Bytes,
        options: CallOptions,
    ) -> Begun<CallId, Ending<CallEnd>>;
    fn call_all(
        &self,
        service: &Name,
        payload: Bytes,
        options: CallOptions,
    ) -> Begun<CallId, Ending<Answers>>;
    fn cancel(&self, call: CallId);
    fn serve(&self, service: Name) -> Begun<mpsc::UnboundedReceiver<Request>, Ending<WriteEnd>>;
    fn unserve(&self, service: Name);
    fn answer(&self, request: RequestId, answer: Result<Bytes, String>) -> Result<(), Refused>;

    fn lock(
        &self,
        name: LockName,
        mode: LockMode,
        wait: LockWait,
    ) -> Begun<LockId, watch::Receiver<LockState>>;
    fn unlock(&self, lock: LockId);
    /// Who holds locks and roles, in the order of the tokens, then who waits, in the order of line.
    fn query_locks(&self) -> Begun<LockQueryId, Ending<Vec<LockClaim>>>;
    /// The file by which the kernel holds a lock, which is held until its last duplicate is closed.
    #[cfg(unix)]
    fn lend(&self, lock: LockId) -> std::io::Result<std::fs::File>;

    fn push(
        &self,
        queue: Name,
        payload: Bytes,
        max_attempts: Option<u32>,
    ) -> Begun<JobId, Ending<JobEnd>>;
    fn work(&self, queue: Name, capacity: u32)
    -> Begun<WorkerId, mpsc::UnboundedReceiver<Attempt>>;
    fn stop_work(&self, worker: WorkerId);
    fn finish(&self, run: RunId, outcome: Outcome) -> Result<(), Refused>;

    fn write(&self, write: Write) -> Result<Ending<WriteEnd>, Refused>;
    /// [`Error::Out`] while there is no map here.
    fn get(&self, key: &Name) -> Result<Option<Value>, Error>;
    /// The entries whose keys begin with `prefix`, in the order of the keys.
    fn entries(&self, prefix: &str) -> Result<Vec<(Name, Value)>, Error>;
    fn watch(&self, prefix: &str) -> WatchId;
    /// The next change; `None` when the group is over.
    fn poll_change(&self, watch: WatchId, cx: &mut Context<'_>) -> Poll<Option<MapChange>>;
    fn unwatch(&self, watch: WatchId);
}
