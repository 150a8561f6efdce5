//! The election: a kernel lock says who is alive, one atomic `symlink(2)` per generation says who
//! won.
//!
//! A channel's directory holds, for each process that hosts or tries to, `<token>.lock` (empty,
//! locked for as long as that process lives) and `<token>.sock` (bound and listening) or
//! `<token>.tcp` (its port and a secret), and for each generation a symbolic link `<generation>`
//! whose target *text* is the token of the host; links are read, never followed. Creating a link is
//! exclusive, so a generation has one host, and what it publishes is locked and listening already:
//! nobody can be stopped half-way and hold the others up. Neither the empty file nor the short link
//! needs a data block, so that a full disk does not keep a channel captive.
//!
//! The host is the one of the highest generation. The next generation may be opened when that
//! host's lock is free (the kernel frees it at any kind of death) or when it has not answered for
//! the host timeout. A host that finds a generation above its own has been fenced off. The last
//! link stays as the memory of the generation, until whoever leaves last
//! [removes](crate::rendezvous::removal) the directory.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use open_channel_ring::Process;

use crate::error::Error;
use crate::link::{Bound, LinkKind, tcp};
use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::endpoint::{Endpoint, Listening};
use crate::rendezvous::entries::{
    Entry, MAX_GENERATION, current, entries, exists, highest_below, link_name, read_link, remove,
};
use crate::rendezvous::fence::Fence;
use crate::rendezvous::generation_file::GenerationFile;
use crate::rendezvous::lock_file;
use crate::rendezvous::removal;
use crate::rendezvous::token::Token;
use crate::sys::Step;

/// A generation to become the host of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) generation: u64,
    /// The one that was seen before it; `None` in a directory without links.
    pub(crate) over: Option<u64>,
}

/// The outcome of an attempt to become the host.
#[derive(Debug)]
pub(crate) enum Candidacy {
    Won(Box<Tenure>),
    /// Something has taken the generation: another host, probably.
    Taken,
    /// Others published themselves at the same time, so this one took its link back. They may have
    /// done the same.
    SteppedBack,
}

/// Tries to become the host of a generation, or of one above it that `memory` has not given out. It
/// listens with the link that is forced, if one is.
///
/// # Errors
/// As [`Candidate::prepare`], and those of the file.
pub(crate) fn run_for(
    dir: &Arc<ChannelDir>,
    next: Next,
    link: Option<LinkKind>,
    memory: Option<&GenerationFile>,
) -> Result<Candidacy, Error> {
    if next.generation > MAX_GENERATION {
        let problem =
            format!("it is at generation {MAX_GENERATION}, the last one: remove the directory");
        return Err(Error::directory(dir.path(), problem));
    }
    let Some(memory) = memory else { return Candidate::prepare(dir, link)?.publish(next) };
    // Held until the link is there: of those that run at once, each would get a generation of its
    // own otherwise, and fence the one before.
    let Some(mut memory) = memory.lock()? else {
        let what = "another process holds the lock of the generation file";
        return Err(Error::io(what, io::ErrorKind::WouldBlock));
    };
    let latest = current(dir).map_err(|error| Error::io("reading the directory", error))?;
    if latest.is_some_and(|latest| latest.generation >= next.generation) {
        return Ok(Candidacy::Taken);
    }
    let candidate = Candidate::prepare(dir, link)?;
    candidate.publish(Next { generation: memory.grow(next.generation)?, ..next })
}

/// Ready to host: locked and listening under a token that nobody knows yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    dir: Arc<ChannelDir>,
    token: Token,
    /// Held until the files are removed; the kernel frees it with the process.
    lock: File,
    endpoint: Endpoint,
    listener: Option<Bound>,
    port: Option<tcp::Address>,
    process: Process,
}

