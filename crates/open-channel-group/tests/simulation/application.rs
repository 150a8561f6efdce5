//! Applications, and the things that they do with a group.

use std::time::Duration;

use bytes::Bytes;
use open_channel_group::core::{
    CallOptions, Expect, LockMode, LockName, LockSpace, LockWait, Name, Outcome, Pattern, Refused,
    Target, Topic, Write,
};

use crate::ledger::JobRecord;
use crate::process::{HeldLock, Sub, Written};
use crate::world::{LONGEST, World, note};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Something one of which somebody has in hand.
fn some<T: Copy>(world: &mut World, from: Vec<T>) -> Option<T> {
    (!from.is_empty()).then(|| world.random.pick(&from))
}

impl World {
    /// An application does one thing.
    pub fn act(&mut self, number: usize) {
        let app = &self.processes[number].app;
        if app.left || app.out {
            return;
        }
        match self.random.below(100) {
            0..22 => self.publish(number),
            22..28 => self.subscribe(number),
            28..30 => self.unsubscribe(number),
            30..38 => self.read(number, 2),
            38..45 => self.call(number),
            45..49 => self.serve_service(number),
            49..52 => self.answer(number, None),
            52..53 => self.cancel(number),
            53..59 => self.lock(number),
            59..63 => self.unlock(number),
            63..69 => self.push(number),
            69..72 => self.work(number),
            72..78 => self.finish(number),
            78..79 => self.withdraw(number),
            79..95 => self.write(number),
            95..97 => self.watch(number),
            97 => self.query_locks(number),
            _ => self.check_reads(number),
        }
        self.attend(number);
    }

    fn payload(&mut self, kind: char, number: usize) -> (String, Bytes) {
        let text = format!("{kind}{number}.{}", self.processes[number].app.name());
        let padding = self.random.below(LONGEST - text.len());
        let bytes = format!("{text}{}", " ".repeat(padding));
        (text, Bytes::from(bytes))
    }

