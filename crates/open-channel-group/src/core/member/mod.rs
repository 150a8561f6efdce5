//! A member of a group.
//!
//! ```text
//!   detached ──connected──▶ presented ──Begin, or own Join──▶ active
//!      ▲                        │                               │
//!      └──── disconnected ──────┴───────────────────────────────┤
//!   out ──rejoin──▶ presented                                   │
//!      ▲── PutOut ───────────────────────────────────────────────┤
//!   left ◀── own Leave ──────────────────────────────────────────┘  final
//! ```

mod calls;
mod exchanges;
mod faces;
mod jobs;
mod locks;
mod out;
mod publishing;
mod queries;
mod serving;
mod subscriptions;
mod watches;
mod writes;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::entry::{Change, Entry, LeaveReason, Logged};
use super::error::ProtocolError;
use super::event::{Event, KernelRequest};
use super::frame::{self, ExchangeFrame, ToHost, ToMember};
use super::ids::{LockId, Mark, MemberId};
use super::limits::Limits;
use super::log::Log;
use super::replica::Replica;
use super::transfer::{self, Arriving, Known, Transfer};
use super::view::MemberInfo;
use super::write::Write;
pub use calls::{CallOptions, Target};
use calls::{Calls, Context};
use exchanges::{Ended, Exchanges, Purpose};
use jobs::Jobs;
use locks::Locks;
use out::Out;
use publishing::Publishing;
use queries::Queries;
use serving::Serving;
use subscriptions::{Arrival, Subscriptions};
use watches::Watches;
use writes::Writes;

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No host that it knows of.
    Detached,
    /// It has presented itself to a host.
    Presented,
    /// The host serves it.
    Active,
    /// It is not in the view any more, and needs a new id.
    Out,
    /// It has left.
    Left,
}

/// One member of a group; [`core`](super) shows how it is driven.
///
/// Methods are in the order of a life: beginning, hosts, messages, time; then, in `faces`, what
/// an application does with a group.
#[derive(Debug)]
pub struct Member {
    id: MemberId,
    info: MemberInfo,
    limits: Limits,
    now: Duration,
    phase: Phase,
    tenure: u64,
    /// A host is there, also while the member is out.
    connected: bool,
    /// Its replica, once it has joined.
    log: Option<Log>,
    arriving: Arriving,
    have_due: bool,
    leaving: bool,
    /// It was put out since it was in a view last.
    was_out: bool,
    out: Out,
    events: VecDeque<Event>,
    publishing: Publishing,
    subscriptions: Subscriptions,
    exchanges: Exchanges,
    calls: Calls,
    serving: Serving,
    jobs: Jobs,
    locks: Locks,
    queries: Queries,
    writes: Writes,
    watches: Watches,
}

impl Member {
    /// A member that has not met a host yet. The id is drawn at random.
    pub fn new(id: MemberId, info: MemberInfo, limits: Limits, now: Duration) -> Self {
        let window = limits.window;
        Self {
            id,
            info,
            limits,
            now,
            phase: Phase::Detached,
            tenure: 0,
            connected: false,
            log: None,
            arriving: Arriving::default(),
            have_due: false,
            leaving: false,
            was_out: false,
            out: Out::default(),
            events: VecDeque::new(),
            publishing: Publishing::new(window),
            subscriptions: Subscriptions::new(window),
            exchanges: Exchanges::default(),
            calls: Calls::new(window),
            serving: Serving::new(window),
            jobs: Jobs::new(window),
            locks: Locks::default(),
            queries: Queries::default(),
            writes: Writes::new(window),
            watches: Watches::new(window),
        }
    }

    /// Its socket goes to the host of this generation from now on.
    pub fn connected(&mut self, tenure: u64, now: Duration) {
        self.now = now;
        if self.phase == Phase::Left || tenure < self.tenure {
            return;
        }
        self.tenure = tenure;
        self.connected = true;
        if self.phase != Phase::Out {
            self.present();
        }
    }

