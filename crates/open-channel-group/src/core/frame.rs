//! The frames between a member and the switchboard. `docs/GROUP.md` says what each is for.
//!
//! One message is: version (1 byte), tenure (varint), kind (1 byte), body.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::entry::LeaveReason;
use super::error::FrameError;
use super::ids::{
    ExchangeId, JobId, LockId, LockQueryId, Mark, MemberId, OpId, PublishId, SubscriptionId,
    Ticket, Token, WorkerId,
};
use super::limits::cost;
use super::name::Name;
use super::pattern::{Pattern, Topic};
use super::transfer::Transfer;
use super::view::MemberInfo;
use super::wire::{Reader, Wire, wire_enum, wire_struct};
use super::write::{Write, WriteEnd};

/// The version of these frames.
const VERSION: u8 = 1;

wire_enum! {
    /// How a lock is held.
    #[derive(Copy)]
    pub enum LockMode {
        /// By one.
        1 => Exclusive,
        /// By any number, all of them shared.
        2 => Shared,
    }
}

wire_enum! {
    /// The way to go on when a lock is not free.
    #[derive(Copy)]
    pub enum LockWait {
        /// Wait in line.
        1 => Wait,
        /// Give up.
        2 => Try,
        /// Take it from its holders, before all who wait. For exclusive locks.
        3 => Steal,
    }
}

wire_enum! {
    /// Locks and leaders have names of their own.
    #[derive(Copy, Hash, PartialOrd, Ord)]
    pub enum LockSpace {
        /// A lock.
        1 => Lock,
        /// A role that one member has.
        2 => Lead,
    }
}

wire_struct! {
    /// The name of a lock.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct LockName {
        /// A lock, or a role.
        pub space: LockSpace,
        /// Its name there.
        pub name: Name,
    }
}

wire_struct! {
    /// A member that holds a lock, or waits for it.
    pub struct LockClaim {
        /// The lock, or the role.
        pub name: LockName,
        /// How it is held, or is to be.
        pub mode: LockMode,
        /// The member.
        pub member: MemberId,
        /// The token of a holder; somebody who waits has none.
        pub token: Option<Token>,
    }
}

impl LockClaim {
    /// The bytes that it counts in memory.
    pub(crate) fn cost(&self) -> usize {
        cost(self.name.name.as_str().len())
    }
}

wire_enum! {
    /// A task that one member asks another to do.
    pub(crate) enum RequestBody {
        /// A call.
        1 => Call { service: Name, payload: Bytes },
        /// One attempt of a job.
        2 => Job { job: JobId, queue: Name, worker: WorkerId, attempt: u32, payload: Bytes },
    }
}

wire_enum! {
    /// How an exchange ends.
    pub(crate) enum Reply {
        /// A call's answer.
        1 => Answered { payload: Bytes },
        /// A call's handler failed.
        2 => Failed { reason: String },
        /// The service is not served there.
        3 => NotServed,
        /// Its asker gave up.
        4 => Cancelled,
        /// A job is done.
        5 => Acked,
        /// A job should be tried again.
        6 => Nak { delay: Duration },
        /// A job should not be tried again.
        7 => Term { reason: String },
        /// The worker has no room, or is gone: this was no attempt.
        8 => NoRoom,
    }
}

wire_enum! {
    /// A frame from one member to another.
    pub(crate) enum ExchangeFrame {
        /// Please do this.
        1 => Request { exchange: ExchangeId, body: RequestBody },
        /// It is not needed any more; an answer is.
        2 => Cancel { exchange: ExchangeId },
        /// This came of it.
        3 => Answer { exchange: ExchangeId, reply: Reply },
        /// The answer is here.
        4 => Receipt { exchange: ExchangeId },
    }
}

impl ExchangeFrame {
    /// The bytes of its payload.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Request { body: RequestBody::Call { payload, .. }, .. }
            | Self::Request { body: RequestBody::Job { payload, .. }, .. }
            | Self::Answer { reply: Reply::Answered { payload }, .. } => payload.len(),
            Self::Answer { reply: Reply::Failed { reason } | Reply::Term { reason }, .. } => {
                reason.len()
            }
            _ => 0,
        }
    }
}

