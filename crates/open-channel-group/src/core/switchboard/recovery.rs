//! A new host: whom it waits for, and which replica goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::ids::{Mark, MemberId};
use crate::core::log::Log;
use crate::core::transfer::{Arriving, Transfer};
use crate::core::view::MemberView;

/// The next step of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for members, or for what is on its way.
    Wait,
    /// Ask this member for what follows this mark.
    Fetch(MemberId, Option<Mark>),
    /// Serve.
    Serve,
}

#[derive(Debug)]
struct Fetch {
    from: MemberId,
    /// The mark at which it is complete.
    until: Mark,
    arriving: Arriving,
    deadline: Duration,
}

/// The time between the election of a host and its service.
#[derive(Debug)]
pub(crate) struct Recovery {
    log: Option<Log>,
    /// There is nobody to wait for.
    first: bool,
    timeout: Duration,
    deadline: Duration,
    /// Members that are gone for good.
    gone: BTreeSet<MemberId>,
    fetch: Option<Fetch>,
}

impl Recovery {
    pub(crate) fn new(log: Option<Log>, first: bool, now: Duration, timeout: Duration) -> Self {
        Self { log, first, timeout, deadline: now + timeout, gone: BTreeSet::new(), fetch: None }
    }

    /// A member will not come, or is gone again.
    pub(crate) fn gone(&mut self, member: MemberId) {
        self.gone.insert(member);
        if self.fetch.as_ref().is_some_and(|fetch| fetch.from == member) {
            self.fetch = None;
        }
    }

    /// It has come after all.
    pub(crate) fn came(&mut self, member: MemberId) {
        self.gone.remove(&member);
    }

    /// The next step, given the members that are back and where they stand.
    pub(crate) fn step(&mut self, back: &BTreeMap<MemberId, Option<Mark>>, now: Duration) -> Step {
        if self.fetch.is_some() {
            return Step::Wait;
        }
        let mine = self.log.as_ref().map(Log::mark);
        let newest = back.iter().filter_map(|(&member, &mark)| Some((mark?, member))).max();
        if let Some((mark, member)) = newest
            && mine.is_none_or(|mine| mark > mine)
        {
            let deadline = now + self.timeout;
            self.fetch =
                Some(Fetch { from: member, until: mark, arriving: Arriving::default(), deadline });
            return Step::Fetch(member, mine);
        }
        let all_here = match &self.log {
            Some(log) => log
                .replica()
                .members
                .iter()
                .all(|member| back.contains_key(&member.id) || self.gone.contains(&member.id)),
            None => self.first,
        };
        if all_here || now >= self.deadline { Step::Serve } else { Step::Wait }
    }

    /// A piece of what was asked for.
    pub(crate) fn take(
        &mut self,
        from: MemberId,
        piece: Transfer,
        now: Duration,
    ) -> Result<(), &'static str> {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.from == from) else {
            return Err("a log that was not asked for");
        };
        if let Transfer::Entries { first, entries } = piece {
            let log = self.log.as_mut().ok_or("entries for no replica")?;
            if first != log.mark().position + 1 {
                return Err("an entry is missing before this one");
            }
            for logged in entries {
                log.append(logged, now)?;
                if log.mark() > fetch.until {
                    return Err("entries beyond the mark that was said");
                }
            }
        } else if let Some(log) = fetch.arriving.take(piece, now)? {
            if log.mark() != fetch.until {
                return Err("a snapshot of another mark");
            }
            self.log = Some(log);
        }
        if self.log.as_ref().is_some_and(|log| log.mark() >= fetch.until) {
            self.fetch = None;
        }
        Ok(())
    }

    /// The member that was asked and has not answered in time.
    pub(crate) fn overdue(&self, now: Duration) -> Option<MemberId> {
        self.fetch.as_ref().filter(|fetch| now >= fetch.deadline).map(|fetch| fetch.from)
    }

    pub(crate) fn next_timeout(&self) -> Duration {
        self.fetch.as_ref().map_or(self.deadline, |fetch| fetch.deadline)
    }

    /// The members that are known and not known to be gone.
    pub(crate) fn expected(&self) -> impl Iterator<Item = &MemberView> {
        let members = self.log.as_ref().map_or(&[][..], |log| &log.replica().members);
        members.iter().filter(|member| !self.gone.contains(&member.id))
    }

    pub(crate) fn into_log(self) -> Log {
        self.log.unwrap_or_default()
    }
}
