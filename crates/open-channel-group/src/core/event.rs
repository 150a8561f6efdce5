//! Reports of the core: to the application, and to the driver that holds the kernel's locks.

use std::time::Duration;

use bytes::Bytes;

use super::entry::LeaveReason;
use super::frame::{LockClaim, LockMode, LockName};
use super::ids::{
    CallId, DeliveryId, JobId, LockId, LockQueryId, MemberId, OpId, PublishId, RequestId, RunId,
    SubscriptionId, Token, WatchId, WorkerId,
};
use super::name::Name;
use super::pattern::Topic;
use super::view::MemberView;
use super::write::WriteEnd;

/// Something that happened, from [`Member::poll_event`](super::Member::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The member is in the view, for the first time or again.
    Joined {
        /// Number of the view that it is in.
        view: u64,
    },
    /// A host serves this member; the first one, or the next.
    Serving {
        /// The host's generation.
        tenure: u64,
    },
    /// A member was added to the view.
    MemberJoined {
        /// Number of the view with it.
        view: u64,
        /// The member.
        member: MemberView,
    },
    /// A member was taken out of the view.
    MemberLeft {
        /// Number of the view without it.
        view: u64,
        /// The member.
        id: MemberId,
        /// Why.
        reason: LeaveReason,
    },
    /// This member is not in the view any more. The driver gives it a new id with
    /// [`Member::rejoin`](super::Member::rejoin), or drops it.
    PutOut {
        /// Why.
        reason: LeaveReason,
    },
    /// This member has left, as it asked for.
    Left,
    /// The host knows the subscription: what is published from now on arrives.
    Subscribed(SubscriptionId),
    /// [`Member::next_delivery`](super::Member::next_delivery) has something.
    Deliverable(SubscriptionId),
    /// The member was out of the view: the subscription may have missed something here.
    Interrupted(SubscriptionId),
    /// A publication is complete.
    Published {
        /// Its number.
        id: PublishId,
        /// How it ended.
        end: PublishEnd,
    },
    /// A call is over.
    CallEnded {
        /// The call.
        call: CallId,
        /// How it ended.
        end: CallEnd,
    },
    /// A call to all is over.
    AllAnswered {
        /// The call.
        call: CallId,
        /// The result.
        answers: Answers,
    },
    /// A call for a service of this member; end it with
    /// [`Member::answer`](super::Member::answer).
    Request {
        /// The request.
        request: RequestId,
        /// The caller.
        from: MemberId,
        /// The service.
        service: Name,
        /// The bytes that it was called with.
        payload: Bytes,
    },
    /// Nobody waits for the answer of this request any more.
    RequestCancelled(RequestId),
    /// A lock is held.
    Acquired {
        /// The lock.
        lock: LockId,
        /// Its fencing token.
        token: Token,
    },
    /// A lock was not free, and was not to be waited for.
    Denied(LockId),
    /// A lock that was held, or waited for, was stolen.
    Lost(LockId),
    /// The answer to [`Member::query_locks`](super::Member::query_locks).
    LocksQueried {
        /// The question.
        query: LockQueryId,
        /// The holders in the order of their tokens, then those who wait in the order in which
        /// they came.
        claims: Vec<LockClaim>,
    },
    /// A job is over.
    JobEnded {
        /// The job.
        job: JobId,
        /// How it ended.
        end: JobEnd,
    },
    /// A job for a worker of this member; end it with
    /// [`Member::finish`](super::Member::finish).
    Run(Run),
    /// A run is not needed any more; it may be given to another worker. It still takes room until
    /// it is finished.
    RunCancelled(RunId),
    /// A write is over.
    Wrote {
        /// The write.
        op: OpId,
        /// How it ended.
        end: WriteEnd,
    },
    /// [`Member::next_change`](super::Member::next_change) has something.
    Changed(WatchId),
}

/// How a publication ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishEnd {
    /// Every member with a matching subscription has handled it, or has left.
    Handled,
    /// The publisher was put out meanwhile: some may have it.
    Unknown,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallEnd {
    /// With an answer.
    Answered(Bytes),
    /// Its handler failed, in these words.
    Failed(String),
    /// The member that had it left the view: it may have run.
    Died,
    /// There was no answer in time.
    TimedOut,
    /// Nobody serves this.
    NoSuchService,
    /// The caller gave up.
    Cancelled,
    /// The caller was put out meanwhile: it may have run.
    Unknown,
}

/// The result of a call to all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// The members that answered: with bytes, or with the reason of a failure.
    pub answered: Vec<(MemberId, Result<Bytes, String>)>,
    /// The members that left the view, or serve it no more.
    pub died: Vec<MemberId>,
    /// The members that had not answered in time.
    pub timed_out: Vec<MemberId>,
}

/// A message of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// For [`Member::handled`](super::Member::handled).
    pub id: DeliveryId,
    /// The publisher.
    pub publisher: MemberId,
    /// Its number at the publisher.
    pub publication: PublishId,
    /// The topic.
    pub topic: Topic,
    /// The bytes.
    pub payload: Bytes,
    /// How many messages were dropped before this one; `latest` subscriptions only.
    pub missed: u64,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// For [`Member::finish`](super::Member::finish).
    pub id: RunId,
    /// The worker that it is for.
    pub worker: WorkerId,
    /// The member that pushed it.
    pub pusher: MemberId,
    /// Its number there.
    pub job: JobId,
    /// Which attempt it is: 1 at first. From the second on another worker may have done it.
    pub attempt: u32,
    /// The job's bytes.
    pub payload: Bytes,
}

/// How a worker ended a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ack,
    /// Again, after a while.
    Nak(Duration),
    /// Never again, in these words.
    Term(String),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEnd {
    /// A worker has done it.
    Done,
    /// It has had all its attempts; its bytes come back.
    Exhausted(Bytes),
    /// A worker refused it for good, in these words; its bytes come back.
    Terminated(String, Bytes),
}

/// Something that the driver does with the kernel's locks, from
/// [`Member::poll_kernel`](super::Member::poll_kernel). It does so before it sends anything from
/// [`Member::poll_send`](super::Member::poll_send).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelRequest {
    /// Take the kernel lock of this name, and report
    /// [`Member::kernel_lock_taken`](super::Member::kernel_lock_taken) or
    /// [`Member::kernel_lock_busy`](super::Member::kernel_lock_busy).
    Take {
        /// The lock.
        lock: LockId,
        /// The name of its file.
        name: LockName,
        /// Shared or exclusive.
        mode: LockMode,
        /// The token to leave in the file, if it has no later one.
        token: Token,
        /// Whether to wait for it.
        wait: bool,
    },
    /// Release it, or stop waiting for it.
    Release {
        /// The lock.
        lock: LockId,
    },
}

/// A change that a watch has seen, from [`Member::next_change`](super::Member::next_change).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapChange {
    /// This key was written, deleted, or has expired.
    Key(Name),
    /// So many changes did not fit, before those that follow: look at the whole map.
    Missed(u64),
}
