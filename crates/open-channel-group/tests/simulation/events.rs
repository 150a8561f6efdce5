//! The events of each application, checked against all that is known of everybody.

use std::collections::BTreeSet;

use open_channel_group::core::{
    CallEnd, Event, JobEnd, LeaveReason, LockClaim, LockQueryId, OVERHEAD, PublishEnd, PublishId,
    Run, SubscriptionId, WriteEnd,
};

use crate::application::{as_number, name};
use crate::ledger::{Acknowledged, Holder};
use crate::process::{Life, Message, Written};
use crate::world::{World, note};

impl World {
    /// Does what the member asks its driver for, and takes what it reports.
    pub fn attend(&mut self, number: usize) {
        loop {
            while let Some(event) = self.processes[number].member.poll_event() {
                note!(self, "process {number}: {event:?}");
                self.event(number, event);
            }
            let Some(request) = self.processes[number].member.poll_kernel() else { break };
            note!(self, "process {number}: {request:?}");
            self.kernel.request(number, request);
        }
        if self.processes[number].app.habits.eager {
            let subs: Vec<_> = self.processes[number].app.subs.keys().copied().collect();
            for subscription in subs {
                while self.take_delivery(number, subscription) {}
            }
        }
        self.compare_replicas(number);
    }

    fn event(&mut self, number: usize, event: Event) {
        let hosts = self.ledger.hosts;
        let process = &mut self.processes[number];
        let app = &mut process.app;
        match event {
            Event::Joined { view } => {
                self.tally.rejoined += u64::from(app.was_in);
                app.was_in = true;
                app.view = process.member.view().1.iter().map(|member| member.id).collect();
                app.view_number = view;
                assert!(app.view.contains(&process.member.id()));
            }
            Event::MemberJoined { view, member } => {
                assert!(view > app.view_number, "views go back");
                app.view_number = view;
                app.view.push(member.id);
            }
            Event::MemberLeft { view, id, .. } => {
                assert!(view >= app.view_number, "views go back");
                app.view_number = view;
                app.view.retain(|one| *one != id);
            }
            Event::PutOut { reason } => self.put_out(number, reason),
            Event::Left => {
                app.left = true;
                self.tally.left += 1;
                // It lets its locks go by ending.
                self.end(number);
            }
            Event::Subscribed(subscription) => {
                if let Some(sub) = app.subs.get_mut(&subscription) {
                    sub.confirmed = Some(process.member.id());
                }
            }
            Event::Interrupted(_) => self.tally.interrupted += 1,
            Event::Published { id, end } => self.published(number, id, end),
            Event::CallEnded { call, end } => {
                let (text, since) = app.calls.remove(&call).expect("a call ends twice");
                self.call_ended(&text, since, end);
            }
            Event::AllAnswered { call, answers } => {
                assert!(app.calls_to_all.remove(&call), "a call ends twice");
                self.tally.all_answered += u64::from(!answers.answered.is_empty());
                self.tally.all_with_deaths += u64::from(!answers.died.is_empty());
                self.tally.all_with_timeouts += u64::from(!answers.timed_out.is_empty());
            }
            Event::Request { request, payload, .. } => {
                let text = String::from_utf8(payload.to_vec()).unwrap();
                if let Some((idempotent, runs)) = self.ledger.calls.get_mut(text.trim_end()) {
                    *runs += 1;
                    assert!(*runs == 1 || *idempotent, "{text} runs again");
                    self.tally.asked_again += u64::from(*runs > 1);
                }
                app.requests.push((request, payload));
            }
            Event::RequestCancelled(request) => {
                self.tally.requests_cancelled += 1;
                app.requests.retain(|(one, _)| *one != request);
            }
            Event::Acquired { lock, token } => {
                let held = app.locks.get_mut(&lock).expect("a lock that was asked for");
                held.held = true;
                let holder = Holder { process: number, lock, mode: held.mode };
                let (deaths, since) = held.since;
                self.tally.acquired += 1;
                self.tally.acquired_after_a_death += u64::from(deaths < self.ledger.deaths);
                self.tally.acquired_over_a_change_of_host += u64::from(since < hosts);
                let name = held.name.clone();
                self.ledger.acquired(&name, holder, token);
                let together = self.ledger.locks[&name].holders.len() > 1;
                self.tally.acquired_shared_together += u64::from(together);
            }
            Event::Denied(lock) => {
                let held = app.locks.remove(&lock).expect("a lock that was asked for");
                assert!(!held.held, "a lock that is held is denied");
                self.tally.denied += 1;
            }
            Event::Lost(lock) => {
                let held = app.locks.remove(&lock).expect("a lock that was asked for");
                self.ledger.let_go(&held.name, number, lock);
                self.tally.stolen += 1;
            }
            Event::LocksQueried { query, claims } => self.locks_queried(number, query, &claims),
            Event::JobEnded { job, end } => {
                let (text, since) = app.jobs.remove(&job).expect("a job ends twice");
                self.job_ended(&text, since, end);
            }
            Event::Run(run) => self.run(number, run),
            Event::RunCancelled(run) => {
                self.tally.runs_cancelled += 1;
                app.cancelled_runs.insert(run);
            }
            Event::Wrote { op, end } => {
                if let Some((written, since)) = app.writes.remove(&op) {
                    self.wrote(number, written, since, end);
                }
            }
            Event::Changed(_) => app.watch_pending = true,
            Event::Serving { .. } | Event::Deliverable(_) => {}
            other => panic!("what is {other:?}?"),
        }
    }