    /// Its socket goes nowhere until the next [`connected`](Self::connected).
    pub fn disconnected(&mut self, now: Duration) {
        self.now = now;
        self.connected = false;
        self.out.detach();
        if matches!(self.phase, Phase::Presented | Phase::Active) {
            self.phase = Phase::Detached;
        }
    }

    /// It was put out and comes back, with a new id drawn at random.
    pub fn rejoin(&mut self, id: MemberId, now: Duration) {
        self.now = now;
        if self.phase != Phase::Out {
            return;
        }
        self.id = id;
        self.phase = Phase::Detached;
        if self.connected {
            self.present();
        }
    }

    fn present(&mut self) {
        self.phase = Phase::Presented;
        self.arriving = Arriving::default();
        self.have_due = false;
        self.out.attach();
        self.out.present(ToHost::Hello {
            member: self.id,
            info: self.info.clone(),
            window: self.limits.window as u64,
            mark: self.log.as_ref().map(Log::mark),
        });
        self.subscriptions.present(&mut self.out);
        self.locks.present(&mut self.out);
        self.serving.present(&mut self.out);
        self.out.present(ToHost::Back);
    }

    /// Takes a message of the host. Parts of it are held until they are complete, so it should lie
    /// in memory of its own.
    ///
    /// # Errors
    /// When the host broke the protocol; the driver gives the socket up then.
    pub fn receive(&mut self, message: Bytes, now: Duration) -> Result<(), ProtocolError> {
        self.now = now;
        let (tenure, frame) = frame::decode::<ToMember>(message)?;
        let listening = matches!(self.phase, Phase::Presented | Phase::Active);
        if tenure != self.tenure || !listening {
            return Ok(());
        }
        self.take(frame).map_err(ProtocolError::Unexpected)
    }

