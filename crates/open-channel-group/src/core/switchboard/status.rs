//! The answer of a switchboard to the question how its group is.

use super::membership::Switchboard;
use crate::core::status::{GroupStatus, MOST_BYTES, MOST_DESCRIBED, MemberStatus};

impl Switchboard {
    /// How the group of this name is, with at most this many members, locks and queues. The answer
    /// is bounded, however large the group is.
    pub fn status(&self, name: &str, most: usize) -> GroupStatus {
        let most = most.min(MOST_DESCRIBED);
        let replica = self.log.replica();
        let mut described = 0;
        let members = replica.members.iter().take(most).take_while(|member| {
            let services = member.services.iter().map(|service| service.as_str().len());
            described += member.info.cost() + services.sum::<usize>();
            described <= MOST_BYTES
        });
        let locks = self.turns.counts();
        let members = members.map(|member| {
            let topics = self.topics.of(member.id);
            let (locks_held, locks_waited_for) = locks.get(&member.id).copied().unwrap_or_default();
            let jobs = self.queues.of(member.id);
            MemberStatus {
                view: member.clone(),
                subscription_count: topics.subscriptions,
                subscriptions: topics.patterns,
                unhandled: topics.unhandled,
                locks_held,
                locks_waited_for,
                workers: jobs.workers,
                jobs_running: jobs.running,
                jobs_waiting: jobs.waiting,
            }
        });
        let members = members.collect();
        let (locks, queues) = (self.turns.describe(most), self.queues.describe(most));
        let map = &replica.map;
        GroupStatus {
            name: name.into(),
            tenure: self.tenure,
            serving: self.is_serving(),
            member_count: replica.members.len() as u64,
            members,
            lock_count: locks.0 as u64,
            locks: locks.1,
            queue_count: queues.0 as u64,
            queues: queues.1,
            publications: self.topics.under_way(),
            map: (map.iter().count() as u64, map.bytes() as u64),
        }
    }
}