    /// An answer is in order, and has what its asker holds all the while.
    fn locks_queried(&mut self, number: usize, query: LockQueryId, claims: &[LockClaim]) {
        let process = &mut self.processes[number];
        let (held, since) =
            process.app.lock_queries.remove(&query).expect("a question is answered twice");
        self.tally.locks_queried += 1;
        self.tally.locks_queried_over_a_change_of_host += u64::from(since < self.ledger.hosts);
        let tokens: Vec<_> = claims.iter().map_while(|claim| claim.token).collect();
        assert!(tokens.is_sorted(), "the holders in {claims:?} have no order");
        let waiting = &claims[tokens.len()..];
        assert!(waiting.iter().all(|claim| claim.token.is_none()), "no order in {claims:?}");
        let id = process.member.id();
        for lock in held.iter().filter_map(|lock| process.app.locks.get(lock)) {
            let own = |claim: &LockClaim| claim.member == id && claim.name == lock.name;
            let told = claims.iter().any(|claim| own(claim) && claim.token.is_some());
            assert!(told, "process {number} holds {:?}, which {claims:?} lacks", lock.name);
        }
    }

    fn put_out(&mut self, number: usize, reason: LeaveReason) {
        match reason {
            LeaveReason::Stalled => self.tally.put_out_stalled += 1,
            LeaveReason::NotBack => self.tally.put_out_not_back += 1,
            other => panic!("process {number} was put out: {other:?}"),
        }
        let process = &self.processes[number];
        let must_stay = process.socket.must_stay == Some(process.member.tenure());
        let late = reason == LeaveReason::NotBack;
        assert!(!(late && must_stay), "process {number} was back, with the newest replica");
        let id = self.new_id();
        let now = self.time();
        let hosts = self.processes[number].switchboard.is_some() && self.host == Some(number);
        self.tally.hosts_out_of_the_view += u64::from(hosts);
        let process = &mut self.processes[number];
        let holds = process.app.locks.values().any(|lock| lock.held);
        self.tally.held_while_out += u64::from(holds);
        process.app.floors.clear();
        process.app.expires = None;
        for sub in process.app.subs.values_mut() {
            sub.confirmed = None;
        }
        process.member.rejoin(id, now);
    }

