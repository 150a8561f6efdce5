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

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::entries::{Entry, Token, current, entries, exists, link_name, read_link, remove};
use crate::error::Error;
use crate::fence::Fence;
use crate::filesystem::Step;
use crate::generation_file::GenerationFile;
use crate::link::unix;
use crate::lock_file;
use crate::rendezvous::{ChannelDir, Endpoint, Privacy};

/// Tries to become the host of `generation`, or of one above it that `memory` has not given out; `None` when somebody
/// else is the host of that one, or has been meanwhile.
///
/// # Errors
/// As [`Candidate::prepare`], and those of the file.
pub(crate) fn stand(
    dir: &Arc<ChannelDir>,
    generation: u64,
    memory: Option<&GenerationFile>,
) -> Result<Option<Tenure>, Error> {
    let Some(memory) = memory else { return Candidate::prepare(dir)?.publish(generation) };
    // Held until the link is there: of those who stand at once, each would get a generation of its own otherwise, and fence
    // the one before.
    let Some(mut memory) = memory.lock()? else {
        return Err(Error::io("another process holds the lock of the generation file", Errno::WOULDBLOCK));
    };
    let latest = current(dir).map_err(|error| Error::io("reading the directory", error))?;
    if latest.is_some_and(|latest| latest.generation >= generation) {
        return Ok(None);
    }
    let candidate = Candidate::prepare(dir)?;
    candidate.publish(memory.grow(generation)?)
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
    /// # Errors
    /// [`Error::Directory`] where nobody can host; anything else may be otherwise a moment later.
    pub(crate) fn prepare(dir: &Arc<ChannelDir>) -> Result<Self, Error> {
        let token = Token::random().map_err(|error| Error::io("finding a random name", error))?;
        let endpoint =
            dir.endpoint(&token.socket()).map_err(|error| Error::directory(dir.path(), error.to_string()))?;
        let lock = lock_file::make(dir, token)?;
        let mut candidate = Self { dir: Arc::clone(dir), token, lock, endpoint, listener: None };
        lock_file::check(dir, token)?;
        candidate.listener = Some(candidate.listen().map_err(|error| dir.failed(Step::Listen, error))?);
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
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare). The generation is free then, as it was.
    pub(crate) fn publish(self, generation: u64) -> Result<Option<Tenure>, Error> {
        let dir = Arc::clone(&self.dir);
        match rustix::fs::symlinkat(self.token.to_string(), dir.fd(), link_name(generation)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) => return Err(dir.failed(Step::Publish, errno)),
        }
        let tenure = Tenure { candidate: self, generation };
        // Whoever was stopped before publishing may have won a generation that is history by now.
        let fenced = tenure.is_fenced();
        if !matches!(fenced, Ok(false)) {
            remove(&dir, &link_name(generation));
            return match fenced {
                Ok(_) => Ok(None),
                Err(error) => Err(Error::io("reading the directory", error)),
            };
        }
        tenure.sweep();
        Ok(Some(tenure))
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody takes half-removed files for a live host's.
        remove(&self.dir, &self.token.socket());
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
    pub(crate) fn restore(&mut self) -> Result<Option<UnixListener>, Error> {
        let io = |error| Error::io("restoring a host's files", error);
        let Candidate { dir, token, lock, .. } = &mut self.candidate;
        if !exists(dir, &token.lock()).map_err(io)? {
            *lock = lock_file::make(dir, *token)?;
        }
        if read_link(dir, self.generation).map_err(io)?.is_none() {
            match rustix::fs::symlinkat(token.to_string(), dir.fd(), link_name(self.generation)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(io(errno.into())),
            }
            // A successor may have swept it away since this host looked last: it must not come back, for a host that finds
            // its own link takes it for the latest. The successor's link was there before it swept.
            if current(dir).map_err(io)?.is_some_and(|latest| latest.generation > self.generation) {
                remove(dir, &link_name(self.generation));
                return Ok(None);
            }
        }
        if exists(dir, &token.socket()).map_err(io)? {
            return Ok(None);
        }
        self.candidate.listen().map(Some).map_err(io)
    }

    pub(crate) fn fence(&self, host_timeout: Duration) -> Fence {
        let Candidate { dir, token, .. } = &self.candidate;
        Fence::new(Arc::clone(dir), self.generation, *token, host_timeout)
    }

    /// Removes what dead hosts and candidates left behind. Links go last and lowest first, so that the
    /// highest generation is visible at every moment. What cannot be removed stays, for the next host to try.
    fn sweep(&self) {
        let dir = &self.candidate.dir;
        let Ok(entries) = entries(dir) else { return };
        let mut past = Vec::new();
        for entry in entries {
            let swept = match entry {
                Entry::Generation(generation) => {
                    past.extend(Some(generation).filter(|&past| past < self.generation));
                    Ok(())
                }
                Entry::NewLock(token) => lock_file::remove_if_free(dir, &token.new_lock(), None),
                Entry::Lock(token) => lock_file::remove_if_free(dir, &token.lock(), Some(&token.socket())),
                // Its lock came before it: one that is not there now has been deleted.
                Entry::Socket(token) => exists(dir, &token.lock()).map(|lives| {
                    if !lives {
                        remove(dir, &token.socket());
                    }
                }),
            };
            if let Err(error) = swept {
                tracing::debug!(directory = %dir.path().display(), ?entry, %error, "not swept away");
            }
        }
        past.sort_unstable();
        for generation in past {
            remove(dir, &link_name(generation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendezvous::{Identity, Missing, Scope};
    use crate::root::Root;

    /// After the channel's directory was deleted, whoever comes first begins at 1, and those who were there before go on
    /// from what they know. If the first one's beat then falls between their link and its next look, its own link must stay away.
    #[test]
    fn a_host_does_not_put_back_the_link_that_its_successor_swept_away() {
        let root = tempfile::tempdir().expect("a directory");
        let identity = Identity::new("swept", &Scope::User).expect("a good name");
        let root = Arc::new(Root::choose(Some(&root.path().join("channels"))).expect("absolute"));
        let dir = ChannelDir::open(&root, &identity, Privacy::Private, Missing::Make);
        let dir = Arc::new(dir.expect("opened"));
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
