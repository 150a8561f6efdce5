//! The kernel's locks, which decide who has a lock of the group.
//!
//! A file has the tokens of its holders, so that a turn that was given long ago is found out. One
//! record is 17 bytes: 1 for exclusive or 2 for shared, tenure, number, both little endian. An
//! exclusive holder leaves its record alone; shared ones append theirs, which needs no other lock.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use open_channel::hosting::{try_lock, unlock};

use super::directory::{Directory, leads_to};
use crate::core::{KernelRequest, LockId, LockMode, LockName, Token};

/// Between two attempts at a lock that another process has not let go yet.
const PAUSE: Duration = Duration::from_millis(5);
/// Attempts at a file that others remove at the same time.
const ATTEMPTS: u32 = 100;
const RECORD: usize = 17;
/// Beyond this length a file is not read.
const LONGEST: u64 = 1 << 20;

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Taken { lock: LockId, outdated: bool },
    Busy { lock: LockId },
}

#[derive(Debug)]
struct Waiting {
    lock: LockId,
    name: LockName,
    mode: LockMode,
    token: Token,
    wait: bool,
}

#[derive(Debug)]
struct Held {
    file: File,
    /// Another process may have the same open file, and is to go on holding the lock.
    lent: bool,
}

impl Held {
    /// Explicitly, unless it is lent, because a forked child has the same open file.
    fn release(&self) {
        if !self.lent {
            let _ = unlock(&self.file);
        }
    }
}

/// The kernel locks of one member.
#[derive(Debug, Default)]
pub(super) struct KernelLocks {
    held: HashMap<LockId, Held>,
    waiting: Vec<Waiting>,
    next: Option<Duration>,
}

impl KernelLocks {
    pub(super) fn request(
        &mut self,
        request: KernelRequest,
        directory: &Directory,
        now: Duration,
    ) -> Option<Report> {
        match request {
            KernelRequest::Take { lock, name, mode, token, wait } => {
                let waiting = Waiting { lock, name, mode, token, wait };
                let report = self.take(&waiting, directory);
                if report.is_none() {
                    self.waiting.push(waiting);
                    self.next.get_or_insert(now + PAUSE);
                }
                report
            }
            KernelRequest::Release { lock } => {
                self.waiting.retain(|waiting| waiting.lock != lock);
                if let Some(held) = self.held.remove(&lock) {
                    held.release();
                }
                None
            }
        }
    }

    /// The open file of a lock that is held. From now on the kernel's lock is held until all
    /// duplicates of it are closed, in whatever process.
    #[cfg(unix)]
    pub(super) fn lend(&mut self, lock: LockId) -> io::Result<File> {
        let held = self.held.get_mut(&lock).ok_or(io::ErrorKind::NotFound)?;
        let duplicate = held.file.try_clone()?;
        held.lent = true;
        Ok(duplicate)
    }

    /// Tries those again that are waited for.
    pub(super) fn handle_timeout(&mut self, directory: &Directory, now: Duration) -> Vec<Report> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let mut reports = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            match self.take(&waiting, directory) {
                Some(report) => reports.push(report),
                None => self.waiting.push(waiting),
            }
        }
        self.next = (!self.waiting.is_empty()).then_some(now + PAUSE);
        reports
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.next
    }

    fn take(&mut self, wanted: &Waiting, directory: &Directory) -> Option<Report> {
        let lock = wanted.lock;
        match try_take(wanted, directory) {
            Ok(Some((file, outdated))) => {
                self.held.insert(lock, Held { file, lent: false });
                Some(Report::Taken { lock, outdated })
            }
            Ok(None) if wanted.wait => None,
            Ok(None) => Some(Report::Busy { lock }),
            Err(error) => {
                tracing::warn!(name = %wanted.name.name, %error, "a lock's file cannot be used");
                (!wanted.wait).then_some(Report::Busy { lock })
            }
        }
    }
}

impl Drop for KernelLocks {
    fn drop(&mut self) {
        self.held.values().for_each(Held::release);
    }
}

/// The locked file, and whether it has a later token than the one that is to be left there.
fn try_take(wanted: &Waiting, directory: &Directory) -> io::Result<Option<(File, bool)>> {
    for _ in 0..ATTEMPTS {
        let (mut file, path) = directory.open_lock(&wanted.name, wanted.mode)?;
        match try_lock(&file, wanted.mode == LockMode::Shared) {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) if leads_to(&path, &file) => {
                let outdated = leave_token(&mut file, wanted.mode, wanted.token)?;
                return Ok(Some((file, outdated)));
            }
            // Somebody has just removed it.
            Ok(()) => {}
        }
    }
    Ok(None)
}

/// Leaves the token in a locked file; whether that had a later one.
fn leave_token(file: &mut File, mode: LockMode, token: Token) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let mut latest = Token::default();
    for record in bytes.chunks_exact(RECORD) {
        let found = read_record(record);
        let counts = mode == LockMode::Exclusive || found.0 == LockMode::Exclusive;
        if counts {
            latest = latest.max(found.1);
        }
    }
    if token <= latest {
        return Ok(true);
    }
    let record = write_record(mode, token);
    if mode == LockMode::Exclusive {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&record)?;
        file.set_len(RECORD as u64)?;
    } else {
        // One write at the end: the file of a shared holder was opened so.
        file.write_all(&record)?;
    }
    Ok(false)
}

fn write_record(mode: LockMode, token: Token) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[0] = match mode {
        LockMode::Exclusive => 1,
        LockMode::Shared => 2,
    };
    record[1..9].copy_from_slice(&token.tenure.to_le_bytes());
    record[9..17].copy_from_slice(&token.number.to_le_bytes());
    record
}

fn read_record(record: &[u8]) -> (LockMode, Token) {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let mode = if record[0] == 2 { LockMode::Shared } else { LockMode::Exclusive };
    (mode, Token { tenure: number(&record[1..9]), number: number(&record[9..17]) })
}
