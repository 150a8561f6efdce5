//! Calls: which member is asked, for how long, and what came of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::exchanges::{End, Exchanges, Purpose};
use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Answers, CallEnd, Event};
use crate::core::frame::{Reply, RequestBody};
use crate::core::ids::{CallId, ExchangeId, MemberId};
use crate::core::limits::{Window, cost};
use crate::core::name::Name;
use crate::core::replica::Replica;

/// Which member a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Any that serves this service; they take turns.
    Service(Name),
    /// This one, for this service.
    Member(MemberId, Name),
}

/// How a call behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long the answer may take. Default: 30 s.
    pub deadline: Duration,
    /// It may run twice: when the member that has it leaves, the next one is asked. Default: no.
    pub idempotent: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), idempotent: false }
    }
}

impl CallOptions {
    /// The same with this [deadline](Self::deadline).
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same for a call that may run twice.
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }
}

#[derive(Debug)]
struct Call {
    target: Target,
    payload: Bytes,
    idempotent: bool,
    deadline: Duration,
    /// Whom it is with, if anybody.
    exchange: Option<(MemberId, ExchangeId)>,
    tried: Vec<MemberId>,
    /// A member that had it, or was meant, is gone.
    died: bool,
    /// It is one of a call to all.
    all: Option<CallId>,
}

#[derive(Debug, Default)]
struct All {
    open: BTreeMap<CallId, MemberId>,
    answers: Answers,
}

/// The caller's side of calls.
#[derive(Debug)]
pub(crate) struct Calls {
    last: u64,
    turn: usize,
    open: BTreeMap<CallId, Call>,
    all: BTreeMap<CallId, All>,
    deadlines: BTreeSet<(Duration, CallId)>,
    window: Window,
}

/// The parts of the member that calls need.
pub(crate) struct Context<'a> {
    /// The view, if the member is in one.
    pub(crate) replica: Option<&'a Replica>,
    pub(crate) exchanges: &'a mut Exchanges,
    pub(crate) out: &'a mut Out,
    pub(crate) events: &'a mut VecDeque<Event>,
}

