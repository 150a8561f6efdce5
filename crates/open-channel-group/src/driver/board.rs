//! Who waits for what: the application's ends of everything that a member has under way.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use tokio::sync::{mpsc, oneshot, watch};

use crate::core::{
    Answers, CallEnd, CallId, Delivery, Event, JobEnd, JobId, LockClaim, LockId, LockQueryId,
    Member, Name, OpId, PublishEnd, PublishId, RequestId, RunId, SubscriptionId, WatchId, WorkerId,
    WriteEnd,
};
use crate::engine::{Attempt, LockState, Request};

/// The application's end of a subscription.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) waker: Option<Waker>,
    /// Messages that had arrived before this member was put out, each with the mark below.
    pub(super) before: VecDeque<(Delivery, bool)>,
    /// Something may be missing before the next message.
    pub(super) interrupted: bool,
    known: Option<oneshot::Sender<()>>,
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Board {
    publications: HashMap<PublishId, oneshot::Sender<PublishEnd>>,
    calls: HashMap<CallId, oneshot::Sender<CallEnd>>,
    calls_to_all: HashMap<CallId, oneshot::Sender<Answers>>,
    jobs: HashMap<JobId, oneshot::Sender<JobEnd>>,
    writes: HashMap<OpId, oneshot::Sender<WriteEnd>>,
    locks: HashMap<LockId, watch::Sender<LockState>>,
    lock_queries: HashMap<LockQueryId, oneshot::Sender<Vec<LockClaim>>>,
    services: HashMap<Name, mpsc::UnboundedSender<Request>>,
    requests: HashMap<RequestId, watch::Sender<bool>>,
    workers: HashMap<WorkerId, mpsc::UnboundedSender<Attempt>>,
    runs: HashMap<RunId, watch::Sender<bool>>,
    pub(super) readers: HashMap<SubscriptionId, Reader>,
    pub(super) watches: HashMap<WatchId, Option<Waker>>,
    /// To be woken once the state is unlocked.
    pub(super) wakes: Vec<Waker>,
}

/// Things that begin and end.
impl Board {
    pub(super) fn publish(&mut self, id: PublishId) -> oneshot::Receiver<PublishEnd> {
        await_end(&mut self.publications, id)
    }

    pub(super) fn call(&mut self, id: CallId) -> oneshot::Receiver<CallEnd> {
        await_end(&mut self.calls, id)
    }

    pub(super) fn call_all(&mut self, id: CallId) -> oneshot::Receiver<Answers> {
        await_end(&mut self.calls_to_all, id)
    }

    /// Nobody waits for a call any more.
    pub(super) fn forget_call(&mut self, id: CallId) {
        self.calls.remove(&id);
        self.calls_to_all.remove(&id);
    }

    pub(super) fn job(&mut self, id: JobId) -> oneshot::Receiver<JobEnd> {
        await_end(&mut self.jobs, id)
    }

    pub(super) fn write(&mut self, id: OpId) -> oneshot::Receiver<WriteEnd> {
        await_end(&mut self.writes, id)
    }

    pub(super) fn lock(&mut self, id: LockId) -> watch::Receiver<LockState> {
        let (sender, receiver) = watch::channel(LockState::Waiting);
        self.locks.insert(id, sender);
        receiver
    }

    pub(super) fn unlock(&mut self, id: LockId) {
        self.locks.remove(&id);
    }

    pub(super) fn query_locks(&mut self, id: LockQueryId) -> oneshot::Receiver<Vec<LockClaim>> {
        await_end(&mut self.lock_queries, id)
    }

    pub(super) fn subscribe(&mut self, id: SubscriptionId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.readers.insert(id, Reader { known: Some(sender), ..Reader::default() });
        receiver
    }

    pub(super) fn serve(&mut self, service: Name) -> mpsc::UnboundedReceiver<Request> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.services.insert(service, sender);
        receiver
    }

    pub(super) fn serves(&self, service: &Name) -> bool {
        self.services.contains_key(service)
    }

    pub(super) fn unserve(&mut self, service: &Name) {
        self.services.remove(service);
    }

    pub(super) fn answered(&mut self, id: RequestId) {
        self.requests.remove(&id);
    }

    pub(super) fn work(&mut self, id: WorkerId) -> mpsc::UnboundedReceiver<Attempt> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.workers.insert(id, sender);
        receiver
    }

    pub(super) fn stop_work(&mut self, id: WorkerId) {
        self.workers.remove(&id);
    }

    pub(super) fn finished(&mut self, id: RunId) {
        self.runs.remove(&id);
    }
}