    fn full<T>(&mut self, result: Result<T, Refused>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Refused::Full) => {
                self.tally.window_full += 1;
                None
            }
            Err(Refused::Left) => None,
            Err(other) => panic!("refused: {other}"),
        }
    }

    fn publish(&mut self, number: usize) {
        let topic = Topic::new(self.random.pick(&["a.x", "a.y", "b.x", "a.x.z"])).unwrap();
        let (text, payload) = self.payload('m', number);
        let result = self.processes[number].member.publish(topic.clone(), payload);
        let Some(id) = self.full(result) else { return };
        let key = (self.processes[number].member.id(), id);
        note!(self, "process {number} publishes {text} to {topic} as {id}");
        let mut expected = Vec::new();
        for (other, process) in self.processes.iter().enumerate() {
            for (&subscription, sub) in &process.app.subs {
                let sure = sub.confirmed == Some(process.member.id()) && !process.app.out;
                if sure && !sub.latest && sub.pattern.matches(&topic) {
                    expected.push((other, subscription, process.member.id()));
                }
            }
        }
        self.ledger.expected.insert(key, expected);
        let hosts = self.ledger.hosts;
        self.processes[number].app.publications.insert(id, hosts);
    }

    fn subscribe(&mut self, number: usize) {
        if self.processes[number].app.subs.len() >= 3 {
            return;
        }
        let text = self.random.pick(&["a.*", "a.>", ">", "a.x", "*.x", "b.>"]);
        let pattern = Pattern::new(text).unwrap();
        let latest = self.random.chance(25);
        let process = &mut self.processes[number];
        let Ok(subscription) = process.member.subscribe(pattern.clone(), latest) else { return };
        note!(self, "process {number} subscribes to {pattern} as {subscription}, latest {latest}");
        let sub = Sub {
            pattern,
            latest,
            confirmed: None,
            taken: Vec::new(),
            seen: Default::default(),
            last: Default::default(),
            handled: Default::default(),
            order: Vec::new(),
        };
        process.app.subs.insert(subscription, sub);
    }

    fn unsubscribe(&mut self, number: usize) {
        let subs = self.processes[number].app.subs.keys().copied().collect();
        let Some(subscription) = some(self, subs) else { return };
        let process = &mut self.processes[number];
        process.member.unsubscribe(subscription).unwrap();
        process.app.subs.remove(&subscription);
    }

    /// Takes messages and handles some of those that were taken, in any order.
    pub fn read(&mut self, number: usize, most: usize) {
        if self.processes[number].app.habits.never_reads {
            return;
        }
        let subs: Vec<_> = self.processes[number].app.subs.keys().copied().collect();
        for subscription in subs {
            for _ in 0..most {
                self.take_delivery(number, subscription);
                let process = &mut self.processes[number];
                let Some(sub) = process.app.subs.get_mut(&subscription) else { continue };
                if sub.taken.is_empty() {
                    continue;
                }
                let place = self.random.below(sub.taken.len());
                let (delivery, message, _) = sub.taken.remove(place);
                process.member.handled(subscription, delivery).unwrap();
                sub.handled.insert(message);
                self.tally.handled += 1;
            }
        }
    }

    fn serve_service(&mut self, number: usize) {
        let service = self.random.pick(&["s0", "s0", "s1"]);
        let process = &mut self.processes[number];
        let serves = process.app.services.contains(service);
        if serves && self.random.chance(60) {
            return;
        }
        let process = &mut self.processes[number];
        let result = match serves {
            true => process.member.unserve(name(service)),
            false => process.member.serve(name(service)),
        };
        let Some(op) = self.full(result) else { return };
        let app = &mut self.processes[number].app;
        app.writes.insert(op, (Written::Other, self.ledger.hosts));
        if serves {
            app.services.remove(service);
        } else {
            app.services.insert(service.into());
        }
    }

    fn call(&mut self, number: usize) {
        let service = name(self.random.pick(&["s0", "s0", "s1", "s2"]));
        let mut options = CallOptions::default();
        options.deadline = Duration::from_millis(self.random.pick(&[20, 200, 2000, 20_000]));
        options.idempotent = self.random.chance(60);
        let now = self.time();
        if self.random.chance(20) {
            let (text, payload) = self.payload('a', number);
            let member = &mut self.processes[number].member;
            let result = member.call_all(&service, &payload, options, now);
            let Some(call) = self.full(result) else { return };
            note!(self, "process {number} calls all of {service} with {text}");
            self.processes[number].app.calls_to_all.insert(call);
            return;
        }
        let (text, payload) = self.payload('c', number);
        let members: Vec<_> =
            self.processes[number].member.view().1.iter().map(|member| member.id).collect();
        let target = match some(self, members) {
            Some(member) if self.random.chance(30) => Target::Member(member, service.clone()),
            _ => Target::Service(service.clone()),
        };
        let result = self.processes[number].member.call(target, payload, options, now);
        let Some(call) = self.full(result) else { return };
        note!(self, "process {number} calls {service} with {text}");
        self.ledger.calls.insert(text.clone(), (options.idempotent, 0));
        let hosts = self.ledger.hosts;
        self.processes[number].app.calls.insert(call, (text, hosts));
    }

    fn cancel(&mut self, number: usize) {
        let calls = self.processes[number].app.calls.keys().copied().collect();
        if let Some(call) = some(self, calls) {
            self.processes[number].member.cancel(call).unwrap();
        }
    }

    fn answer(&mut self, number: usize, which: Option<usize>) {
        let open = self.processes[number].app.requests.len();
        if open == 0 {
            return;
        }
        let place = which.unwrap_or_else(|| self.random.below(open));
        let fails = self.random.chance(20);
        let process = &mut self.processes[number];
        let (request, payload) = process.app.requests.swap_remove(place);
        let text = String::from_utf8(payload.to_vec()).unwrap();
        let answer = if fails { Err(format!("no {text}")) } else { Ok(payload.clone()) };
        match process.member.answer(request, answer) {
            Err(Refused::Full) => process.app.requests.push((request, payload)),
            result => result.unwrap(),
        }
    }

    fn lock(&mut self, number: usize) {
        if self.processes[number].app.locks.len() >= 3 {
            return;
        }
        let text = self.random.pick(&["l0", "l0", "l1"]);
        let space = self.random.pick(&[LockSpace::Lock, LockSpace::Lock, LockSpace::Lead]);
        let lock_name = LockName { space, name: name(text) };
        let mode = self.random.pick(&[LockMode::Exclusive, LockMode::Exclusive, LockMode::Shared]);
        let wait = match self.random.below(20) {
            0..4 => LockWait::Try,
            4 => LockWait::Steal,
            _ => LockWait::Wait,
        };
        let mode = if wait == LockWait::Steal { LockMode::Exclusive } else { mode };
        let process = &mut self.processes[number];
        let Ok(lock) = process.member.lock(lock_name.clone(), mode, wait) else { return };
        note!(self, "process {number} asks for {lock_name:?} as {lock}: {mode:?}, {wait:?}");
        let since = (self.ledger.deaths, self.ledger.hosts);
        process.app.locks.insert(lock, HeldLock { name: lock_name, mode, held: false, since });
    }

    fn unlock(&mut self, number: usize) {
        let locks = self.processes[number].app.locks.keys().copied().collect();
        let Some(lock) = some(self, locks) else { return };
        let process = &mut self.processes[number];
        let held = process.app.locks.remove(&lock).unwrap();
        note!(self, "process {number} lets {lock} of {:?} go", held.name);
        self.ledger.let_go(&held.name, number, lock);
        process.member.unlock(lock).unwrap();
    }

    fn query_locks(&mut self, number: usize) {
        let hosts = self.ledger.hosts;
        let process = &mut self.processes[number];
        let Ok(query) = process.member.query_locks() else { return };
        note!(self, "process {number} asks who has locks, as {query}");
        let locks = process.app.locks.iter().filter(|(_, lock)| lock.held);
        let held = locks.map(|(&lock, _)| lock).collect();
        process.app.lock_queries.insert(query, (held, hosts));
    }

    fn push(&mut self, number: usize) {
        let queue = self.random.pick(&["q0", "q1"]);
        let max_attempts = self.random.pick(&[None, None, Some(1), Some(2), Some(3)]);
        let (text, payload) = self.payload('j', number);
        let result = self.processes[number].member.push(name(queue), payload, max_attempts);
        let Some(job) = self.full(result) else { return };
        note!(self, "process {number} pushes {text} to {queue} as {job}");
        self.ledger.jobs.insert(text.clone(), JobRecord { max_attempts, ..JobRecord::default() });
        let hosts = self.ledger.hosts;
        self.processes[number].app.jobs.insert(job, (text, hosts));
    }

    fn withdraw(&mut self, number: usize) {
        let jobs = self.processes[number].app.jobs.keys().copied().collect();
        let Some(job) = some(self, jobs) else { return };
        let process = &mut self.processes[number];
        if process.member.withdraw(job).is_ok() {
            process.app.jobs.remove(&job);
            self.tally.withdrawn += 1;
        }
    }

    fn work(&mut self, number: usize) {
        let queue = self.random.pick(&["q0", "q1"]);
        let capacity = self.random.pick(&[1, 1, 2, 3]);
        let workers = self.processes[number].app.workers.keys().copied().collect();
        let process = &mut self.processes[number];
        if process.app.workers.len() < 2 {
            let Ok(worker) = process.member.work(name(queue), capacity) else { return };
            process.app.workers.insert(worker, (queue.into(), capacity));
        } else if let Some(worker) = some(self, workers) {
            let process = &mut self.processes[number];
            process.member.stop_work(worker).unwrap();
            process.app.workers.remove(&worker);
        }
    }

    fn finish(&mut self, number: usize) {
        let open = self.processes[number].app.runs.len();
        if open == 0 {
            return;
        }
        let place = self.random.below(open);
        let outcome = match self.random.below(10) {
            _ if self.calm => Outcome::Ack,
            0 => Outcome::Nak(Duration::ZERO),
            1 => Outcome::Nak(Duration::from_millis(30)),
            2 => Outcome::Term("it is no good".into()),
            _ => Outcome::Ack,
        };
        let process = &mut self.processes[number];
        let (run, _, text) = process.app.runs.swap_remove(place);
        note!(self, "process {number} finishes run {run} of {text}: {outcome:?}");
        if outcome == Outcome::Ack {
            self.ledger.jobs.get_mut(&text).unwrap().acked = true;
        }
        process.member.finish(run, outcome).unwrap();
        process.app.cancelled_runs.remove(&run);
    }

    fn write(&mut self, number: usize) {
        let now = self.now;
        let app = &mut self.processes[number].app;
        let counter = self.random.pick(&["n0", "n1"]);
        let (write, written) = match self.random.below(20) {
            0..5 => {
                app.private += 1;
                let value = Bytes::from(app.private.to_string());
                let key = name(&format!("p{number}"));
                (Write::Set { key, value, ttl: None }, Written::Private(app.private))
            }
            5..11 => {
                let write = Write::Increment { key: name(counter), by: 1, ttl: None };
                (write, Written::Counter(counter.into()))
            }
            11..15 => {
                let process = &self.processes[number];
                let found = process.member.get(&name(counter));
                let value = found.map_or(0, |value| as_number(&value.bytes));
                let expect = match found {
                    None => Expect::Absent,
                    Some(value) if self.random.chance(50) => {
                        Expect::Revision { revision: value.revision }
                    }
                    Some(value) => Expect::Value { bytes: value.bytes.clone() },
                };
                let value = Some(Bytes::from((value + 1).to_string()));
                let key = name(counter);
                let write = Write::CompareAndSet { key, expect, value, ttl: None };
                (write, Written::Counter(counter.into()))
            }
            15..17 if !app.expiring => {
                let ttl = self.random.pick(&[5, 60, 400]);
                app.expiring = true;
                let key = name(&format!("t{number}"));
                let value = Bytes::from_static(b"for a while");
                let ttl_of = Some(Duration::from_millis(ttl));
                let written = Written::Expiring { issued: now, until: now + ttl };
                (Write::Set { key, value, ttl: ttl_of }, written)
            }
            17 => {
                let key = name(self.random.pick(&["x0", "x1", "x2"]));
                let value = Bytes::from(vec![b'x'; self.random.below(LONGEST)]);
                (Write::Set { key, value, ttl: None }, Written::Other)
            }
            18 => {
                let key = name(self.random.pick(&["x0", "x1", "x2"]));
                (Write::Increment { key, by: 1, ttl: None }, Written::Other)
            }
            _ => {
                let key = name(self.random.pick(&["x0", "x1", "x2"]));
                (Write::Delete { key }, Written::Other)
            }
        };
        let result = self.processes[number].member.write(write.clone());
        let Some(op) = self.full(result) else {
            let app = &mut self.processes[number].app;
            match written {
                Written::Private(_) => app.private -= 1,
                Written::Expiring { .. } => app.expiring = false,
                _ => {}
            }
            return;
        };
        note!(self, "process {number} writes {write:?} as {op}");
        if let Written::Counter(key) = &written {
            *self.ledger.issued.entry(key.clone()).or_default() += 1;
        }
        let hosts = self.ledger.hosts;
        self.processes[number].app.writes.insert(op, (written, hosts));
    }

    fn watch(&mut self, number: usize) {
        if self.processes[number].app.watch.is_none() {
            let process = &mut self.processes[number];
            let prefix = self.random.pick(&["", "n", "p"]);
            let watch = process.member.watch(prefix);
            process.app.watch = Some(watch);
            process.app.prefix = prefix;
            process.app.shadow.clear();
            process.app.shadow.extend(
                process
                    .member
                    .entries()
                    .filter(|(key, _)| key.as_str().starts_with(prefix))
                    .map(|(key, value)| (key.to_string(), value.bytes.clone())),
            );
        } else if self.random.chance(70) {
            self.read_watch(number);
        }
    }

    /// In peace everybody finishes what is in hand, and begins nothing.
    pub fn calm_down(&mut self, number: usize) {
        if self.processes[number].app.left {
            return;
        }
        self.read(number, 100);
        while let Some(place) = self.processes[number].app.requests.len().checked_sub(1) {
            let before = place + 1;
            self.answer(number, Some(place));
            if self.processes[number].app.requests.len() == before {
                break;
            }
        }
        for _ in 0..self.processes[number].app.runs.len() {
            self.finish(number);
        }
        for _ in 0..self.processes[number].app.locks.len() {
            if self.random.chance(30) {
                self.let_go_of_held(number);
            }
        }
        for queue in ["q0", "q1"] {
            let process = &mut self.processes[number];
            if !process.app.workers.values().any(|(of, _)| of == queue)
                && let Ok(worker) = process.member.work(name(queue), 2)
            {
                process.app.workers.insert(worker, (queue.into(), 2));
            }
        }
        self.read_watch(number);
        self.check_reads(number);
        self.attend(number);
    }

    fn let_go_of_held(&mut self, number: usize) {
        let locks = &self.processes[number].app.locks;
        let held = locks.iter().find(|(_, lock)| lock.held).map(|(&lock, _)| lock);
        if let Some(lock) = held {
            let process = &mut self.processes[number];
            let held = process.app.locks.remove(&lock).unwrap();
            self.ledger.let_go(&held.name, number, lock);
            process.member.unlock(lock).unwrap();
        }
    }
}

pub fn as_number(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}
