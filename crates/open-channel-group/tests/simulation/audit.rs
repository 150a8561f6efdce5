//! Checks of the things that each one holds, and of the end.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use open_channel_group::core::{MapChange, OVERHEAD};

use crate::application::{as_number, name};
use crate::process::{Life, Message};
use crate::world::{LONGEST, World};

impl World {
    /// Reads are never behind own acknowledged writes, and never go back.
    pub fn check_reads(&mut self, number: usize) {
        let now = self.now;
        let process = &mut self.processes[number];
        if process.member.mark().is_none() {
            return;
        }
        for key in ["n0".into(), "n1".into(), format!("p{number}")] {
            let value = process.member.get(&name(&key)).map_or(0, |value| as_number(&value.bytes));
            let floor = process.app.floors.entry(key.clone()).or_default();
            assert!(value >= *floor, "process {number} reads {value} of {key} after {floor}");
            *floor = value;
            self.tally.reads_checked += 1;
        }
        if let Some(until) = process.app.expires
            && !process.app.expiring
        {
            let found = process.member.get(&name(&format!("t{number}"))).is_some();
            assert!(found || now >= until, "a key expires early at process {number}");
            if !found {
                self.tally.expired += 1;
                process.app.expires = None;
            }
        }
    }

    pub fn read_watch(&mut self, number: usize) {
        let process = &mut self.processes[number];
        let Some(watch) = process.app.watch else { return };
        if process.app.habits.never_watches {
            return;
        }
        while let Some(change) = process.member.next_change(watch) {
            assert!(process.app.watch_pending, "a change comes unannounced");
            match change {
                MapChange::Key(key) => {
                    self.tally.watched += 1;
                    match process.member.get(&key) {
                        Some(value) => {
                            process.app.shadow.insert(key.to_string(), value.bytes.clone());
                        }
                        None => {
                            process.app.shadow.remove(key.as_str());
                        }
                    }
                }
                MapChange::Missed(_) => {
                    self.tally.watches_that_missed += 1;
                    let all = process.member.entries();
                    let all = all.filter(|(key, _)| key.as_str().starts_with(process.app.prefix));
                    process.app.shadow =
                        all.map(|(key, value)| (key.to_string(), value.bytes.clone())).collect();
                }
            }
        }
        process.app.watch_pending = false;
    }

