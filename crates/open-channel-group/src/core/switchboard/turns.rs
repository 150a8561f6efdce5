//! Locks: whose turn it is. The kernel decides who has one.

use std::collections::BTreeMap;

use super::counts::Counts;
use super::outgoing::Outgoing;
use crate::core::frame::{LockClaim, LockMode, LockName, LockWait, ToMember};
use crate::core::ids::{LockId, MemberId, Ticket, Token};
use crate::core::status::{LockStatus, MOST_HOLDERS};

/// Somebody who has a turn, or waits for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) member: MemberId,
    pub(crate) lock: LockId,
    pub(crate) mode: LockMode,
    pub(crate) wait: LockWait,
    pub(crate) token: Option<Token>,
}

#[derive(Debug, Default)]
struct Line {
    holders: Vec<Claim>,
    waiting: BTreeMap<Ticket, Claim>,
}

/// The switchboard's side of locks.
#[derive(Debug)]
pub(crate) struct Turns {
    tenure: u64,
    serving: bool,
    last: u64,
    lines: BTreeMap<LockName, Line>,
    names: BTreeMap<(MemberId, LockId), LockName>,
    counts: Counts,
}

impl Turns {
    pub(crate) fn new(tenure: u64) -> Self {
        Self {
            tenure,
            serving: false,
            last: 0,
            lines: BTreeMap::new(),
            names: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// All that held something, or waited, at the last host have said so: turns begin.
    pub(crate) fn begin(&mut self, outgoing: &mut Outgoing) {
        self.serving = true;
        let names: Vec<LockName> = self.lines.keys().cloned().collect();
        for name in names {
            self.advance(&name, outgoing);
        }
    }

    pub(crate) fn claim(
        &mut self,
        name: LockName,
        claim: Claim,
        ticket: Option<Ticket>,
        outgoing: &mut Outgoing,
    ) -> Result<(), &'static str> {
        let key = (claim.member, claim.lock);
        if self.names.contains_key(&key) {
            return Err("a lock is asked for twice");
        }
        self.counts.add(claim.member)?;
        self.names.insert(key, name.clone());
        let line = self.lines.entry(name.clone()).or_default();
        if claim.token.is_some() {
            line.holders.push(claim);
        } else {
            self.last += 1;
            let next = Ticket { tenure: self.tenure, number: self.last };
            let mut place = ticket.unwrap_or(next);
            if line.waiting.contains_key(&place) {
                place = next;
            }
            line.waiting.insert(place, claim);
            if ticket != Some(place) && claim.wait == LockWait::Wait {
                let lock = claim.lock;
                outgoing.push((claim.member, ToMember::Queued { lock, ticket: place }));
            }
        }
        self.advance(&name, outgoing);
        Ok(())
    }

    pub(crate) fn unlock(&mut self, member: MemberId, lock: LockId, outgoing: &mut Outgoing) {
        let Some(name) = self.names.remove(&(member, lock)) else { return };
        self.counts.remove(member);
        if let Some(line) = self.lines.get_mut(&name) {
            let is_it = |claim: &Claim| claim.member == member && claim.lock == lock;
            line.holders.retain(|claim| !is_it(claim));
            line.waiting.retain(|_, claim| !is_it(claim));
        }
        self.advance(&name, outgoing);
    }

    pub(crate) fn forget(&mut self, member: MemberId, outgoing: &mut Outgoing) {
        let first = (member, LockId(0));
        let last = (member, LockId(u64::MAX));
        let gone: Vec<LockId> =
            self.names.range(first..=last).map(|(&(_, lock), _)| lock).collect();
        for lock in gone {
            self.unlock(member, lock, outgoing);
        }
    }

    /// The holders in the order of their tokens, then those who wait in the order of their places.
    pub(crate) fn claims(&self) -> Vec<LockClaim> {
        let told = |name: &LockName, claim: &Claim| {
            let Claim { member, mode, token, .. } = *claim;
            LockClaim { name: name.clone(), mode, member, token }
        };
        let mut held = Vec::new();
        let mut waiting = Vec::new();
        for (name, line) in &self.lines {
            held.extend(line.holders.iter().map(|claim| told(name, claim)));
            waiting.extend(line.waiting.iter().map(|(place, claim)| (*place, told(name, claim))));
        }
        held.sort_by_key(|claim| claim.token);
        waiting.sort_by_key(|(place, _)| *place);
        held.extend(waiting.into_iter().map(|(_, claim)| claim));
        held
    }

    /// How many locks each member holds, and how many it waits for.
    pub(crate) fn counts(&self) -> BTreeMap<MemberId, (u64, u64)> {
        let mut counts: BTreeMap<MemberId, (u64, u64)> = BTreeMap::new();
        for line in self.lines.values() {
            line.holders.iter().for_each(|claim| counts.entry(claim.member).or_default().0 += 1);
            line.waiting.values().for_each(|claim| counts.entry(claim.member).or_default().1 += 1);
        }
        counts
    }

    /// How many locks there are, and the first of them.
    pub(crate) fn describe(&self, most: usize) -> (usize, Vec<LockStatus>) {
        let first = self.lines.iter().take(most).map(|(name, line)| LockStatus {
            name: name.clone(),
            holders: line.holders.iter().take(MOST_HOLDERS).map(|claim| claim.member).collect(),
            waiting: line.waiting.len() as u64,
        });
        (self.lines.len(), first.collect())
    }

    /// Gives all turns that can be given.
    fn advance(&mut self, name: &LockName, outgoing: &mut Outgoing) {
        if !self.serving {
            return;
        }
        let Some(line) = self.lines.get_mut(name) else { return };
        while let Some((&place, claim)) = line.next() {
            let (member, lock) = (claim.member, claim.lock);
            if let Some(mut claim) = line.waiting.remove(&place) {
                self.last += 1;
                let token = Token { tenure: self.tenure, number: self.last };
                claim.token = Some(token);
                line.holders.push(claim);
                outgoing.push((member, ToMember::Turn { lock, token }));
            }
            for claim in line.stolen() {
                self.names.remove(&(claim.member, claim.lock));
                self.counts.remove(claim.member);
                outgoing.push((claim.member, ToMember::Stolen { lock: claim.lock }));
            }
        }
        let tries: Vec<Ticket> = line
            .waiting
            .iter()
            .filter(|(_, claim)| claim.wait == LockWait::Try)
            .map(|(&place, _)| place)
            .collect();
        for claim in tries.iter().filter_map(|place| line.waiting.remove(place)) {
            self.names.remove(&(claim.member, claim.lock));
            self.counts.remove(claim.member);
            outgoing.push((claim.member, ToMember::Denied { lock: claim.lock }));
        }
        for claim in line.stolen() {
            self.names.remove(&(claim.member, claim.lock));
            self.counts.remove(claim.member);
            outgoing.push((claim.member, ToMember::Stolen { lock: claim.lock }));
        }
        if line.holders.is_empty() && line.waiting.is_empty() {
            self.lines.remove(name);
        }
    }
}

impl Line {
    /// The claim that gets a turn next, if any can: a steal, or the first in line.
    fn next(&self) -> Option<(&Ticket, &Claim)> {
        let stealing = self.waiting.iter().find(|(_, claim)| claim.wait == LockWait::Steal);
        if stealing.is_some() {
            return stealing;
        }
        let first = self.waiting.first_key_value()?;
        let shared = |claim: &Claim| claim.mode == LockMode::Shared;
        let free = match first.1.mode {
            LockMode::Exclusive => self.holders.is_empty(),
            LockMode::Shared => self.holders.iter().all(shared),
        };
        free.then_some(first)
    }

    /// Takes out the holders from whom another one has stolen the lock.
    fn stolen(&mut self) -> Vec<Claim> {
        let stealing = self.holders.iter().filter(|claim| claim.wait == LockWait::Steal);
        let Some(latest) = stealing.map(|claim| claim.token).max() else { return Vec::new() };
        self.holders.extract_if(.., |claim| claim.token < latest).collect()
    }
}
