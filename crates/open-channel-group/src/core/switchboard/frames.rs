//! The frames of members, and how the switchboard takes them.

use super::links::Standing;
use super::membership::{LARGEST_WINDOW, Phase, Switchboard};
use super::turns::Claim;
use crate::core::entry::Entry;
use crate::core::frame::{ExchangeFrame, LockClaim, RequestBody, ToHost, ToMember};
use crate::core::ids::{LinkId, LockQueryId, MemberId, OpId};
use crate::core::transfer::{self, Transfer};
use crate::core::write::Write;

const TOO_LARGE: &str = "a payload that is larger than allowed";

/// Frames.
impl Switchboard {
    pub(crate) fn take(&mut self, link: LinkId, frame: ToHost) -> Result<(), &'static str> {
        if let ToHost::Hello { member, info, window, mark } = frame {
            return self.hello(link, member, info, window, mark);
        }
        let Some(this) = self.links.get(link) else { return Ok(()) };
        let (standing, window) = (this.standing, this.window);
        // A member that was put out learns so soon; until then its frames are dropped.
        let Some(member) = this.member else { return Ok(()) };
        let outgoing = &mut self.outgoing;
        match frame {
            ToHost::Back => self.back(link),
            ToHost::Subscribe { subscription, pattern, held } => {
                self.topics.subscribe(member, subscription, pattern, window as u64, held)?;
                outgoing.push((member, ToMember::Subscribed { subscription }));
            }
            ToHost::Unsubscribe { subscription } => {
                self.topics.unsubscribe(member, subscription, outgoing);
            }
            ToHost::Released { subscription, bytes } => {
                self.topics.released(member, subscription, bytes);
            }
            ToHost::Handled { subscription, number } => {
                self.topics.handled(member, subscription, number, outgoing);
            }
            ToHost::Lock { lock, name, mode, wait, ticket, token } => {
                let claim = Claim { member, lock, mode, wait, token };
                self.turns.claim(name, claim, ticket, outgoing)?;
            }
            ToHost::Unlock { lock } => self.turns.unlock(member, lock, outgoing),
            ToHost::Work { worker, queue, capacity } => {
                self.queues.work(member, worker, queue, capacity, outgoing)?;
            }
            ToHost::Busy { worker, pusher, exchange } => {
                self.queues.busy(member, worker, pusher, exchange)?;
            }
            ToHost::StopWork { worker } => self.queues.stop_work(member, worker),
            ToHost::Log { piece } => self.take_log(member, piece)?,
            _ if standing != Standing::Member => return Err("a frame before the host serves"),
            frame => self.take_of_member(link, member, window, frame)?,
        }
        Ok(())
    }

    fn take_of_member(
        &mut self,
        link: LinkId,
        member: MemberId,
        window: usize,
        frame: ToHost,
    ) -> Result<(), &'static str> {
        let max = self.limits.max_payload;
        let outgoing = &mut self.outgoing;
        match frame {
            ToHost::Publish { payload, .. } if payload.len() > max => return Err(TOO_LARGE),
            ToHost::Send { frame, .. } if frame.len() > max => return Err(TOO_LARGE),
            ToHost::Write { write, .. } if write.len() > max => return Err(TOO_LARGE),
            ToHost::Have { position } => {
                let last = self.log.mark().position;
                if position > last {
                    return Err("a confirmation of an entry that was never written");
                }
                self.links.confirm(link, position, last, self.clock.elapsed());
                self.settle();
            }
            ToHost::Publish { number, topic, payload } => {
                self.topics.publish(member, window, (number, topic, payload), outgoing)?;
            }
            ToHost::Push { job, queue } => {
                self.queues.push(member, window, job, queue, outgoing)?
            }
            ToHost::Withdraw { job } => self.queues.withdraw(member, job),
            ToHost::Decline { job, member: worker_of, worker } => {
                self.queues.decline(member, job, (worker_of, worker), outgoing);
            }
            ToHost::Send { to, frame } => self.route(link, member, to, frame)?,
            ToHost::Write { op, write } => self.write(member, op, write)?,
            ToHost::Leave => self.leave(link, member),
            ToHost::QueryLocks { query } => self.query_locks(link, query)?,
            _ => return Err("a frame that has no place here"),
        }
        Ok(())
    }

    fn take_log(&mut self, member: MemberId, piece: Transfer) -> Result<(), &'static str> {
        let Phase::Recovering(recovery) = &mut self.phase else { return Ok(()) };
        recovery.take(member, piece, self.clock.now())?;
        self.recover();
        Ok(())
    }

    fn route(
        &mut self,
        link: LinkId,
        from: MemberId,
        to: MemberId,
        frame: ExchangeFrame,
    ) -> Result<(), &'static str> {
        match &frame {
            ExchangeFrame::Request { exchange, body: RequestBody::Job { job, worker, .. } } => {
                self.queues.started(from, *exchange, *job, (to, *worker));
            }
            ExchangeFrame::Answer { exchange, .. } => {
                self.queues.ended(from, to, *exchange, &mut self.outgoing);
            }
            _ => {}
        }
        let served = |link: &LinkId| {
            self.links.get(*link).is_some_and(|link| link.standing == Standing::Member)
        };
        // Its sender learns from the log that the other is gone.
        let Some(to) = self.links.of(to).filter(served) else { return Ok(()) };
        let window = self.links.get_mut(link).window;
        let most = window.saturating_add(self.limits.max_payload).saturating_mul(4);
        let frame = ToMember::Forward { from, frame };
        self.links.route(link, to, frame, most, self.clock.elapsed())
    }

    fn write(&mut self, origin: MemberId, op: OpId, write: Write) -> Result<(), &'static str> {
        let window = self.limits.window.saturating_mul(LARGEST_WINDOW);
        let each = window.saturating_add(self.limits.max_payload).saturating_mul(2);
        let most = each.saturating_mul(self.log.replica().members.len());
        if self.log.held_bytes() > most {
            return Err("more writes than the windows have room for");
        }
        match write.evaluate(origin, self.log.replica(), self.limits.map_bytes) {
            Ok(change) => self.append(Entry::Write { origin, op, change }),
            Err(end) => self.outgoing.push((origin, ToMember::Wrote { op, end })),
        }
        Ok(())
    }

    fn query_locks(&mut self, link: LinkId, query: LockQueryId) -> Result<(), &'static str> {
        if self.links.has_locks(link) {
            return Err("a question before the last one was answered");
        }
        // The turns of what came before are told before.
        self.post_outgoing();
        for frame in lock_pieces(query, self.turns.claims()) {
            self.links.post(link, frame, self.clock.elapsed());
        }
        Ok(())
    }

    pub(crate) fn expire(&mut self) {
        let now = self.clock.now();
        while let Some((at, key)) = self.log.replica().map.next_expiry()
            && *at <= now
        {
            let key = key.clone();
            self.append(Entry::Expire { key });
        }
    }
}

/// An answer in pieces; one at least.
fn lock_pieces(query: LockQueryId, claims: Vec<LockClaim>) -> Vec<ToMember> {
    let pieces = transfer::pieces(claims.into_iter(), LockClaim::cost);
    let count = pieces.len();
    if pieces.is_empty() {
        return vec![ToMember::Locks { query, claims: Vec::new(), last: true }];
    }
    let number = pieces.into_iter().enumerate();
    number
        .map(|(number, claims)| ToMember::Locks { query, claims, last: number + 1 == count })
        .collect()
}
