//! The kernel's locks: files with holders, waiters, and the tokens that drivers leave in them.

use std::collections::BTreeMap;

use open_channel_group::core::{KernelRequest, LockId, LockMode, LockName, Token};

#[derive(Debug, Clone, Copy)]
pub struct Waiter {
    pub process: usize,
    pub lock: LockId,
    mode: LockMode,
    token: Token,
    wait: bool,
    /// The kernel has given it; its driver has not run since.
    granted: bool,
}

#[derive(Debug, Default)]
struct File {
    holders: Vec<(usize, LockId, LockMode)>,
    waiters: Vec<Waiter>,
    last: Token,
    last_exclusive: Token,
}

impl File {
    fn is_free(&self, mode: LockMode) -> bool {
        match mode {
            LockMode::Exclusive => self.holders.is_empty(),
            LockMode::Shared => self.holders.iter().all(|(.., mode)| *mode == LockMode::Shared),
        }
    }
}

/// A report of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    Taken { outdated: bool },
    Busy,
}

#[derive(Debug, Default)]
pub struct Kernel {
    files: BTreeMap<LockName, File>,
}

impl Kernel {
    pub fn request(&mut self, process: usize, request: KernelRequest) {
        match request {
            KernelRequest::Take { lock, name, mode, token, wait } => {
                let waiter = Waiter { process, lock, mode, token, wait, granted: false };
                self.files.entry(name).or_default().waiters.push(waiter);
            }
            KernelRequest::Release { lock } => {
                self.release(|one, other| (one, other) == (process, lock))
            }
        }
    }

    fn release(&mut self, which: impl Fn(usize, LockId) -> bool) {
        for file in self.files.values_mut() {
            file.holders.retain(|(process, lock, _)| !which(*process, *lock));
            file.waiters.retain(|waiter| !which(waiter.process, waiter.lock));
        }
    }

    pub fn death(&mut self, process: usize) {
        self.release(|one, _| one == process);
    }

    /// Those who wait, or have been given a lock and do not know yet.
    pub fn waiters(&self) -> Vec<(LockName, usize)> {
        self.files
            .iter()
            .flat_map(|(name, file)| (0..file.waiters.len()).map(|place| (name.clone(), place)))
            .collect()
    }

    /// Goes on with one waiter, whose driver may be running or not.
    pub fn advance(
        &mut self,
        name: &LockName,
        place: usize,
        runs: impl Fn(usize) -> bool,
    ) -> Option<(Waiter, Report)> {
        let file = self.files.get_mut(name)?;
        let mut waiter = *file.waiters.get(place)?;
        let free = file.is_free(waiter.mode);
        if !waiter.granted && free && (waiter.wait || runs(waiter.process)) {
            file.holders.push((waiter.process, waiter.lock, waiter.mode));
            waiter.granted = true;
            file.waiters[place] = waiter;
        }
        if !runs(waiter.process) || (!waiter.granted && waiter.wait) {
            return None;
        }
        file.waiters.remove(place);
        if !waiter.granted {
            return Some((waiter, Report::Busy));
        }
        let outdated = match waiter.mode {
            LockMode::Exclusive => waiter.token <= file.last,
            LockMode::Shared => waiter.token <= file.last_exclusive,
        };
        file.last = file.last.max(waiter.token);
        if waiter.mode == LockMode::Exclusive {
            file.last_exclusive = file.last_exclusive.max(waiter.token);
        }
        Some((waiter, Report::Taken { outdated }))
    }
}
