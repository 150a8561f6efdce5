//! Who hosts: a kernel lock says who is alive, one atomic `symlink(2)` per generation says who won.
//!
//! A channel's directory holds, for each process that hosts or tries to, `<token>.lock` (empty, locked for as
//! long as that process lives) and `<token>.sock` (bound and listening), and for each generation a symbolic link
//! `<generation>` whose target *text* is the token of the host; links are read, never followed. Creating
//! a link is exclusive, so a generation has one host, and what it publishes is locked and listening already:
//! nobody can be stopped half-way and hold the others up. Neither the empty file nor the short link needs a
//! data block, so that a full disk does not keep a channel captive.
//!
//! The host is the one of the highest generation. The next generation may be opened when that host's lock is free
//! (the kernel frees it at any kind of death) or when it has not answered for the host timeout. A host that finds a
//! generation above its own has been fenced off. The last link always stays: it is the memory of the generation.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::link::unix;
use crate::rendezvous::{ChannelDir, Endpoint, Privacy};

/// Digits of a generation's file name: all of a `u64`, so that names sort like numbers.
const GENERATION_DIGITS: usize = 20;
const LOCK: &str = ".lock";
const NEW_LOCK: &str = ".new";
const SOCKET: &str = ".sock";

/// Names one host's files; random, so that nobody ever removes a successor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    fn random() -> io::Result<Self> {
        getrandom::u64().map(Self).map_err(|error| io::Error::other(error.to_string()))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16)?;
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if lower { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    fn lock(self) -> String {
        format!("{self}{LOCK}")
    }

    fn new_lock(self) -> String {
        format!("{self}{NEW_LOCK}")
    }

    fn socket(self) -> String {
        format!("{self}{SOCKET}")
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A host as its directory tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) token: Token,
}

impl Published {
    pub(crate) fn endpoint(&self, dir: &Arc<ChannelDir>) -> io::Result<Endpoint> {
        dir.endpoint(&self.token.socket())
    }

    /// Whether the process that published this still holds its lock.
    pub(crate) fn is_locked(&self, dir: &ChannelDir) -> io::Result<bool> {
        is_locked(dir, &self.token.lock())
    }
}