impl Calls {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            last: 0,
            turn: 0,
            open: BTreeMap::new(),
            all: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            window: Window::new(window),
        }
    }

    pub(crate) fn call(
        &mut self,
        target: Target,
        payload: Bytes,
        options: CallOptions,
        now: Duration,
        context: &mut Context<'_>,
    ) -> Result<CallId, Refused> {
        if !self.window.has_room(cost(payload.len())) {
            return Err(Refused::Full);
        }
        let deadline = now.saturating_add(options.deadline);
        Ok(self.start(target, payload, options.idempotent, deadline, None, context))
    }

    /// Calls every member that serves it now.
    pub(crate) fn call_all(
        &mut self,
        service: &Name,
        payload: &Bytes,
        options: CallOptions,
        now: Duration,
        context: &mut Context<'_>,
    ) -> Result<CallId, Refused> {
        let members = providers(service, context.replica);
        if !self.window.has_room(members.len().saturating_mul(cost(payload.len()))) {
            return Err(Refused::Full);
        }
        let deadline = now.saturating_add(options.deadline);
        self.last += 1;
        let all = CallId(self.last);
        self.all.insert(all, All::default());
        for member in members {
            let target = Target::Member(member, service.clone());
            let payload = payload.clone();
            let call = self.start(target, payload, false, deadline, Some(all), context);
            if let Some(this) = self.all.get_mut(&all) {
                this.open.insert(call, member);
            }
        }
        self.finish_all(all, context.events);
        Ok(all)
    }

    fn start(
        &mut self,
        target: Target,
        payload: Bytes,
        idempotent: bool,
        deadline: Duration,
        all: Option<CallId>,
        context: &mut Context<'_>,
    ) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        self.window.add(cost(payload.len()));
        let call = Call {
            target,
            payload,
            idempotent,
            deadline,
            exchange: None,
            tried: Vec::new(),
            died: false,
            all,
        };
        self.open.insert(id, call);
        self.deadlines.insert((deadline, id));
        if context.replica.is_some() {
            self.route(id, context);
        }
        id
    }

    /// The member is in a view: calls that waited for one go out.
    pub(crate) fn joined(&mut self, context: &mut Context<'_>) {
        let waiting: Vec<CallId> = self
            .open
            .iter()
            .filter(|(_, call)| call.exchange.is_none())
            .map(|(&id, _)| id)
            .collect();
        for id in waiting {
            self.route(id, context);
        }
    }

    /// Asks the next member, or ends the call if there is none. The call's cost is counted.
    fn route(&mut self, id: CallId, context: &mut Context<'_>) {
        let Some(call) = self.open.get_mut(&id) else { return };
        let (service, mut candidates) = match &call.target {
            Target::Service(service) => (service, providers(service, context.replica)),
            Target::Member(member, service) => {
                let known = context.replica.is_some_and(|replica| replica.contains(*member));
                (service, if known { vec![*member] } else { Vec::new() })
            }
        };
        candidates.retain(|member| !call.tried.contains(member));
        if candidates.is_empty() {
            let gone = matches!(call.target, Target::Member(..)) && call.tried.is_empty();
            let died = gone || call.died;
            self.window.free(cost(call.payload.len()));
            self.end(id, if died { CallEnd::Died } else { CallEnd::NoSuchService }, context.events);
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let to = candidates[self.turn % candidates.len()];
        let body = RequestBody::Call { service: service.clone(), payload: call.payload.clone() };
        let cost = cost(call.payload.len());
        let exchange = context.exchanges.start(to, body, Purpose::Call(id), cost, context.out);
        call.exchange = Some((to, exchange));
    }

    /// An exchange of a call, or of one that was given up, is over.
    pub(crate) fn released(&mut self, cost: usize) {
        self.window.free(cost);
    }

    /// The exchange of a call is over, and released.
    pub(crate) fn exchange_ended(&mut self, id: CallId, end: End, context: &mut Context<'_>) {
        let Some(call) = self.open.get_mut(&id) else { return };
        let Some((member, _)) = call.exchange.take() else { return };
        let end = match end {
            End::Answered(Reply::Answered { payload }) => CallEnd::Answered(payload),
            End::Answered(Reply::Failed { reason }) => CallEnd::Failed(reason),
            End::Answered(Reply::NotServed) => {
                call.tried.push(member);
                self.window.add(cost(call.payload.len()));
                return self.route(id, context);
            }
            End::Gone { sent } if !sent || call.idempotent => {
                call.died |= sent || matches!(call.target, Target::Member(..));
                call.tried.push(member);
                self.window.add(cost(call.payload.len()));
                return self.route(id, context);
            }
            End::Gone { .. } => CallEnd::Died,
            End::Answered(_) => CallEnd::Failed("an answer that answers no call".into()),
        };
        self.end(id, end, context.events);
    }

    pub(crate) fn cancel(&mut self, id: CallId, context: &mut Context<'_>) -> Result<(), Refused> {
        if let Some(all) = self.all.remove(&id) {
            for call in all.open.into_keys() {
                self.give_up(call, CallEnd::Cancelled, context);
            }
            context.events.push_back(Event::CallEnded { call: id, end: CallEnd::Cancelled });
            return Ok(());
        }
        if self.open.get(&id).is_none_or(|call| call.all.is_some()) {
            return Err(Refused::NotFound);
        }
        self.give_up(id, CallEnd::Cancelled, context);
        Ok(())
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration, context: &mut Context<'_>) {
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.give_up(id, CallEnd::TimedOut, context);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn give_up(&mut self, id: CallId, end: CallEnd, context: &mut Context<'_>) {
        let Some(call) = self.open.get(&id) else { return };
        let released = match call.exchange {
            Some((_, exchange)) => context.exchanges.abandon(exchange, context.out),
            None => Some(cost(call.payload.len())),
        };
        if let Some(cost) = released {
            self.window.free(cost);
        }
        self.end(id, end, context.events);
    }

    /// This member was put out: nobody knows its calls any more. Their exchanges are released.
    pub(crate) fn put_out(&mut self, events: &mut VecDeque<Event>) {
        let lost: Vec<CallId> = self
            .open
            .iter()
            .filter(|(_, call)| call.exchange.is_some())
            .map(|(&id, _)| id)
            .collect();
        for id in lost {
            self.end(id, CallEnd::Unknown, events);
        }
    }

    fn end(&mut self, id: CallId, end: CallEnd, events: &mut VecDeque<Event>) {
        let Some(call) = self.open.remove(&id) else { return };
        self.deadlines.remove(&(call.deadline, id));
        let Some(all) = call.all else {
            events.push_back(Event::CallEnded { call: id, end });
            return;
        };
        let Some(this) = self.all.get_mut(&all) else { return };
        let member = match (this.open.remove(&id), &call.target) {
            (Some(member), _) => member,
            (None, Target::Member(member, _)) => *member,
            (None, Target::Service(_)) => return,
        };
        match end {
            CallEnd::Answered(payload) => this.answers.answered.push((member, Ok(payload))),
            CallEnd::Failed(reason) => this.answers.answered.push((member, Err(reason))),
            CallEnd::TimedOut => this.answers.timed_out.push(member),
            _ => this.answers.died.push(member),
        }
        self.finish_all(all, events);
    }

    fn finish_all(&mut self, all: CallId, events: &mut VecDeque<Event>) {
        if self.all.get(&all).is_some_and(|this| this.open.is_empty())
            && let Some(All { answers, .. }) = self.all.remove(&all)
        {
            events.push_back(Event::AllAnswered { call: all, answers });
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.window.used()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.all.is_empty()
    }
}

fn providers(service: &Name, replica: Option<&Replica>) -> Vec<MemberId> {
    let members = replica.map_or(&[][..], |replica| &replica.members);
    members
        .iter()
        .filter(|member| member.services.binary_search(service).is_ok())
        .map(|member| member.id)
        .collect()
}
