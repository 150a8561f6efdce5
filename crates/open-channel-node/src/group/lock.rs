//! A lock or a role, from the place in its line until it is let go.

use std::sync::Arc;

use napi_derive::napi;
use open_channel_group::{Error, Group, LockGuard, Token};

use super::{
    failure::{GroupFailure, thrown},
    futures::Awaited,
    group::NativeGroup,
};
use crate::hub::{Signal, reason};

/// The answers of `state`: the same numbers as in `js/group/native.ts`.
const WAITING: u32 = 0;
const HELD: u32 = 1;
const DENIED: u32 = 2;
const LOST: u32 = 3;
const FAILED: u32 = 4;

/// One lock that JavaScript holds or waits for.
#[napi]
pub struct NativeLock {
    signal: Arc<Signal>,
    state: State,
    /// Once it was held.
    token: Option<Token>,
}

enum State {
    Waiting(Awaited<Result<Option<LockGuard>, Error>>),
    Held { lost: Awaited<()> },
    Denied,
    Lost,
    Failed(Error),
    Released,
}

#[napi]
impl NativeLock {
    /// `mode` is `exclusive`, `shared` or `role`; `wait` is `wait`, `try` or `steal`. Raises
    /// `READABLE` when `state` has changed.
    #[napi(constructor)]
    pub fn new(
        group: &NativeGroup,
        token: u32,
        name: String,
        mode: String,
        wait: String,
    ) -> napi::Result<Self> {
        let signal = group.signal_like(token);
        let group = group.joined()?;
        let waiting = acquire(group, name, mode, wait);
        let state = State::Waiting(Awaited::new(&signal, reason::READABLE, waiting));
        let mut lock = Self { signal, state, token: None };
        lock.look();
        if let State::Failed(error) = lock.state {
            return Err(thrown(error));
        }
        Ok(lock)
    }

    /// Where it stands now.
    #[napi]
    pub fn state(&mut self) -> u32 {
        self.look();
        match self.state {
            State::Waiting(_) => WAITING,
            State::Held { .. } => HELD,
            State::Denied => DENIED,
            State::Lost | State::Released => LOST,
            State::Failed(_) => FAILED,
        }
    }

    /// Why it failed.
    #[napi]
    pub fn failure(&self) -> Option<GroupFailure> {
        match &self.state {
            State::Failed(error) => Some(error.clone().into()),
            _ => None,
        }
    }

    /// The fencing token in decimal digits, once it was held.
    #[napi]
    pub fn token(&self) -> Option<String> {
        self.token.map(|token| token.number().to_string())
    }

    /// Lets it go, or leaves the line.
    #[napi]
    pub fn release(&mut self) {
        self.state = State::Released;
    }
}

impl NativeLock {
    fn look(&mut self) {
        if let State::Waiting(waiting) = &mut self.state {
            match waiting.poll() {
                Some(Ok(Some(guard))) => self.state = self.hold(guard),
                Some(Ok(None)) => self.state = State::Denied,
                Some(Err(error)) => self.state = State::Failed(error),
                None => {}
            }
        }
        if let State::Held { lost } = &mut self.state
            && lost.poll().is_some()
        {
            self.state = State::Lost;
        }
    }

    /// The future has the guard: both are dropped together.
    fn hold(&mut self, guard: LockGuard) -> State {
        self.token = Some(guard.token());
        let lost = async move { guard.lost().await };
        State::Held { lost: Awaited::new(&self.signal, reason::READABLE, lost) }
    }
}

async fn acquire(
    group: Group,
    name: String,
    mode: String,
    wait: String,
) -> Result<Option<LockGuard>, Error> {
    match (&*mode, &*wait) {
        ("shared", "try") => group.try_lock_shared(&name).await,
        ("shared", _) => group.lock_shared(&name).await.map(Some),
        ("role", "steal") => group.steal_lead(&name).await.map(Some),
        ("role", _) => group.lead(&name).await.map(Some),
        (_, "try") => group.try_lock(&name).await,
        (_, "steal") => group.steal(&name).await.map(Some),
        _ => group.lock(&name).await.map(Some),
    }
}