fn open_lock(dir: &ChannelDir, lock: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(dir.fd(), lock, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_locked(dir: &ChannelDir, lock: &str) -> io::Result<bool> {
    let Some(file) = open_lock(dir, lock)? else { return Ok(false) };
    // Shared, so that several who look at once do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The host of the highest generation, alive or not; `None` in a directory that never had one.
pub(crate) fn current(dir: &ChannelDir) -> io::Result<Option<Published>> {
    let mut latest = None;
    for generation in entries(dir)?.into_iter().filter_map(Entry::generation) {
        if latest.is_some_and(|(highest, _)| generation <= highest) {
            continue;
        }
        if let Some(token) = read_link(dir, generation)? {
            latest = Some((generation, token));
        }
    }
    Ok(latest.map(|(generation, token)| Published { generation, token }))
}

/// Whether some process holds a lock here: one that is about to publish itself, or a host whose link something
/// deleted, which it will put back.
pub(crate) fn is_inhabited(dir: &ChannelDir) -> io::Result<bool> {
    for entry in entries(dir)? {
        if let Entry::Lock(token) = entry
            && is_locked(dir, &token.lock())?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_link(dir: &ChannelDir, generation: u64) -> io::Result<Option<Token>> {
    match rustix::fs::readlinkat(dir.fd(), link_name(generation), Vec::new()) {
        Ok(target) => Ok(Token::parse(target.as_bytes())),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn exists(dir: &ChannelDir, name: &str) -> io::Result<bool> {
    match rustix::fs::statat(dir.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn link_name(generation: u64) -> String {
    format!("{generation:0GENERATION_DIGITS$}")
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Generation(u64),
    Lock(Token),
    NewLock(Token),
    Socket(Token),
}

impl Entry {
    fn parse(name: &[u8]) -> Option<Self> {
        let token = |suffix: &str| name.strip_suffix(suffix.as_bytes()).and_then(Token::parse);
        if let Some(token) = token(LOCK) {
            return Some(Self::Lock(token));
        }
        if let Some(token) = token(NEW_LOCK) {
            return Some(Self::NewLock(token));
        }
        if let Some(token) = token(SOCKET) {
            return Some(Self::Socket(token));
        }
        let digits = std::str::from_utf8(name).ok().filter(|name| name.len() == GENERATION_DIGITS)?;
        digits
            .parse()
            .ok()
            .filter(|&generation| generation > 0 && generation < u64::MAX)
            .map(Self::Generation)
    }

    fn generation(self) -> Option<u64> {
        match self {
            Self::Generation(generation) => Some(generation),
            Self::Lock(_) | Self::NewLock(_) | Self::Socket(_) => None,
        }
    }
}

fn entries(dir: &ChannelDir) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir.fd())? {
        found.extend(Entry::parse(entry?.file_name().to_bytes()));
    }
    Ok(found)
}

/// Ready to host: locked and listening under a token that nobody knows yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    dir: Arc<ChannelDir>,
    token: Token,
    /// Held until the files are removed; the kernel frees it with the process.
    lock: File,
    endpoint: Endpoint,
    listener: Option<UnixListener>,
}

impl Candidate {
    pub(crate) fn prepare(dir: &Arc<ChannelDir>) -> io::Result<Self> {
        let token = Token::random()?;
        let endpoint = dir.endpoint(&token.socket())?;
        let lock = make_lock(dir, token)?;
        let mut candidate = Self { dir: Arc::clone(dir), token, lock, endpoint, listener: None };
        candidate.listener = Some(candidate.listen()?);
        Ok(candidate)
    }

    fn listen(&self) -> io::Result<UnixListener> {
        let listener = unix::listen(self.endpoint.path())?;
        if self.dir.privacy() == Privacy::Shared {
            let everybody = Mode::RWXU | Mode::RWXG | Mode::RWXO;
            rustix::fs::chmodat(self.dir.fd(), self.token.socket(), everybody, AtFlags::empty())?;
        }
        Ok(listener)
    }

    /// Tries to become the host of `generation`; `None` when somebody else is.
    pub(crate) fn publish(self, generation: u64) -> io::Result<Option<Tenure>> {
        match rustix::fs::symlinkat(self.token.to_string(), self.dir.fd(), link_name(generation)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let tenure = Tenure { candidate: self, generation };
        // Whoever was stopped before publishing may have won a generation that is history by now.
        if tenure.is_fenced()? {
            remove(&tenure.candidate.dir, &link_name(generation));
            return Ok(None);
        }
        tenure.sweep()?;
        Ok(Some(tenure))
    }
}

fn make_lock(dir: &ChannelDir, token: Token) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Others who may join must be able to try the lock.
    let mode = match dir.privacy() {
        Privacy::Private => Mode::RUSR | Mode::WUSR,
        Privacy::Shared => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
    };
    let lock = File::from(rustix::fs::openat(dir.fd(), token.new_lock(), flags, mode)?);
    // It gets its name when it is locked, or a host's sweep would take it for a dead one's.
    let named = lock
        .try_lock()
        .map_err(io::Error::from)
        .and_then(|()| Ok(rustix::fs::renameat(dir.fd(), token.new_lock(), dir.fd(), token.lock())?));
    if named.is_err() {
        remove(dir, &token.new_lock());
    }
    named.map(|()| lock)
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody takes half-removed files for a live host's.
        remove(&self.dir, &self.token.socket());
        remove(&self.dir, &self.token.lock());
    }
}

fn remove(dir: &ChannelDir, name: &str) {
    // What cannot be removed is removed by the next host's sweep.
    let _ = rustix::fs::unlinkat(dir.fd(), name, AtFlags::empty());
}

/// Removes a lock file that nobody holds, and the socket that goes with it. Holds the lock meanwhile: whoever is
/// stopped in the middle of this must not remove the files of one that has come to life since.
fn remove_if_free(dir: &ChannelDir, lock: &str, socket: Option<&str>) -> io::Result<()> {
    let Some(file) = open_lock(dir, lock)? else { return Ok(()) };
    match file.try_lock() {
        Ok(()) => {
            socket.into_iter().chain([lock]).for_each(|name| remove(dir, name));
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The right to host one generation; ends when dropped.
#[derive(Debug)]
pub(crate) struct Tenure {
    candidate: Candidate,
    generation: u64,
}

impl Tenure {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The listener, once.
    pub(crate) fn take_listener(&mut self) -> Option<UnixListener> {
        self.candidate.listener.take()
    }

    /// Where others connect.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.candidate.endpoint.clone()
    }

    /// Whether a higher generation exists.
    pub(crate) fn is_fenced(&self) -> io::Result<bool> {
        Ok(current(&self.candidate.dir)?.is_some_and(|latest| latest.generation > self.generation))
    }

    /// Puts back what something deleted under a live host: its lock, its link, and its socket file, for which a
    /// new listener is returned.
    pub(crate) fn restore(&mut self) -> io::Result<Option<UnixListener>> {
        let Candidate { dir, token, lock, .. } = &mut self.candidate;
        if !exists(dir, &token.lock())? {
            *lock = make_lock(dir, *token)?;
        }
        if read_link(dir, self.generation)?.is_none() {
            match rustix::fs::symlinkat(token.to_string(), dir.fd(), link_name(self.generation)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            // A successor may have swept it away since this host looked last: it must not come back, for a host that finds
            // its own link takes it for the latest. The successor's link was there before it swept.
            if current(dir)?.is_some_and(|latest| latest.generation > self.generation) {
                remove(dir, &link_name(self.generation));
                return Ok(None);
            }
        }
        if exists(dir, &token.socket())? {
            return Ok(None);
        }
        self.candidate.listen().map(Some)
    }

    pub(crate) fn fence(&self, host_timeout: Duration) -> Fence {
        let fence = Fence {
            dir: Arc::clone(&self.candidate.dir),
            generation: self.generation,
            token: self.candidate.token,
            lease: lease(host_timeout),
            lease_until: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        };
        fence.renew();
        fence
    }

    /// Removes what dead hosts and candidates left behind. Links go last and lowest first, so that the
    /// highest generation is visible at every moment.
    fn sweep(&self) -> io::Result<()> {
        let dir = &self.candidate.dir;
        let mut past = Vec::new();
        for entry in entries(dir)? {
            match entry {
                Entry::Generation(generation) if generation < self.generation => past.push(generation),
                Entry::Generation(_) => {}
                Entry::NewLock(token) => remove_if_free(dir, &token.new_lock(), None)?,
                Entry::Lock(token) => remove_if_free(dir, &token.lock(), Some(&token.socket()))?,
                // Its lock came before it: one that is not there now has been deleted.
                Entry::Socket(token) if !exists(dir, &token.lock())? => remove(dir, &token.socket()),
                Entry::Socket(_) => {}
            }
        }
        past.sort_unstable();
        for generation in past {
            remove(dir, &link_name(generation));
        }
        Ok(())
    }
}

/// Lets a host find out that it lost its right before it handles another message.
///
/// Others fence a host after it was silent for the host timeout. The lease is half as long and renewed only
/// by the same background thread that answers heartbeats: within the lease nobody can have given the host up,
/// and beyond it every message asks the directory first.
#[derive(Debug)]
pub(crate) struct Fence {
    dir: Arc<ChannelDir>,
    generation: u64,
    token: Token,
    lease: Duration,
    lease_until: AtomicU64,
    lost: AtomicBool,
}

/// How long a host handles messages without a look, at most.
pub(crate) fn lease(host_timeout: Duration) -> Duration {
    host_timeout / 2
}

impl Fence {
    /// Whether this process may handle a message now.
    pub(crate) fn holds(&self) -> bool {
        if self.lost.load(Ordering::Acquire) {
            return false;
        }
        coarse_now() < self.lease_until.load(Ordering::Relaxed) || self.look()
    }

    /// The background thread is alive: looks, and renews the lease.
    pub(crate) fn beat(&self) -> bool {
        let holds = self.look();
        if holds {
            self.renew();
        }
        holds
    }

    fn renew(&self) {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        self.lease_until.store(coarse_now().saturating_add(lease), Ordering::Relaxed);
    }

    fn look(&self) -> bool {
        // Who cannot tell must not go on.
        if !self.is_still_host().unwrap_or(false) {
            self.lost.store(true, Ordering::Release);
        }
        !self.lost.load(Ordering::Acquire)
    }

    /// Needs no descriptor, for a process that has none left, unless the own link has vanished: swept away by a
    /// successor, or deleted by something else.
    fn is_still_host(&self) -> io::Result<bool> {
        if self.dir.is_deleted() || exists(&self.dir, &link_name(self.generation + 1))? {
            return Ok(false);
        }
        if let Some(token) = read_link(&self.dir, self.generation)? {
            return Ok(token == self.token);
        }
        Ok(current(&self.dir)?.is_none_or(|latest| latest.generation <= self.generation))
    }

    /// Nothing is handled from here on.
    pub(crate) fn give_up(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

/// Milliseconds of a monotonic clock that costs a few nanoseconds to read.
fn coarse_now() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(CLOCK);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendezvous::{Identity, Scope};

    /// After the channel's directory was deleted, whoever comes first begins at 1, and those who were there before go on
    /// from what they know. If the first one's beat then falls between their link and its next look, its own link must stay away.
    #[test]
    fn a_host_does_not_put_back_the_link_that_its_successor_swept_away() {
        let root = tempfile::tempdir().expect("a directory");
        let identity = Identity::new("swept", Scope::User).expect("a good name");
        let dir = Arc::new(
            ChannelDir::open(&root.path().join("channels"), &identity, Privacy::Private).expect("opened"),
        );
        let host = |generation| {
            let candidate = Candidate::prepare(&dir).expect("a candidate");
            candidate.publish(generation).expect("published").expect("the first of its generation")
        };
        let mut early = host(1);
        let fence = early.fence(Duration::from_secs(1));
        assert!(fence.beat());
        let late = host(3);
        early.restore().expect("nothing in the way");
        assert_eq!(current(&dir).expect("readable").map(|latest| latest.generation), Some(3));
        assert!(!fence.beat(), "two hosts");
        assert!(late.fence(Duration::from_secs(1)).beat());
    }
}
