//! A process: its member, its switchboard while it hosts, its socket, and what its application
//! has in hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use open_channel_group::core::{
    CallId, DeliveryId, JobId, LinkId, LockId, LockMode, LockName, LockQueryId, Mark, Member,
    MemberId, OpId, Pattern, PublishId, RequestId, RunId, SubscriptionId, Switchboard, WatchId,
    WorkerId,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// Stopped by a signal.
    Stopped,
    Dead,
}

/// One socket of the channel, from its member to whoever hosts.
#[derive(Debug, Default)]
pub struct Socket {
    /// Messages of the member that the channel has not acknowledged.
    pub outbox: VecDeque<Bytes>,
    /// How much of it the present host has taken.
    pub taken: usize,
    /// Messages on their way to the member.
    pub inbox: VecDeque<Bytes>,
    /// The host that it is connected to: process, generation, link.
    pub host: Option<(usize, u64, LinkId)>,
    /// How many messages of its member's presentation that host has not taken.
    pub presenting: usize,
    /// The generation that has taken all of it, and when.
    pub back: Option<(u64, u64)>,
    /// The generation that may not put it out for being late.
    pub must_stay: Option<u64>,
}

/// A process that hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hosting {
    pub since: u64,
    /// The replica that it began with.
    pub mark: Option<Mark>,
    /// It knew of no group.
    pub newcomer: bool,
    pub serves: bool,
}

pub struct Process {
    pub life: Life,
    pub member: Member,
    pub switchboard: Option<Switchboard>,
    /// The generation of its switchboard.
    pub generation: u64,
    pub hosting: Hosting,
    pub socket: Socket,
    pub app: App,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Takes what arrives for subscriptions at once, though it handles it when it likes.
    pub eager: bool,
    /// Never handles what it subscribes to, until there is peace.
    pub never_reads: bool,
    /// Never reads its watches until then.
    pub never_watches: bool,
}

pub type Message = (MemberId, PublishId);

#[derive(Debug)]
pub struct Sub {
    pub pattern: Pattern,
    pub latest: bool,
    /// The host has confirmed it to the member with this id.
    pub confirmed: Option<MemberId>,
    /// Messages that are not handled, and their costs.
    pub taken: Vec<(DeliveryId, Message, usize)>,
    pub seen: BTreeSet<Message>,
    pub last: BTreeMap<MemberId, PublishId>,
    pub handled: BTreeSet<Message>,
    /// The messages of eager subscriptions in order, with the tenure in which each arrived.
    pub order: Vec<(u64, Message)>,
}

#[derive(Debug)]
pub struct HeldLock {
    pub name: LockName,
    pub mode: LockMode,
    pub held: bool,
    /// Whether others died, and hosts changed, while it waited: the counts when it began.
    pub since: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    Private(u64),
    Counter(String),
    Expiring { issued: u64, until: u64 },
    Other,
}

/// All that an application has in hand.
#[derive(Default)]
pub struct App {
    pub habits: Habits,
    pub named: u64,
    pub out: bool,
    pub left: bool,
    /// Its host is its own process, which was stopped and hosts no more.
    pub outdated: bool,
    pub was_in: bool,
    /// Where its replica was compared last.
    pub compared: Option<Mark>,
    /// The view according to the events.
    pub view: Vec<MemberId>,
    pub view_number: u64,
    pub subs: BTreeMap<SubscriptionId, Sub>,
    /// Publications under way, and how many hosts there had been.
    pub publications: BTreeMap<PublishId, u64>,
    pub calls: BTreeMap<CallId, (String, u64)>,
    pub calls_to_all: BTreeSet<CallId>,
    pub requests: Vec<(RequestId, Bytes)>,
    pub services: BTreeSet<String>,
    pub locks: BTreeMap<LockId, HeldLock>,
    /// Questions who has locks: the own ones that were held then, and how many hosts there were.
    pub lock_queries: BTreeMap<LockQueryId, (Vec<LockId>, u64)>,
    pub jobs: BTreeMap<JobId, (String, u64)>,
    /// Each with its queue and capacity.
    pub workers: BTreeMap<WorkerId, (String, u32)>,
    pub runs: Vec<(RunId, WorkerId, String)>,
    pub cancelled_runs: BTreeSet<RunId>,
    pub writes: BTreeMap<OpId, (Written, u64)>,
    pub private: u64,
    /// Numbers that its own key and the counters cannot be below.
    pub floors: BTreeMap<String, i64>,
    pub expires: Option<u64>,
    pub expiring: bool,
    pub watch: Option<WatchId>,
    pub prefix: &'static str,
    pub watch_pending: bool,
    pub shadow: BTreeMap<String, Bytes>,
}

impl App {
    pub fn name(&mut self) -> u64 {
        self.named += 1;
        self.named
    }
}
