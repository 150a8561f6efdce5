//! Questions of this member who holds locks and who waits for them.
//!
//! One is open at the switchboard at a time, which bounds what lies ready there. Each is asked on
//! its own all the same: its answer is true at some time after it was begun.

use std::collections::VecDeque;

use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::Event;
use crate::core::frame::{LockClaim, ToHost};
use crate::core::ids::LockQueryId;
use crate::core::limits::MAX_ITEMS;

#[derive(Debug, Default)]
pub(crate) struct Queries {
    last: u64,
    /// The first one is asked.
    open: VecDeque<LockQueryId>,
    /// What has come of its answer.
    claims: Vec<LockClaim>,
}

impl Queries {
    pub(crate) fn query(&mut self, out: &mut Out) -> Result<LockQueryId, Refused> {
        if self.open.len() >= MAX_ITEMS {
            return Err(Refused::Full);
        }
        self.last += 1;
        let query = LockQueryId(self.last);
        self.open.push_back(query);
        if self.open.len() == 1 {
            self.ask(out);
        }
        Ok(query)
    }

    pub(crate) fn answered(
        &mut self,
        query: LockQueryId,
        claims: Vec<LockClaim>,
        last: bool,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) -> Result<(), &'static str> {
        if self.open.front() != Some(&query) {
            return Err("an answer to no question");
        }
        self.claims.extend(claims);
        if last {
            self.open.pop_front();
            let claims = std::mem::take(&mut self.claims);
            events.push_back(Event::LocksQueried { query, claims });
            self.ask(out);
        }
        Ok(())
    }

    /// Another host serves.
    pub(crate) fn send_again(&mut self, out: &mut Out) {
        self.claims.clear();
        self.ask(out);
    }

    fn ask(&self, out: &mut Out) {
        if let Some(&query) = self.open.front() {
            out.send(ToHost::QueryLocks { query });
        }
    }
}