    fn take(&mut self, frame: ToMember) -> Result<(), &'static str> {
        let (out, events) = (&mut self.out, &mut self.events);
        match frame {
            ToMember::Log { piece: Transfer::Entries { first, entries } } => {
                self.take_entries(first, entries)?;
            }
            ToMember::Log { piece } => self.take_snapshot(piece)?,
            ToMember::Stable { position } => {
                let log = self.log.as_mut().ok_or("a stable mark without a replica")?;
                if position > log.mark().position {
                    return Err("a stable mark beyond the replica's");
                }
                log.settle(position);
                self.writes.stable(position, events);
            }
            ToMember::Fetch { mark } => self.give_log(mark)?,
            ToMember::PutOut { reason } => self.put_out(reason),
            ToMember::Subscribed { subscription } => {
                self.subscriptions.confirmed(subscription, out.is_active(), events);
            }
            ToMember::Deliver { subscription, number, publisher, publication, topic, payload } => {
                let arrival = Arrival { number, publisher, publication, topic, payload };
                self.subscriptions.arrive(subscription, arrival, out, events);
                if self.log.as_ref().is_some_and(|log| !log.replica().contains(publisher)) {
                    self.subscriptions.member_left(publisher);
                }
            }
            ToMember::Published { number } => self.publishing.completed(number, events),
            ToMember::Queued { lock, ticket } => self.locks.queued(lock, ticket),
            ToMember::Turn { lock, token } => self.locks.turn(lock, token, out),
            ToMember::Denied { lock } => self.locks.denied(lock, events),
            ToMember::Stolen { lock } => self.locks.stolen(lock, out, events),
            ToMember::Assign { job, member, worker } => {
                self.jobs.assigned(job, member, worker, &mut self.exchanges, out);
            }
            ToMember::Forward { from, frame } => self.take_forwarded(from, frame),
            ToMember::Wrote { op, end } => self.writes.unchanged(op, end, events),
            ToMember::Locks { query, claims, last } => {
                self.queries.answered(query, claims, last, out, events)?;
            }
        }
        Ok(())
    }

    fn take_forwarded(&mut self, from: MemberId, frame: ExchangeFrame) {
        let (out, events) = (&mut self.out, &mut self.events);
        match frame {
            ExchangeFrame::Request { exchange, body } => {
                self.serving.request(from, exchange, body, out, events);
            }
            ExchangeFrame::Cancel { exchange } => self.serving.cancel(from, exchange, out, events),
            ExchangeFrame::Receipt { exchange } => self.serving.receipt(from, exchange),
            ExchangeFrame::Answer { exchange, reply } => {
                if let Some(ended) = self.exchanges.answered(from, exchange, reply, out) {
                    self.exchange_ended(ended);
                }
            }
        }
    }

    fn exchange_ended(&mut self, ended: Ended) {
        let Ended { purpose, cost, end } = ended;
        match purpose {
            Purpose::Abandoned => self.calls.released(cost),
            Purpose::Call(call) => {
                self.calls.released(cost);
                let (calls, mut context) = self.calls();
                calls.exchange_ended(call, end, &mut context);
            }
            Purpose::Job(job) => {
                self.jobs.attempt_ended(job, end, self.now, &mut self.out, &mut self.events);
            }
        }
    }

    fn calls(&mut self) -> (&mut Calls, Context<'_>) {
        let context = Context {
            replica: self.log.as_ref().map(Log::replica),
            exchanges: &mut self.exchanges,
            out: &mut self.out,
            events: &mut self.events,
        };
        (&mut self.calls, context)
    }

    /// The driver has the kernel lock that it was asked for. With `outdated`, the file had a token
    /// that is not smaller: of any holder if this one is exclusive, of an exclusive one if not.
    pub fn kernel_lock_taken(&mut self, lock: LockId, outdated: bool, now: Duration) {
        self.now = now;
        self.locks.taken(lock, outdated, &mut self.out, &mut self.events);
    }

    /// The kernel lock is not free, and was not to be waited for.
    pub fn kernel_lock_busy(&mut self, lock: LockId, now: Duration) {
        self.now = now;
        self.locks.busy(lock, &mut self.out, &mut self.events);
    }

    /// The next message for the host. It is asked for until there is none, whenever the socket
    /// has room.
    pub fn poll_send(&mut self) -> Option<Bytes> {
        let frame = match self.out.pop() {
            Some(frame) => frame,
            None if self.have_due && self.out.is_attached() => {
                self.have_due = false;
                let position = self.log.as_ref().map_or(0, |log| log.mark().position);
                ToHost::Have { position }
            }
            None => return None,
        };
        Some(frame::encode(self.tenure, &frame))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to do with the kernel's locks.
    pub fn poll_kernel(&mut self) -> Option<KernelRequest> {
        self.locks.poll_kernel()
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.jobs.handle_timeout(now, &mut self.out);
        let (calls, mut context) = self.calls();
        calls.handle_timeout(now, &mut context);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.jobs.next_timeout().into_iter().chain(self.calls.next_timeout()).min()
    }

    /// Its replica, for a switchboard in its own process.
    pub fn known(&self) -> Option<Known> {
        self.log.clone().map(Known)
    }
}