wire_enum! {
    /// From a member to the switchboard.
    pub(crate) enum ToHost {
        /// A member begins to present itself.
        1 => Hello { member: MemberId, info: MemberInfo, window: u64, mark: Option<Mark> },
        /// It has presented itself.
        2 => Back,
        /// It has the entries up to this position.
        3 => Have { position: u64 },
        /// A piece of a log that was fetched.
        4 => Log { piece: Transfer },
        /// A subscription, and what it holds unhandled from earlier hosts.
        5 => Subscribe { subscription: SubscriptionId, pattern: Pattern, held: u64 },
        /// The end of a subscription.
        6 => Unsubscribe { subscription: SubscriptionId },
        /// So much of what was held from earlier hosts is handled.
        7 => Released { subscription: SubscriptionId, bytes: u64 },
        /// A delivery is handled.
        8 => Handled { subscription: SubscriptionId, number: u64 },
        /// A publication.
        9 => Publish { number: PublishId, topic: Topic, payload: Bytes },
        /// A lock is asked for; or it is in line with a ticket, or has a turn with a token.
        10 => Lock {
            lock: LockId,
            name: LockName,
            mode: LockMode,
            wait: LockWait,
            ticket: Option<Ticket>,
            token: Option<Token>,
        },
        /// It is let go, or not asked for any more.
        11 => Unlock { lock: LockId },
        /// A worker.
        12 => Work { worker: WorkerId, queue: Name, capacity: u32 },
        /// A worker has this job from an earlier host.
        13 => Busy { worker: WorkerId, pusher: MemberId, exchange: ExchangeId },
        /// The end of a worker.
        14 => StopWork { worker: WorkerId },
        /// A job waits for a worker.
        15 => Push { job: JobId, queue: Name },
        /// It waits no more.
        16 => Withdraw { job: JobId },
        /// A job does not need the worker that it was assigned to.
        17 => Decline { job: JobId, member: MemberId, worker: WorkerId },
        /// Something for another member.
        18 => Send { to: MemberId, frame: ExchangeFrame },
        /// A write.
        19 => Write { op: OpId, write: Write },
        /// The member leaves.
        20 => Leave,
        /// Who holds locks, and who waits for them? One such question is open at a time.
        21 => QueryLocks { query: LockQueryId },
    }
}

wire_enum! {
    /// From the switchboard to a member.
    pub(crate) enum ToMember {
        /// Entries, or a snapshot.
        1 => Log { piece: Transfer },
        /// Every member has the entries up to this position.
        2 => Stable { position: u64 },
        /// The switchboard is at this mark and needs what follows it.
        3 => Fetch { mark: Option<Mark> },
        /// Not a member any more.
        4 => PutOut { reason: LeaveReason },
        /// A subscription is known.
        5 => Subscribed { subscription: SubscriptionId },
        /// A publication for a subscription.
        6 => Deliver {
            subscription: SubscriptionId,
            number: u64,
            publisher: MemberId,
            publication: PublishId,
            topic: Topic,
            payload: Bytes,
        },
        /// A publication is handled by all.
        7 => Published { number: PublishId },
        /// A lock is in line.
        8 => Queued { lock: LockId, ticket: Ticket },
        /// It may be taken.
        9 => Turn { lock: LockId, token: Token },
        /// It is not free.
        10 => Denied { lock: LockId },
        /// Another member has taken it.
        11 => Stolen { lock: LockId },
        /// A job has a worker.
        12 => Assign { job: JobId, member: MemberId, worker: WorkerId },
        /// Something from another member.
        13 => Forward { from: MemberId, frame: ExchangeFrame },
        /// A write has changed nothing.
        14 => Wrote { op: OpId, end: WriteEnd },
        /// A piece of the answer who holds locks, and who waits for them.
        15 => Locks { query: LockQueryId, claims: Vec<LockClaim>, last: bool },
    }
}

/// A frame as a message.
pub(crate) fn encode<F: Wire>(tenure: u64, frame: &F) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    tenure.put(&mut out);
    frame.put(&mut out);
    out.freeze()
}

/// The tenure and the frame of a message.
pub(crate) fn decode<F: Wire>(message: Bytes) -> Result<(u64, F), FrameError> {
    let mut input = Reader::new(message);
    match input.byte()? {
        VERSION => {}
        version => return Err(FrameError::Version(version)),
    }
    let tenure = u64::take(&mut input)?;
    let frame = F::take(&mut input)?;
    input.finish()?;
    Ok((tenure, frame))
}
