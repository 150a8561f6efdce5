//! Work for others: requests for the services of this member, and jobs for its workers.
//!
//! ```text
//!   Request ──▶ running ──▶ answered ──Receipt──▶ forgotten
//!                  │ its asker leaves the view
//!                  ├──▶ forgotten                        (a call)
//!                  └──▶ orphan ──finished──▶ forgotten   (a job: it takes room until then)
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Event, Outcome, Run};
use crate::core::frame::{ExchangeFrame, Reply, RequestBody, ToHost};
use crate::core::ids::{ExchangeId, MemberId, RequestId, RunId, WorkerId};
use crate::core::limits::{MAX_ITEMS, Window, cost};
use crate::core::name::Name;

#[derive(Debug)]
enum Request {
    Running { number: u64, worker: Option<WorkerId>, orphan: bool },
    Answered { reply: Reply, cost: usize, orphan: bool },
}

#[derive(Debug)]
struct Worker {
    queue: Name,
    capacity: u32,
    running: u32,
}

/// The answering side of all exchanges.
#[derive(Debug)]
pub(crate) struct Serving {
    last: u64,
    services: BTreeSet<Name>,
    workers: BTreeMap<WorkerId, Worker>,
    requests: BTreeMap<(MemberId, ExchangeId), Request>,
    /// The requests that run, by the number that the application has.
    running: BTreeMap<u64, (MemberId, ExchangeId)>,
    answers: Window,
}