fn await_end<Id: Eq + std::hash::Hash, T>(
    open: &mut HashMap<Id, oneshot::Sender<T>>,
    id: Id,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    open.insert(id, sender);
    receiver
}

/// Nobody may wait any more, which is no error.
fn end<Id: Eq + std::hash::Hash, T>(open: &mut HashMap<Id, oneshot::Sender<T>>, id: &Id, end: T) {
    if let Some(sender) = open.remove(id) {
        let _ = sender.send(end);
    }
}

/// Events.
impl Board {
    /// The member was put out: nothing arrives until it is back, and something may be missing then.
    pub(super) fn interrupt(&mut self, member: &mut Member) {
        for (&subscription, reader) in &mut self.readers {
            while let Some(delivery) = member.next_delivery(subscription) {
                reader.before.push_back((delivery, std::mem::take(&mut reader.interrupted)));
            }
            reader.interrupted = true;
        }
    }

    /// Takes no more requests and jobs.
    pub(super) fn stop_serving(&mut self, member: &mut Member) {
        for (service, _) in self.services.drain() {
            // Refused when it is leaving already.
            let _ = member.unserve(service);
        }
        for (worker, _) in self.workers.drain() {
            let _ = member.stop_work(worker);
        }
    }

    /// Passes an event on. Returns a request or a run that nobody takes.
    pub(super) fn take(&mut self, event: Event) -> Option<Unwanted> {
        match event {
            Event::Published { id, end: how } => end(&mut self.publications, &id, how),
            Event::CallEnded { call, end: how } => end(&mut self.calls, &call, how),
            Event::AllAnswered { call, answers } => end(&mut self.calls_to_all, &call, answers),
            Event::JobEnded { job, end: how } => end(&mut self.jobs, &job, how),
            Event::Wrote { op, end: how } => end(&mut self.writes, &op, how),
            Event::Acquired { lock, token } => self.lock_is(lock, LockState::Held(token)),
            Event::Denied(lock) => self.lock_is(lock, LockState::Denied),
            Event::Lost(lock) => self.lock_is(lock, LockState::Lost),
            Event::LocksQueried { query, claims } => end(&mut self.lock_queries, &query, claims),
            Event::Subscribed(subscription) => {
                let reader = self.readers.get_mut(&subscription);
                if let Some(known) = reader.and_then(|reader| reader.known.take()) {
                    let _ = known.send(());
                }
            }
            Event::Deliverable(subscription) => {
                let reader = self.readers.get_mut(&subscription);
                self.wakes.extend(reader.and_then(|reader| reader.waker.take()));
            }
            Event::Changed(watch) => {
                self.wakes.extend(self.watches.get_mut(&watch).and_then(Option::take));
            }
            Event::Request { request: id, from, service, payload } => {
                let (sender, cancelled) = watch::channel(false);
                let request = Request { id, from, payload, cancelled };
                let service = self.services.get(&service);
                if service.is_none_or(|service| service.send(request).is_err()) {
                    return Some(Unwanted::Request(id));
                }
                self.requests.insert(id, sender);
            }
            Event::RequestCancelled(id) => {
                if let Some(request) = self.requests.remove(&id) {
                    request.send_replace(true);
                }
            }
            Event::Run(run) => {
                let (id, worker) = (run.id, self.workers.get(&run.worker));
                let (sender, cancelled) = watch::channel(false);
                if worker.is_none_or(|worker| worker.send(Attempt { run, cancelled }).is_err()) {
                    return Some(Unwanted::Run(id));
                }
                self.runs.insert(id, sender);
            }
            Event::RunCancelled(id) => {
                if let Some(run) = self.runs.get(&id) {
                    run.send_replace(true);
                }
            }
            _ => {}
        }
        None
    }

    fn lock_is(&mut self, id: LockId, state: LockState) {
        if let Some(lock) = self.locks.get(&id) {
            lock.send_replace(state);
        }
    }

    /// The group is over: everybody who waits learns so.
    pub(super) fn end_all(&mut self) {
        for (_, reader) in self.readers.drain() {
            self.wakes.extend(reader.waker);
        }
        for (_, waker) in self.watches.drain() {
            self.wakes.extend(waker);
        }
        let wakes = std::mem::take(&mut self.wakes);
        *self = Self { wakes, ..Self::default() };
    }
}

/// A request or a run whose service or worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwanted {
    Request(RequestId),
    Run(RunId),
}