/// The log.
impl Member {
    fn take_entries(&mut self, first: u64, entries: Vec<Logged>) -> Result<(), &'static str> {
        let mark = self.log.as_ref().ok_or("entries without a replica")?.mark();
        if first != mark.position + 1 {
            return Err("an entry is missing before this one");
        }
        for logged in entries {
            let Some(log) = &mut self.log else { break };
            log.append(logged.clone(), self.now)?;
            let position = log.mark().position;
            self.have_due = true;
            self.applied(position, logged);
        }
        Ok(())
    }

    fn applied(&mut self, position: u64, Logged { tenure, entry }: Logged) {
        match entry {
            Entry::Begin { gone } => {
                for id in gone {
                    self.member_left(id, LeaveReason::NotBack, position);
                }
                if tenure == self.tenure {
                    self.activate();
                }
            }
            Entry::Join { id, .. } => {
                self.subscriptions.member_joined(id);
                let replica = self.log.as_ref().map(Log::replica);
                if let Some(member) = replica.and_then(|replica| replica.member(id)) {
                    let member = member.clone();
                    self.events.push_back(Event::MemberJoined { view: position, member });
                }
            }
            Entry::Leave { id, .. } if id == self.id => self.left(),
            Entry::Leave { id, reason } => self.member_left(id, reason, position),
            Entry::Write { origin, op, change } => {
                if origin == self.id {
                    self.writes.decided(op, position, &change);
                }
                if let Change::Put { key, .. } | Change::Remove { key } = change {
                    self.watches.changed(&key, &mut self.events);
                }
            }
            Entry::Expire { key } => self.watches.changed(&key, &mut self.events),
        }
    }

    fn member_left(&mut self, id: MemberId, reason: LeaveReason, view: u64) {
        self.events.push_back(Event::MemberLeft { view, id, reason });
        self.subscriptions.member_left(id);
        self.serving.member_left(id, self.out.is_active(), &mut self.events);
        for ended in self.exchanges.member_left(id) {
            self.exchange_ended(ended);
        }
    }

    fn take_snapshot(&mut self, piece: Transfer) -> Result<(), &'static str> {
        if self.log.is_some() {
            return Err("a snapshot for a member with a replica");
        }
        let Some(log) = self.arriving.take(piece, self.now)? else { return Ok(()) };
        if !log.replica().contains(self.id) {
            return Err("a snapshot of a view without its receiver");
        }
        let view = log.replica().view_number;
        self.log = Some(log);
        if std::mem::take(&mut self.was_out) {
            let replica = self.log.as_ref().map(Log::replica);
            let in_view = |id| replica.is_some_and(|replica| replica.contains(id));
            self.subscriptions.rejoined(in_view, &mut self.events);
        }
        self.watches.replaced(&mut self.events);
        self.have_due = true;
        self.events.push_back(Event::Joined { view });
        self.activate();
        Ok(())
    }

    /// The host serves this member: it gets all that is not complete.
    fn activate(&mut self) {
        self.phase = Phase::Active;
        self.out.activate();
        self.events.push_back(Event::Serving { tenure: self.tenure });
        self.subscriptions.activate(&mut self.events);
        self.writes.send_again(&mut self.out);
        self.publishing.send_again(&mut self.out);
        self.exchanges.send_again(&mut self.out);
        self.serving.send_again(&mut self.out);
        self.jobs.send_again(&mut self.out);
        self.queries.send_again(&mut self.out);
        let (calls, mut context) = self.calls();
        calls.joined(&mut context);
        if self.leaving {
            self.out.send(ToHost::Leave);
        }
    }

    /// The switchboard lacks what follows this mark.
    fn give_log(&mut self, mark: Option<Mark>) -> Result<(), &'static str> {
        let log = self.log.as_ref().ok_or("a question for a replica that is not here")?;
        let pieces = match mark.filter(|mark| log.contains(*mark)) {
            Some(mark) => transfer::entries(log, mark),
            None => transfer::snapshot(log, self.now),
        };
        for piece in pieces {
            self.out.present(ToHost::Log { piece });
        }
        Ok(())
    }

    fn put_out(&mut self, reason: LeaveReason) {
        self.phase = Phase::Out;
        self.was_out |= self.log.take().is_some();
        self.have_due = false;
        self.out.detach();
        self.events.push_back(Event::PutOut { reason });
        self.publishing.put_out(&mut self.events);
        self.writes.put_out(&mut self.events);
        self.calls.put_out(&mut self.events);
        for ended in self.exchanges.put_out() {
            self.exchange_ended(ended);
        }
        self.serving.put_out(&mut self.events);
        let services: Vec<_> = self.serving.services().cloned().collect();
        for service in services {
            self.writes.begin(Write::Serve { service }, &mut self.out);
        }
        if self.leaving {
            self.left();
        }
    }

    fn left(&mut self) {
        self.phase = Phase::Left;
        self.out.detach();
        self.events.push_back(Event::Left);
    }

    fn replica(&self) -> Option<&Replica> {
        self.log.as_ref().map(Log::replica)
    }
}
