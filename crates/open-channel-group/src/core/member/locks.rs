//! Locks that this member holds or waits for.
//!
//! ```text
//!   lock ──▶ waiting ──Turn──▶ taking ──kernel_lock_taken──▶ held ──unlock──▶ gone
//!               ▲                 │ the file has a later token: the turn was an old one
//!               └─────────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Event, KernelRequest};
use crate::core::frame::{LockMode, LockName, LockWait, ToHost};
use crate::core::ids::{LockId, Ticket, Token};
use crate::core::limits::MAX_ITEMS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Taking(Token),
    Held(Token),
}

#[derive(Debug)]
struct Lock {
    name: LockName,
    mode: LockMode,
    wait: LockWait,
    ticket: Option<Ticket>,
    state: State,
}

/// The holder's side of locks.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    last: u64,
    open: BTreeMap<LockId, Lock>,
    kernel: VecDeque<KernelRequest>,
}

impl Locks {
    pub(crate) fn lock(
        &mut self,
        name: LockName,
        mode: LockMode,
        wait: LockWait,
        out: &mut Out,
    ) -> Result<LockId, Refused> {
        if self.open.len() >= MAX_ITEMS {
            return Err(Refused::Full);
        }
        self.last += 1;
        let id = LockId(self.last);
        let lock = Lock { name, mode, wait, ticket: None, state: State::Waiting };
        lock.present(id, out);
        self.open.insert(id, lock);
        Ok(id)
    }

    pub(crate) fn unlock(&mut self, id: LockId, out: &mut Out) -> Result<(), Refused> {
        let lock = self.open.remove(&id).ok_or(Refused::NotFound)?;
        if lock.state != State::Waiting {
            self.kernel.push_back(KernelRequest::Release { lock: id });
        }
        out.present(ToHost::Unlock { lock: id });
        Ok(())
    }

    pub(crate) fn queued(&mut self, id: LockId, ticket: Ticket) {
        if let Some(lock) = self.open.get_mut(&id) {
            lock.ticket = Some(ticket);
        }
    }

    pub(crate) fn turn(&mut self, id: LockId, token: Token, out: &mut Out) {
        let Some(lock) = self.open.get_mut(&id) else {
            // It was let go meanwhile, and the switchboard learns so by that.
            return;
        };
        if lock.state != State::Waiting {
            out.present(ToHost::Unlock { lock: id });
            return;
        }
        lock.state = State::Taking(token);
        self.kernel.push_back(KernelRequest::Take {
            lock: id,
            name: lock.name.clone(),
            mode: lock.mode,
            token,
            wait: lock.wait != LockWait::Try,
        });
    }

    /// The kernel lock is held. With `outdated`, its file has a later token.
    pub(crate) fn taken(
        &mut self,
        id: LockId,
        outdated: bool,
        out: &mut Out,
        events: &mut VecDeque<Event>,
    ) {
        let Some(lock) = self.open.get_mut(&id) else { return };
        let State::Taking(token) = lock.state else { return };
        if outdated {
            self.kernel.push_back(KernelRequest::Release { lock: id });
            lock.state = State::Waiting;
            out.present(ToHost::Unlock { lock: id });
            lock.present(id, out);
            return;
        }
        lock.state = State::Held(token);
        events.push_back(Event::Acquired { lock: id, token });
    }

    /// The kernel lock is not free, and was not to be waited for.
    pub(crate) fn busy(&mut self, id: LockId, out: &mut Out, events: &mut VecDeque<Event>) {
        if self.open.get(&id).is_some_and(|lock| matches!(lock.state, State::Taking(_))) {
            self.open.remove(&id);
            out.present(ToHost::Unlock { lock: id });
            events.push_back(Event::Denied(id));
        }
    }

    pub(crate) fn denied(&mut self, id: LockId, events: &mut VecDeque<Event>) {
        if self.open.get(&id).is_some_and(|lock| lock.state == State::Waiting) {
            self.open.remove(&id);
            events.push_back(Event::Denied(id));
        }
    }

    pub(crate) fn stolen(&mut self, id: LockId, out: &mut Out, events: &mut VecDeque<Event>) {
        if self.unlock(id, out).is_ok() {
            events.push_back(Event::Lost(id));
        }
    }

    /// Another host: it must know who holds what, and who waits, before it serves.
    pub(crate) fn present(&self, out: &mut Out) {
        for (&id, lock) in &self.open {
            lock.present(id, out);
        }
    }

    pub(crate) fn poll_kernel(&mut self) -> Option<KernelRequest> {
        self.kernel.pop_front()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

impl Lock {
    fn present(&self, lock: LockId, out: &mut Out) {
        let token = match self.state {
            State::Waiting => None,
            State::Taking(token) | State::Held(token) => Some(token),
        };
        out.present(ToHost::Lock {
            lock,
            name: self.name.clone(),
            mode: self.mode,
            wait: self.wait,
            ticket: self.ticket,
            token,
        });
    }
}