    /// Takes the next message of a subscription.
    pub fn take_delivery(&mut self, number: usize, subscription: SubscriptionId) -> bool {
        let process = &mut self.processes[number];
        let Some(sub) = process.app.subs.get_mut(&subscription) else { return false };
        let Some(delivery) = process.member.next_delivery(subscription) else { return false };
        let message: Message = (delivery.publisher, delivery.publication);
        self.tally.delivered += 1;
        self.tally.missed += delivery.missed;
        assert!(sub.pattern.matches(&delivery.topic), "a topic that does not match");
        assert!(sub.latest || delivery.missed == 0, "messages are dropped");
        assert!(sub.seen.insert(message), "{message:?} is delivered twice to process {number}");
        let last = sub.last.insert(message.0, message.1);
        assert!(last < Some(message.1), "{message:?} comes after {last:?} to process {number}");
        if process.app.habits.eager && !sub.latest {
            sub.order.push((process.member.tenure(), message));
        }
        if !sub.latest {
            sub.taken.push((delivery.id, message, delivery.payload.len() + OVERHEAD));
            let held: usize = sub.taken.iter().map(|(.., cost)| cost).sum();
            let fits = held <= self.limits.window || sub.taken.len() == 1;
            assert!(fits, "process {number} holds {held} bytes for one subscription");
        }
        true
    }

    fn published(&mut self, number: usize, id: PublishId, end: PublishEnd) {
        let process = &mut self.processes[number];
        let since = process.app.publications.remove(&id).expect("a publication ends twice");
        if end != PublishEnd::Handled {
            self.tally.publications_unknown += 1;
            return;
        }
        self.tally.published += 1;
        self.tally.publications_over_a_change_of_host += u64::from(since < self.ledger.hosts);
        let message = (process.member.id(), id);
        let view: BTreeSet<_> = process.member.view().1.iter().map(|member| member.id).collect();
        for (other, subscription, member) in self.ledger.expected.remove(&message).unwrap() {
            let other = &self.processes[other];
            let stayed = other.life != Life::Dead && view.contains(&member);
            if let Some(sub) = other.app.subs.get(&subscription)
                && stayed
                && sub.confirmed == Some(member)
            {
                assert!(sub.handled.contains(&message), "{message:?} is lost at {member}");
            }
        }
    }

    fn call_ended(&mut self, text: &str, since: u64, end: CallEnd) {
        let runs = self.ledger.calls[text].1;
        let tally = &mut self.tally;
        match end {
            CallEnd::Answered(payload) => {
                assert_eq!(String::from_utf8(payload.to_vec()).unwrap().trim_end(), text);
                assert!(runs > 0, "{text} is answered and never ran");
                tally.answered += 1;
                tally.calls_over_a_change_of_host += u64::from(since < self.ledger.hosts);
            }
            CallEnd::Failed(reason) => {
                assert_eq!(reason.trim_end(), format!("no {text}"));
                tally.failed += 1;
            }
            CallEnd::Died => tally.died += 1,
            CallEnd::TimedOut => tally.timed_out += 1,
            CallEnd::NoSuchService => {
                assert_eq!(runs, 0, "{text} ran, and its service is said to be missing");
                tally.no_such_service += 1;
            }
            CallEnd::Cancelled => tally.cancelled += 1,
            CallEnd::Unknown => tally.calls_unknown += 1,
            other => panic!("what is {other:?}?"),
        }
    }

    fn run(&mut self, number: usize, run: Run) {
        let text = String::from_utf8(run.payload.to_vec()).unwrap().trim_end().to_string();
        let id = self.processes[number].member.id();
        let pusher = self.processes.iter().find(|one| one.member.id() == run.pusher);
        // A worker that was stopped may begin late: when it is out of the view already.
        let is_out = pusher.is_none_or(|pusher| {
            pusher.life == Life::Dead || pusher.member.view().1.iter().all(|one| one.id != id)
        });
        let record = self.ledger.jobs.get_mut(&text).expect("a job that was pushed");
        let attempt = run.attempt;
        assert!(record.attempts.insert(attempt), "attempt {attempt} of {text} runs twice");
        let is_last = record.attempts.last() == Some(&attempt);
        assert!(is_last || is_out, "attempt {attempt} of {text} comes late");
        assert!(record.max_attempts.is_none_or(|most| attempt <= most), "{text} runs too often");
        let again = record.attempts.len() > 1;
        self.tally.runs += 1;
        self.tally.runs_again += u64::from(again);
        let after_a_death = again && record.deaths < self.ledger.deaths;
        self.tally.runs_again_after_a_death += u64::from(after_a_death);
        record.deaths = self.ledger.deaths;
        let app = &mut self.processes[number].app;
        let (_, capacity) = app.workers[&run.worker];
        app.runs.push((run.id, run.worker, text));
        let running = app.runs.iter().filter(|(_, worker, _)| *worker == run.worker).count();
        assert!(
            running <= capacity as usize,
            "worker {} has more than it has room for",
            run.worker
        );
    }