impl Serving {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            last: 0,
            services: BTreeSet::new(),
            workers: BTreeMap::new(),
            requests: BTreeMap::new(),
            running: BTreeMap::new(),
            answers: Window::new(window),
        }
    }

    pub(crate) fn serve(&mut self, service: Name) {
        self.services.insert(service);
    }

    pub(crate) fn unserve(&mut self, service: &Name) {
        self.services.remove(service);
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Name> {
        self.services.iter()
    }

    pub(crate) fn work(
        &mut self,
        queue: Name,
        capacity: u32,
        out: &mut Out,
    ) -> Result<WorkerId, Refused> {
        if self.workers.len() >= MAX_ITEMS {
            return Err(Refused::Full);
        }
        self.last += 1;
        let worker = WorkerId(self.last);
        out.present(ToHost::Work { worker, queue: queue.clone(), capacity });
        self.workers.insert(worker, Worker { queue, capacity, running: 0 });
        Ok(worker)
    }

    pub(crate) fn stop_work(&mut self, worker: WorkerId, out: &mut Out) -> Result<(), Refused> {
        self.workers.remove(&worker).ok_or(Refused::NotFound)?;
        out.present(ToHost::StopWork { worker });
        Ok(())
    }

    /// A request arrives.
    pub(crate) fn request(
        &mut self,
        from: MemberId,
        exchange: ExchangeId,
        body: RequestBody,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) {
        let key = (from, exchange);
        match self.requests.get(&key) {
            Some(Request::Running { .. }) => return,
            Some(Request::Answered { reply, .. }) => return answer(key, reply, out),
            None => {}
        }
        let number = self.last + 1;
        let worker = match body {
            RequestBody::Call { service, payload } => {
                if !self.services.contains(&service) {
                    return self.end(key, Reply::NotServed, out);
                }
                let request = RequestId(number);
                events.push_back(Event::Request { request, from, service, payload });
                None
            }
            RequestBody::Job { job, queue, worker, attempt, payload } => {
                let place = self
                    .workers
                    .get_mut(&worker)
                    .filter(|place| place.queue == queue && place.running < place.capacity);
                let Some(place) = place else {
                    return self.end(key, Reply::NoRoom, out);
                };
                place.running += 1;
                let id = RunId(number);
                events.push_back(Event::Run(Run {
                    id,
                    worker,
                    pusher: from,
                    job,
                    attempt,
                    payload,
                }));
                Some(worker)
            }
        };
        self.last = number;
        self.running.insert(number, key);
        self.requests.insert(key, Request::Running { number, worker, orphan: false });
    }

    pub(crate) fn cancel(
        &mut self,
        from: MemberId,
        exchange: ExchangeId,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) {
        let key = (from, exchange);
        match self.requests.get(&key) {
            Some(Request::Running { number, worker: None, .. }) => {
                events.push_back(Event::RequestCancelled(RequestId(*number)));
                self.running.remove(number);
                self.end(key, Reply::Cancelled, out);
            }
            Some(Request::Running { .. }) => {}
            Some(Request::Answered { reply, .. }) => answer(key, reply, out),
            None => self.end(key, Reply::Cancelled, out),
        }
    }

    pub(crate) fn receipt(&mut self, from: MemberId, exchange: ExchangeId) {
        let key = (from, exchange);
        if let Some(Request::Answered { cost, .. }) = self.requests.get(&key) {
            self.answers.free(*cost);
            self.requests.remove(&key);
        }
    }

    /// The application answers a call.
    pub(crate) fn answer(
        &mut self,
        request: RequestId,
        answer: Result<Bytes, String>,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let key = *self.running.get(&request.0).ok_or(Refused::NotFound)?;
        if !matches!(self.requests.get(&key), Some(Request::Running { worker: None, .. })) {
            return Err(Refused::NotFound);
        }
        let reply = match answer {
            Ok(payload) => Reply::Answered { payload },
            Err(reason) => Reply::Failed { reason },
        };
        if !self.answers.has_room(reply_cost(&reply)) {
            return Err(Refused::Full);
        }
        self.running.remove(&request.0);
        self.end(key, reply, out);
        Ok(())
    }

    /// The application ends a run.
    pub(crate) fn finish(
        &mut self,
        run: RunId,
        outcome: Outcome,
        out: &mut Out,
    ) -> Result<(), Refused> {
        let key = *self.running.get(&run.0).ok_or(Refused::NotFound)?;
        let Some(Request::Running { worker: Some(worker), orphan, .. }) = self.requests.get(&key)
        else {
            return Err(Refused::NotFound);
        };
        let (worker, orphan) = (*worker, *orphan);
        let reply = match outcome {
            Outcome::Ack => Reply::Acked,
            Outcome::Nak(delay) => Reply::Nak { delay },
            Outcome::Term(reason) => Reply::Term { reason },
        };
        self.running.remove(&run.0);
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.running -= 1;
        }
        self.end(key, reply, out);
        if orphan {
            self.asker_left(key, out.is_active(), &mut VecDeque::new());
        }
        Ok(())
    }

    fn end(&mut self, key: (MemberId, ExchangeId), reply: Reply, out: &mut Out) {
        answer(key, &reply, out);
        let cost = reply_cost(&reply);
        self.answers.add(cost);
        self.requests.insert(key, Request::Answered { reply, cost, orphan: false });
    }

    /// Another host: it must know the workers and what they have before it serves.
    pub(crate) fn present(&self, out: &mut Out) {
        for (&worker, Worker { queue, capacity, .. }) in &self.workers {
            out.present(ToHost::Work { worker, queue: queue.clone(), capacity: *capacity });
        }
        for (&(pusher, exchange), request) in &self.requests {
            if let Request::Running { worker: Some(worker), .. } = request {
                out.present(ToHost::Busy { worker: *worker, pusher, exchange });
            }
        }
    }

    /// Another host serves: answers without receipt go out again.
    pub(crate) fn send_again(&mut self, out: &mut Out) {
        let answers = &mut self.answers;
        self.requests.retain(|&key, request| {
            let Request::Answered { reply, cost, orphan } = request else { return true };
            answer(key, reply, out);
            if *orphan {
                answers.free(*cost);
            }
            !*orphan
        });
    }

    /// A member has left the view, and waits for nothing any more.
    pub(crate) fn member_left(
        &mut self,
        member: MemberId,
        active: bool,
        events: &mut VecDeque<Event>,
    ) {
        let first = (member, ExchangeId(0));
        let last = (member, ExchangeId(u64::MAX));
        let keys: Vec<_> = self.requests.range(first..=last).map(|(&key, _)| key).collect();
        for key in keys {
            self.asker_left(key, active, events);
        }
    }

    /// This member was put out: to it, all others are gone.
    pub(crate) fn put_out(&mut self, events: &mut VecDeque<Event>) {
        let keys: Vec<_> = self.requests.keys().copied().collect();
        for key in keys {
            self.asker_left(key, true, events);
        }
    }

    /// Nobody waits for a request any more, but the switchboard, which counts the room of workers
    /// and learns of it by the answer. It has that already if it is `active`.
    fn asker_left(
        &mut self,
        key: (MemberId, ExchangeId),
        active: bool,
        events: &mut VecDeque<Event>,
    ) {
        match self.requests.get_mut(&key) {
            Some(Request::Running { number, worker: Some(_), orphan }) => {
                if !*orphan {
                    events.push_back(Event::RunCancelled(RunId(*number)));
                }
                *orphan = true;
                return;
            }
            Some(Request::Running { number, worker: None, .. }) => {
                events.push_back(Event::RequestCancelled(RequestId(*number)));
                self.running.remove(number);
            }
            Some(Request::Answered { orphan, .. }) if !active => {
                *orphan = true;
                return;
            }
            Some(Request::Answered { cost, .. }) => self.answers.free(*cost),
            None => {}
        }
        self.requests.remove(&key);
    }

    pub(crate) fn memory(&self) -> usize {
        self.answers.used()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }
}

fn answer((to, exchange): (MemberId, ExchangeId), reply: &Reply, out: &mut Out) {
    out.send(ToHost::Send { to, frame: ExchangeFrame::Answer { exchange, reply: reply.clone() } });
}

fn reply_cost(reply: &Reply) -> usize {
    match reply {
        Reply::Answered { payload } => cost(payload.len()),
        Reply::Failed { reason } | Reply::Term { reason } => cost(reason.len()),
        _ => cost(0),
    }
}
