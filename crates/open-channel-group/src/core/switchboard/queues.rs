//! Queues: which job goes to which worker next. The jobs themselves are with their pushers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::counts::Counts;
use super::outgoing::Outgoing;
use crate::core::frame::ToMember;
use crate::core::ids::{ExchangeId, JobId, MemberId, WorkerId};
use crate::core::limits::{MAX_ITEMS, OVERHEAD};
use crate::core::name::Name;
use crate::core::status::QueueStatus;

#[derive(Debug)]
struct Worker {
    queue: Name,
    capacity: usize,
    /// Jobs that are assigned and not here yet.
    reserved: BTreeSet<(MemberId, JobId)>,
    /// Jobs that it has.
    running: BTreeSet<(MemberId, ExchangeId)>,
    /// When it was given a job last.
    turn: u64,
    /// Its member is in the view, so that pushers learn when it leaves.
    admitted: bool,
}

impl Worker {
    fn room(&self) -> usize {
        if !self.admitted {
            return 0;
        }
        self.capacity.saturating_sub(self.reserved.len() + self.running.len())
    }
}

/// The workers of one member, and its jobs, for people.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) workers: u64,
    pub(crate) running: u64,
    pub(crate) waiting: u64,
}

#[derive(Debug, Default)]
struct Line {
    jobs: BTreeMap<u64, (MemberId, JobId)>,
    workers: BTreeSet<(MemberId, WorkerId)>,
}

/// The switchboard's side of queues.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    serving: bool,
    last: u64,
    lines: BTreeMap<Name, Line>,
    workers: BTreeMap<(MemberId, WorkerId), Worker>,
    waiting: BTreeMap<(MemberId, JobId), (Name, u64)>,
    /// How many workers each member has.
    counts_of_workers: Counts,
    /// The members that are in the view.
    admitted: BTreeSet<MemberId>,
    /// How many jobs of each member wait.
    counts: BTreeMap<MemberId, usize>,
}

impl Queues {
    pub(crate) fn begin(&mut self, outgoing: &mut Outgoing) {
        self.serving = true;
        let queues: Vec<Name> = self.lines.keys().cloned().collect();
        for queue in queues {
            self.advance(&queue, outgoing);
        }
    }

    /// A member is in the view: its workers may have jobs.
    pub(crate) fn admit(&mut self, member: MemberId, outgoing: &mut Outgoing) {
        self.admitted.insert(member);
        let (first, last) = ((member, WorkerId(0)), (member, WorkerId(u64::MAX)));
        let mut queues = BTreeSet::new();
        for (_, worker) in self.workers.range_mut(first..=last) {
            worker.admitted = true;
            queues.insert(worker.queue.clone());
        }
        for queue in queues {
            self.advance(&queue, outgoing);
        }
    }

