//! All that is known of everybody, to check what each one is given.

use std::collections::{BTreeMap, BTreeSet};

use open_channel_group::core::{LockId, LockMode, LockName, Mark, MemberId, SubscriptionId, Token};

use crate::process::Message;

/// A lock that somebody has.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub process: usize,
    pub lock: LockId,
    pub mode: LockMode,
}

#[derive(Debug, Default)]
pub struct LockRecord {
    pub holders: Vec<Holder>,
    last: Token,
    last_exclusive: Token,
}

#[derive(Debug, Default)]
pub struct JobRecord {
    pub max_attempts: Option<u32>,
    /// The attempts that have begun at some worker.
    pub attempts: BTreeSet<u32>,
    pub acked: bool,
    /// Deaths when it began to run last.
    pub deaths: u64,
}

#[derive(Debug)]
pub struct Acknowledged {
    pub key: String,
    pub number: i64,
    /// Every member of the view: each one has it.
    pub holders: Vec<(usize, MemberId)>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// The members that surely had a subscription when a message was published.
    pub expected: BTreeMap<Message, Vec<(usize, SubscriptionId, MemberId)>>,
    /// How often each call has run, and whether it may do so more than once.
    pub calls: BTreeMap<String, (bool, u32)>,
    pub locks: BTreeMap<LockName, LockRecord>,
    pub jobs: BTreeMap<String, JobRecord>,
    pub acknowledged: Vec<Acknowledged>,
    pub issued: BTreeMap<String, i64>,
    /// The hash of the replicas at each mark.
    pub replicas: BTreeMap<Mark, u64>,
    pub deaths: u64,
    pub hosts: u64,
    pub members: BTreeSet<MemberId>,
}

impl Ledger {
    pub fn acquired(&mut self, name: &LockName, holder: Holder, token: Token) {
        let record = self.locks.entry(name.clone()).or_default();
        let shared = |holder: &Holder| holder.mode == LockMode::Shared;
        match holder.mode {
            LockMode::Exclusive => {
                assert!(record.holders.is_empty(), "{name:?} has two holders: {record:?}");
                assert!(token > record.last, "the token of {name:?} does not grow");
                record.last_exclusive = token;
            }
            LockMode::Shared => {
                assert!(record.holders.iter().all(shared), "{name:?} has two holders: {record:?}");
                assert!(token > record.last_exclusive, "the token of {name:?} does not grow");
            }
        }
        record.last = record.last.max(token);
        record.holders.push(holder);
    }

    pub fn let_go(&mut self, name: &LockName, process: usize, lock: LockId) {
        if let Some(record) = self.locks.get_mut(name) {
            record.holders.retain(|one| (one.process, one.lock) != (process, lock));
        }
    }

    pub fn death(&mut self, process: usize) {
        self.deaths += 1;
        for record in self.locks.values_mut() {
            record.holders.retain(|holder| holder.process != process);
        }
    }
}
