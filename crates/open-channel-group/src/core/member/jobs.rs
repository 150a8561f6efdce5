//! Jobs that this member has pushed. They live here until a worker has done them.
//!
//! ```text
//!   push ──▶ announced ──Assign──▶ running ──ack──▶ done
//!               ▲                    │ nak, death: the next attempt
//!               └──── delayed ◀──────┘ or, after the last one: exhausted
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::exchanges::{End, Exchanges, Purpose};
use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Event, JobEnd};
use crate::core::frame::{Reply, RequestBody, ToHost};
use crate::core::ids::{JobId, MemberId, WorkerId};
use crate::core::limits::{Window, cost};
use crate::core::name::Name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Announced,
    Running,
    Delayed(Duration),
}

#[derive(Debug)]
struct Job {
    queue: Name,
    payload: Bytes,
    max_attempts: Option<u32>,
    /// How many attempts have begun.
    attempts: u32,
    state: State,
}

/// The pusher's side of queues.
#[derive(Debug)]
pub(crate) struct Jobs {
    last: u64,
    open: BTreeMap<JobId, Job>,
    delayed: BTreeSet<(Duration, JobId)>,
    window: Window,
}

impl Jobs {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            last: 0,
            open: BTreeMap::new(),
            delayed: BTreeSet::new(),
            window: Window::new(window),
        }
    }

    pub(crate) fn push(
        &mut self,
        queue: Name,
        payload: Bytes,
        max_attempts: Option<u32>,
        out: &mut Out,
    ) -> Result<JobId, Refused> {
        let cost = cost(payload.len());
        if !self.window.has_room(cost) {
            return Err(Refused::Full);
        }
        self.window.add(cost);
        self.last += 1;
        let job = JobId(self.last);
        out.send(ToHost::Push { job, queue: queue.clone() });
        let state = State::Announced;
        self.open.insert(job, Job { queue, payload, max_attempts, attempts: 0, state });
        Ok(job)
    }

    /// Takes a job back that no worker has.
    pub(crate) fn withdraw(&mut self, id: JobId, out: &mut Out) -> Result<Bytes, Refused> {
        let job = self.open.get(&id).ok_or(Refused::NotFound)?;
        match job.state {
            State::Running => return Err(Refused::NotFound),
            State::Announced => out.send(ToHost::Withdraw { job: id }),
            State::Delayed(_) => {}
        }
        self.remove(id).map(|job| job.payload).ok_or(Refused::NotFound)
    }

    /// The switchboard has a worker for a job.
    pub(crate) fn assigned(
        &mut self,
        id: JobId,
        member: MemberId,
        worker: WorkerId,
        exchanges: &mut Exchanges,
        out: &mut Out,
    ) {
        let Some(job) = self.open.get_mut(&id).filter(|job| job.state == State::Announced) else {
            out.send(ToHost::Decline { job: id, member, worker });
            return;
        };
        job.attempts += 1;
        job.state = State::Running;
        let body = RequestBody::Job {
            job: id,
            queue: job.queue.clone(),
            worker,
            attempt: job.attempts,
            payload: job.payload.clone(),
        };
        exchanges.start(member, body, Purpose::Job(id), 0, out);
    }

    /// An attempt is over.
    pub(crate) fn attempt_ended(
        &mut self,
        id: JobId,
        end: End,
        now: Duration,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) {
        let Some(job) = self.open.get_mut(&id) else { return };
        let delay = match end {
            End::Answered(Reply::Acked) => {
                self.remove(id);
                events.push_back(Event::JobEnded { job: id, end: JobEnd::Done });
                return;
            }
            End::Answered(Reply::Term { reason }) => {
                if let Some(job) = self.remove(id) {
                    let end = JobEnd::Terminated(reason, job.payload);
                    events.push_back(Event::JobEnded { job: id, end });
                }
                return;
            }
            End::Answered(Reply::NoRoom) | End::Gone { sent: false } => {
                // No worker has seen it.
                job.attempts -= 1;
                Duration::ZERO
            }
            End::Answered(Reply::Nak { delay }) => delay,
            End::Answered(_) | End::Gone { sent: true } => Duration::ZERO,
        };
        if job.max_attempts.is_some_and(|most| job.attempts >= most) {
            if let Some(job) = self.remove(id) {
                let end = JobEnd::Exhausted(job.payload);
                events.push_back(Event::JobEnded { job: id, end });
            }
        } else if delay.is_zero() {
            job.state = State::Announced;
            out.send(ToHost::Push { job: id, queue: job.queue.clone() });
        } else {
            let at = now.saturating_add(delay);
            job.state = State::Delayed(at);
            self.delayed.insert((at, id));
        }
    }

    fn remove(&mut self, id: JobId) -> Option<Job> {
        let job = self.open.remove(&id)?;
        self.window.free(cost(job.payload.len()));
        if let State::Delayed(at) = job.state {
            self.delayed.remove(&(at, id));
        }
        Some(job)
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration, out: &mut Out) {
        while let Some(&(at, id)) = self.delayed.first()
            && at <= now
        {
            self.delayed.pop_first();
            if let Some(job) = self.open.get_mut(&id) {
                job.state = State::Announced;
                out.send(ToHost::Push { job: id, queue: job.queue.clone() });
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// Another host serves: jobs without a worker are announced to it.
    pub(crate) fn send_again(&self, out: &mut Out) {
        for (&job, Job { queue, state, .. }) in &self.open {
            if *state == State::Announced {
                out.send(ToHost::Push { job, queue: queue.clone() });
            }
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.window.used()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}