    /// Replicas at one mark are the same, and the events agree with the view.
    pub fn compare_replicas(&mut self, number: usize) {
        let member = &self.processes[number].member;
        let Some(mark) = member.mark() else { return };
        let app = &self.processes[number].app;
        if app.left || app.compared == Some(mark) {
            return;
        }
        let (view, members) = member.view();
        let ids: Vec<_> = members.iter().map(|member| member.id).collect();
        assert_eq!(app.view, ids, "the events of process {number} lead to another view");
        let mut hasher = DefaultHasher::new();
        (view, &ids).hash(&mut hasher);
        for member in members {
            (&member.services, &member.info.program).hash(&mut hasher);
        }
        for (key, value) in member.entries() {
            (key, &value.bytes, value.revision).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let known = *self.ledger.replicas.entry(mark).or_insert(hash);
        assert_eq!(known, hash, "process {number} has another replica at {mark:?}");
        self.tally.replicas_compared += 1;
        self.processes[number].app.compared = Some(mark);
    }

    /// The memory of a process for the group is bounded.
    pub fn check_memory(&self, number: usize) {
        let process = &self.processes[number];
        let window = self.limits.window + LONGEST + OVERHEAD;
        let processes = self.processes.len();
        // Each face, each subscription and watch, and the entries that are not stable.
        let entries = processes * (window + 600);
        let member = (6 + process.app.subs.len() + 1) * window + entries;
        assert!(process.member.memory() <= member, "{} > {member}", process.member.memory());
        if let Some(switchboard) = &process.switchboard {
            let each = 4 * window + entries + 2 * self.limits.map_bytes.min(10_000);
            let all = (processes + 2) * each;
            assert!(switchboard.memory() <= all, "{} > {all}", switchboard.memory());
        }
    }

    /// The end of the world.
    pub fn audit(&mut self) {
        let running: Vec<usize> =
            self.running().into_iter().filter(|&one| !self.processes[one].app.left).collect();
        let Some(&first) = running.first() else { return };
        let mark = self.processes[first].member.mark();
        let ids: BTreeSet<_> = running.iter().map(|&one| self.processes[one].member.id()).collect();
        for &number in &running {
            self.read_watch(number);
            let process = &self.processes[number];
            assert_eq!(process.member.mark(), mark, "process {number} is behind at the end");
            let view: BTreeSet<_> = process.app.view.iter().copied().collect();
            assert_eq!(view, ids, "the last view is of other processes");
            let unanswered = &process.app.lock_queries;
            assert!(unanswered.is_empty(), "questions of process {number} have no answer");
            assert_eq!(process.member.memory(), 0, "process {number} holds something at the end");
            let host = process.switchboard.as_ref();
            assert_eq!(host.map_or(0, |host| host.memory()), 0, "the host holds something");
            assert!(process.member.get(&name(&format!("t{number}"))).is_none(), "not expired");
            if process.app.watch.is_some() {
                let all = process.member.entries();
                let all = all.filter(|(key, _)| key.as_str().starts_with(process.app.prefix));
                let all: BTreeMap<String, Bytes> =
                    all.map(|(key, value)| (key.to_string(), value.bytes.clone())).collect();
                assert_eq!(process.app.shadow, all, "a watch of process {number} saw other values");
            }
        }
        self.audit_counters(first);
        self.audit_order();
    }

    /// Each write that was acknowledged, and is known to somebody who stayed, was applied once.
    fn audit_counters(&mut self, last: usize) {
        let stayed = |&(place, id): &(usize, _)| {
            let process = &self.processes[place];
            process.life == Life::Running && process.member.id() == id && !process.app.left
        };
        let mut numbers: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for one in &self.ledger.acknowledged {
            if !one.holders.iter().any(stayed) {
                continue;
            }
            let known = numbers.entry(&one.key).or_default();
            assert!(known.insert(one.number), "{} was {} twice", one.key, one.number);
            let writer_stayed = one.holders.iter().all(stayed);
            self.tally.acknowledged_by_the_dead += u64::from(!writer_stayed);
        }
        for (key, numbers) in numbers {
            let found = self.processes[last].member.get(&name(key));
            let value = found.map_or(0, |value| as_number(&value.bytes));
            let most = numbers.last().copied().unwrap_or_default();
            assert!(value >= most, "{key} is {value} after {most} was acknowledged");
            if let Some(&issued) = self.ledger.issued.get(key) {
                assert!(value >= numbers.len() as i64, "{key} has lost increments");
                assert!(value <= issued, "{key} is {value} after {issued} increments");
            }
        }
    }

    /// All subscriptions that read at once got what they have in common in one order, within each
    /// tenure.
    fn audit_order(&mut self) {
        let mut orders: BTreeMap<u64, Vec<Vec<Message>>> = BTreeMap::new();
        for sub in self.processes.iter().flat_map(|process| process.app.subs.values()) {
            let mut by_tenure: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
            for &(tenure, message) in &sub.order {
                by_tenure.entry(tenure).or_default().push(message);
            }
            for (tenure, order) in by_tenure {
                orders.entry(tenure).or_default().push(order);
            }
        }
        for orders in orders.values() {
            for (place, one) in orders.iter().enumerate() {
                let at: BTreeMap<_, _> = one.iter().zip(0..).collect();
                for other in &orders[place + 1..] {
                    let common: Vec<i32> =
                        other.iter().filter_map(|m| at.get(m).copied()).collect();
                    assert!(common.is_sorted(), "two orders in one tenure: {one:?}, {other:?}");
                    self.tally.order_compared += u64::from(common.len() > 1);
                }
            }
        }
    }
}