impl Candidate {
    /// # Errors
    /// [`Error::Directory`] where nobody can host; anything else may be otherwise a moment later.
    pub(crate) fn prepare(dir: &Arc<ChannelDir>, link: Option<LinkKind>) -> Result<Self, Error> {
        let token = Token::random().map_err(|error| Error::io("finding a random name", error))?;
        let endpoint = Endpoint::new(dir, token);
        // Before there is a lock file, which would be left behind.
        endpoint.check(link)?;
        let lock = lock_file::make(dir, token)?;
        let process = Process::current();
        let dir = Arc::clone(dir);
        let mut candidate =
            Self { dir, token, lock, endpoint, listener: None, port: None, process };
        lock_file::check(&candidate.dir, token)?;
        let Listening { bound, port } = candidate.endpoint.listen(link)?;
        (candidate.listener, candidate.port) = (Some(bound), port);
        Ok(candidate)
    }

    /// Tries to become the host.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare). The generation is free then, as it was.
    fn publish(self, next: Next) -> Result<Candidacy, Error> {
        match self.link(next.generation)? {
            Some(tenure) => tenure.stay(next.over),
            None => Ok(Candidacy::Taken),
        }
    }

    /// Makes the link; `None` if there is something of its name.
    fn link(self, generation: u64) -> Result<Option<Tenure>, Error> {
        let dir = &self.dir;
        let (beside, text) = (self.token.new_lock(), self.token.to_string());
        match dir.files().publish(&beside, &link_name(generation), &text) {
            Ok(true) => Ok(Some(Tenure { candidate: self, generation })),
            Ok(false) => Ok(None),
            Err(error) => Err(dir.failed(Step::Publish, error)),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // They are the parent's.
            return;
        }
        // While the lock is still held, so that nobody takes half-removed files for a live host's.
        self.token.addresses().iter().for_each(|name| remove(&self.dir, name));
        remove(&self.dir, &self.token.lock());
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
    pub(crate) fn take_listener(&mut self) -> Option<Bound> {
        self.candidate.listener.take()
    }

    /// Where others connect.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.candidate.endpoint.clone()
    }

    /// Takes back a generation that nobody wants any more, as if it had never been published.
    pub(crate) fn abandon(self) {
        let dir = Arc::clone(&self.candidate.dir);
        remove(&dir, &link_name(self.generation));
        drop(self);
        if let Err(error) = removal::remove_if_deserted(&dir) {
            tracing::debug!(%error, "the directory stays");
        }
    }

    /// Becomes the host with the link that was just made, or takes it back.
    fn stay(self, over: Option<u64>) -> Result<Candidacy, Error> {
        match self.has_passed(over) {
            Ok(false) => {
                self.sweep();
                Ok(Candidacy::Won(Box::new(self)))
            }
            passed => {
                remove(&self.candidate.dir, &link_name(self.generation));
                passed.map(|_| Candidacy::SteppedBack)
            }
        }
    }

    /// Whether the one just published has been passed by since its candidate saw the generation
    /// `over`, or none: then this one may be history, or somebody else hosts one in between.
    fn has_passed(&self, over: Option<u64>) -> Result<bool, Error> {
        let dir = &self.candidate.dir;
        let reading = |error| Error::io("reading the directory", error);
        let entries = entries(dir).map_err(reading)?;
        let below = |limit| highest_below(dir, &entries, limit).map_err(reading);
        if below(u64::MAX)? != Some(self.generation) || below(self.generation)? != over {
            return Ok(true);
        }
        Ok(over.is_none() && removal::past(dir)? >= self.generation)
    }

    /// Puts back what something deleted under a live host: its lock, its link, and its address, for
    /// which it may return a new listener.
    pub(crate) fn restore(&mut self) -> Result<Option<Bound>, Error> {
        let io = |error| Error::io("restoring a host's files", error);
        let Candidate { dir, token, lock, .. } = &mut self.candidate;
        if !exists(dir, &token.lock()).map_err(io)? {
            *lock = lock_file::make(dir, *token)?;
        }
        if read_link(dir, self.generation).map_err(io)?.is_none() {
            let (beside, text) = (token.new_lock(), token.to_string());
            dir.files().publish(&beside, &link_name(self.generation), &text).map_err(io)?;
            // A successor may have swept it away since this host looked last: it must not come
            // back, for a host that finds its own link takes it for the latest. The successor's
            // link was there before it swept.
            if current(dir).map_err(io)?.is_some_and(|latest| latest.generation > self.generation) {
                remove(dir, &link_name(self.generation));
                return Ok(None);
            }
        }
        let Candidate { endpoint, port, .. } = &self.candidate;
        endpoint.restore(port.as_ref())
    }