    pub(crate) fn work(
        &mut self,
        member: MemberId,
        worker: WorkerId,
        queue: Name,
        capacity: u32,
        outgoing: &mut Outgoing,
    ) -> Result<(), &'static str> {
        let key = (member, worker);
        if self.workers.contains_key(&key) {
            return Err("a worker begins twice");
        }
        self.counts_of_workers.add(member)?;
        self.lines.entry(queue.clone()).or_default().workers.insert(key);
        self.workers.insert(
            key,
            Worker {
                queue: queue.clone(),
                capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
                reserved: BTreeSet::new(),
                running: BTreeSet::new(),
                turn: 0,
                admitted: self.admitted.contains(&member),
            },
        );
        self.advance(&queue, outgoing);
        Ok(())
    }

    /// A worker has a job from an earlier host.
    pub(crate) fn busy(
        &mut self,
        member: MemberId,
        worker: WorkerId,
        pusher: MemberId,
        exchange: ExchangeId,
    ) -> Result<(), &'static str> {
        if let Some(worker) = self.workers.get_mut(&(member, worker)) {
            if worker.running.len() >= worker.capacity.min(MAX_ITEMS) {
                return Err("a worker has more jobs than room");
            }
            worker.running.insert((pusher, exchange));
        }
        Ok(())
    }

    pub(crate) fn stop_work(&mut self, member: MemberId, worker: WorkerId) {
        let key = (member, worker);
        if let Some(worker) = self.workers.remove(&key)
            && let Some(line) = self.lines.get_mut(&worker.queue)
        {
            line.workers.remove(&key);
            self.counts_of_workers.remove(member);
            self.tidy(&worker.queue);
        }
    }

    /// A job waits for a worker. Its pusher's window is so large.
    pub(crate) fn push(
        &mut self,
        member: MemberId,
        window: usize,
        job: JobId,
        queue: Name,
        outgoing: &mut Outgoing,
    ) -> Result<(), &'static str> {
        if self.waiting.contains_key(&(member, job)) {
            return Err("a job is announced twice");
        }
        let count = self.counts.entry(member).or_default();
        if *count > window / OVERHEAD {
            return Err("more jobs than the window has room for");
        }
        *count += 1;
        self.last += 1;
        self.waiting.insert((member, job), (queue.clone(), self.last));
        self.lines.entry(queue.clone()).or_default().jobs.insert(self.last, (member, job));
        self.advance(&queue, outgoing);
        Ok(())
    }

    pub(crate) fn withdraw(&mut self, member: MemberId, job: JobId) {
        if let Some((queue, place)) = self.waiting.remove(&(member, job)) {
            self.uncount(member);
            if let Some(line) = self.lines.get_mut(&queue) {
                line.jobs.remove(&place);
            }
            self.tidy(&queue);
        }
    }

    /// A pusher does not need the worker that it was assigned.
    pub(crate) fn decline(
        &mut self,
        pusher: MemberId,
        job: JobId,
        place: (MemberId, WorkerId),
        outgoing: &mut Outgoing,
    ) {
        if let Some(worker) = self.workers.get_mut(&place)
            && worker.reserved.remove(&(pusher, job))
        {
            let queue = worker.queue.clone();
            self.advance(&queue, outgoing);
        }
    }

    /// A pusher sends a job to its worker.
    pub(crate) fn started(
        &mut self,
        pusher: MemberId,
        exchange: ExchangeId,
        job: JobId,
        place: (MemberId, WorkerId),
    ) {
        if let Some(worker) = self.workers.get_mut(&place) {
            worker.reserved.remove(&(pusher, job));
            worker.running.insert((pusher, exchange));
        }
    }

    /// A member has answered an exchange, which may be a job.
    pub(crate) fn ended(
        &mut self,
        member: MemberId,
        pusher: MemberId,
        exchange: ExchangeId,
        outgoing: &mut Outgoing,
    ) {
        let first = (member, WorkerId(0));
        let last = (member, WorkerId(u64::MAX));
        let freed = self.workers.range_mut(first..=last).find_map(|(_, one)| {
            one.running.remove(&(pusher, exchange)).then(|| one.queue.clone())
        });
        if let Some(queue) = freed {
            self.advance(&queue, outgoing);
        }
    }

    /// A member is gone, with its jobs and its workers. The runs of its jobs at others take room
    /// until they are finished.
    pub(crate) fn forget(&mut self, member: MemberId, outgoing: &mut Outgoing) {
        self.admitted.remove(&member);
        let (first, last) = ((member, WorkerId(0)), (member, WorkerId(u64::MAX)));
        let workers: Vec<WorkerId> =
            self.workers.range(first..=last).map(|(&(_, worker), _)| worker).collect();
        for worker in workers {
            self.stop_work(member, worker);
        }
        let (first, last) = ((member, JobId(0)), (member, JobId(u64::MAX)));
        let jobs: Vec<JobId> = self.waiting.range(first..=last).map(|(&(_, job), _)| job).collect();
        for job in jobs {
            self.withdraw(member, job);
        }
        let mut freed = BTreeSet::new();
        for worker in self.workers.values_mut() {
            let before = worker.reserved.len();
            worker.reserved.retain(|(pusher, _)| *pusher != member);
            if worker.reserved.len() < before {
                freed.insert(worker.queue.clone());
            }
        }
        for queue in freed {
            self.advance(&queue, outgoing);
        }
    }

    /// Assigns all jobs for which there is room: to the worker with most of it, in turns.
    fn advance(&mut self, queue: &Name, outgoing: &mut Outgoing) {
        if !self.serving {
            return;
        }
        while let Some(line) = self.lines.get_mut(queue) {
            let Some((&place, &(pusher, job))) = line.jobs.first_key_value() else { break };
            let workers = line.workers.iter().filter_map(|key| {
                let worker = self.workers.get(key)?;
                (worker.room() > 0).then_some((worker.room(), Reverse(worker.turn), *key))
            });
            let Some((_, _, key)) = workers.max() else { break };
            line.jobs.remove(&place);
            self.waiting.remove(&(pusher, job));
            self.last += 1;
            if let Some(worker) = self.workers.get_mut(&key) {
                worker.reserved.insert((pusher, job));
                worker.turn = self.last;
            }
            self.uncount(pusher);
            let (member, worker) = key;
            outgoing.push((pusher, ToMember::Assign { job, member, worker }));
        }
        self.tidy(queue);
    }

    fn uncount(&mut self, member: MemberId) {
        if let Some(count) = self.counts.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&member);
            }
        }
    }

    fn tidy(&mut self, queue: &Name) {
        if self.lines.get(queue).is_some_and(|line| line.jobs.is_empty() && line.workers.is_empty())
        {
            self.lines.remove(queue);
        }
    }

    /// The workers of a member, and its jobs.
    pub(crate) fn of(&self, member: MemberId) -> Jobs {
        let (first, last) = ((member, WorkerId(0)), (member, WorkerId(u64::MAX)));
        let mut jobs = Jobs::default();
        for worker in self.workers.range(first..=last).map(|(_, worker)| worker) {
            jobs.workers += 1;
            jobs.running += worker.running.len() as u64;
        }
        let (first, last) = ((member, JobId(0)), (member, JobId(u64::MAX)));
        jobs.waiting = self.waiting.range(first..=last).count() as u64;
        jobs
    }

    /// How many queues there are, and the first of them.
    pub(crate) fn describe(&self, most: usize) -> (usize, Vec<QueueStatus>) {
        let first = self.lines.iter().take(most).map(|(name, line)| {
            let workers = line.workers.iter().filter_map(|key| self.workers.get(key));
            QueueStatus {
                name: name.clone(),
                workers: line.workers.len() as u64,
                running: workers.map(|worker| worker.running.len() as u64).sum(),
                waiting: line.jobs.len() as u64,
            }
        });
        (self.lines.len(), first.collect())
    }

    pub(crate) fn memory(&self) -> usize {
        self.waiting.len() * OVERHEAD
    }
}