    fn job_ended(&mut self, text: &str, since: u64, end: JobEnd) {
        let record = &self.ledger.jobs[text];
        self.tally.jobs_over_a_change_of_host += u64::from(since < self.ledger.hosts);
        match end {
            JobEnd::Done => {
                assert!(record.acked, "{text} is said to be done");
                self.tally.done += 1;
            }
            JobEnd::Exhausted(_) => {
                assert!(record.max_attempts.is_some(), "{text} has attempts left");
                self.tally.exhausted += 1;
            }
            JobEnd::Terminated(..) => self.tally.terminated += 1,
            other => panic!("what is {other:?}?"),
        }
    }

    fn wrote(&mut self, number: usize, written: Written, since: u64, end: WriteEnd) {
        let over = matches!(end, WriteEnd::Done { .. } | WriteEnd::Counted { .. });
        self.tally.writes_over_a_change_of_host += u64::from(over && since < self.ledger.hosts);
        let app = &mut self.processes[number].app;
        if let Written::Expiring { issued, until } = written {
            app.expiring = false;
            app.expires = over.then_some(until).filter(|until| *until > issued);
        }
        let number_of = match (end, &written) {
            (WriteEnd::Counted { number, .. }, Written::Counter(key)) => {
                self.tally.counted += 1;
                Some((key.clone(), number))
            }
            (WriteEnd::Done { revision }, Written::Counter(key)) => {
                // Its number is what it wrote, unless it was overwritten meanwhile.
                self.tally.written += 1;
                let found = self.processes[number].member.get(&name(key));
                found
                    .filter(|value| value.revision == revision)
                    .map(|value| (key.clone(), as_number(&value.bytes)))
            }
            (WriteEnd::Done { .. }, Written::Private(value)) => {
                self.tally.written += 1;
                Some((format!("p{number}"), *value as i64))
            }
            (WriteEnd::Done { .. } | WriteEnd::Counted { .. }, _) => None,
            (WriteEnd::Unchanged, _) => {
                self.tally.unchanged += 1;
                None
            }
            (WriteEnd::Conflict, _) => {
                self.tally.conflicts += 1;
                None
            }
            (WriteEnd::NotANumber, Written::Other) => {
                self.tally.not_a_number += 1;
                None
            }
            (WriteEnd::MapFull, _) => {
                self.tally.map_full += 1;
                None
            }
            (WriteEnd::Unknown, _) => {
                self.tally.writes_unknown += 1;
                None
            }
            (other, _) => panic!("{other:?} of {written:?}"),
        };
        let Some((key, value)) = number_of else { return };
        if self.processes[number].app.outdated {
            // The word of a host that does not know yet that it hosts no more. The channel
            // promises that it gives none.
            return;
        }
        let process = &self.processes[number];
        let view: BTreeSet<_> = process.member.view().1.iter().map(|member| member.id).collect();
        let holders = self.processes.iter().enumerate().filter_map(|(place, other)| {
            let id = other.member.id();
            // One whose snapshot is on its way has not joined yet.
            let joined = view.contains(&id) && other.member.mark().is_some();
            (other.life != Life::Dead && joined).then_some((place, id))
        });
        let holders = holders.collect();
        self.ledger.acknowledged.push(Acknowledged { key: key.clone(), number: value, holders });
        let floor = self.processes[number].app.floors.entry(key).or_default();
        *floor = (*floor).max(value);
        self.check_reads(number);
    }
}