    pub(crate) fn fence(&self, host_timeout: Duration) -> Fence {
        let Candidate { dir, token, .. } = &self.candidate;
        Fence::new(Arc::clone(dir), self.generation, *token, host_timeout)
    }

    /// Removes what dead hosts and candidates left behind. Links go last and lowest first, so that
    /// the highest generation is visible at every moment.
    fn sweep(&self) {
        let dir = &self.candidate.dir;
        let Ok(entries) = entries(dir) else { return };
        lock_file::sweep(dir, &entries);
        let mut past: Vec<u64> = entries.into_iter().filter_map(Entry::generation).collect();
        past.retain(|&generation| generation < self.generation);
        past.sort_unstable();
        past.into_iter().for_each(|generation| remove(dir, &link_name(generation)));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rendezvous::directory::{Missing, Privacy};
    use crate::rendezvous::identity::{Identity, Scope};
    use crate::rendezvous::root::Root;

    pub(crate) fn directory(name: &str) -> (tempfile::TempDir, Arc<ChannelDir>) {
        let root = tempfile::tempdir().expect("a directory");
        let identity = Identity::new(name, Scope::User).expect("a good name");
        let chosen = Arc::new(Root::choose(Some(&root.path().join("channels"))).expect("absolute"));
        let dir = ChannelDir::open(&chosen, &identity, Privacy::Private, Missing::Make);
        (root, Arc::new(dir.expect("opened")))
    }

    pub(crate) fn host(dir: &Arc<ChannelDir>, generation: u64) -> Tenure {
        let candidate = Candidate::prepare(dir, None).expect("a candidate");
        let over = current(dir).expect("readable").map(|latest| latest.generation);
        let candidacy = candidate.publish(Next { generation, over }).expect("published");
        let Candidacy::Won(tenure) = candidacy else { panic!("{candidacy:?}") };
        *tenure
    }

    /// One begins anew in a directory that was emptied, the other goes on from what it knows.
    #[test]
    fn two_candidates_that_step_back_for_each_other_leave_their_generations_free() {
        let (_root, dir) = directory("both");
        let link = |generation| {
            let candidate = Candidate::prepare(&dir, None).expect("a candidate");
            candidate.link(generation).expect("linked").expect("the first of its generation")
        };
        for _ in 0..3 {
            let (new, old) = (link(1), link(7));
            assert!(matches!(new.stay(None), Ok(Candidacy::SteppedBack)));
            // It has listed the directory before the first one took its link back.
            let seen = link(1);
            assert!(matches!(old.stay(None), Ok(Candidacy::SteppedBack)));
            remove(&dir, &link_name(1));
            drop(seen);
        }
        assert_eq!(current(&dir).expect("readable"), None, "left behind");
        assert_eq!(host(&dir, 7).generation(), 7);
    }

    /// Its process was stopped between its publication and its first message.
    #[test]
    fn a_host_that_was_passed_by_before_it_began_handles_nothing() {
        let (_root, dir) = directory("late");
        let early = host(&dir, 1);
        let _successor = host(&dir, 2);
        assert!(!early.fence(Duration::from_secs(1)).holds(), "two hosts");
    }

    #[test]
    fn an_abandoned_generation_leaves_nothing_behind() {
        let (_root, dir) = directory("abandoned");
        host(&dir, 1).abandon();
        assert!(!dir.path().exists(), "left behind");
    }

    /// After the channel's directory was deleted, the first process to come begins at 1, and those
    /// that were there before go on from the generation that they know. If the first one's beat
    /// then falls between their link and its next look, its own link must stay away.
    #[test]
    fn a_host_does_not_put_back_the_link_that_its_successor_swept_away() {
        let (_root, dir) = directory("swept");
        let mut early = host(&dir, 1);
        let fence = early.fence(Duration::from_secs(1));
        assert!(fence.beat());
        let late = host(&dir, 3);
        early.restore().expect("nothing in the way");
        assert_eq!(current(&dir).expect("readable").map(|latest| latest.generation), Some(3));
        assert!(!fence.beat(), "two hosts");
        assert!(late.fence(Duration::from_secs(1)).beat());
    }
}
