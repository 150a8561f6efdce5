//! Lock files: the kernel says which of the processes that have files in a directory are alive.

use std::fs::{File, TryLockError};
use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::rendezvous::directory::{ChannelDir, Privacy};
use crate::rendezvous::entries::{Entry, entries, exists, remove};
use crate::rendezvous::filesystem::Step;
use crate::rendezvous::token::Token;

/// Opened for writing where that is allowed: a network file system that emulates `flock` takes an
/// exclusive lock on no other descriptor. `None` if no file of that name is a lock.
fn open(dir: &ChannelDir, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |access| rustix::fs::openat(dir.fd(), name, flags | access, Mode::empty());
    let opened = match open(OFlags::RDWR) {
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => open(OFlags::RDONLY),
        opened => opened,
    };
    match opened {
        Ok(fd) => Ok(Some(fd.into())),
        // Nothing, or a symbolic link, a directory or a socket, which nobody has locked.
        Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_locked(dir: &ChannelDir, name: &str) -> Result<bool, Error> {
    let opened = open(dir, name).map_err(|error| Error::io(format!("opening {name}"), error))?;
    let Some(file) = opened else { return Ok(false) };
    // Shared, so that several who look at once do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(dir.failed(Step::Lock, error)),
    }
}

/// Whether the process of this token lives.
pub(crate) fn is_alive(dir: &ChannelDir, token: Token) -> Result<bool, Error> {
    is_locked(dir, &token.lock())
}

/// Whether a process is about to give this token's lock its name.
pub(crate) fn is_in_the_making(dir: &ChannelDir, token: Token) -> Result<bool, Error> {
    is_locked(dir, &token.new_lock())
}

/// Whether some process holds a lock here: one that is about to publish itself, or a host whose
/// link something deleted, which it will put back.
pub(crate) fn is_inhabited(dir: &ChannelDir) -> io::Result<bool> {
    // A lock that cannot be looked at says nothing of the others.
    let held = |entry| matches!(entry, Entry::Lock(token) if is_alive(dir, token).unwrap_or(false));
    Ok(entries(dir)?.into_iter().any(held))
}

/// A new lock, held for as long as the file is open.
pub(crate) fn make(dir: &ChannelDir, token: Token) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = token.new_lock();
    let created = rustix::fs::openat(dir.fd(), &new, flags, Mode::RUSR | Mode::WUSR);
    let lock = File::from(created.map_err(|errno| dir.failed(Step::Create, errno))?);
    let named = (|| {
        if dir.privacy() == Privacy::Shared {
            // Others who may join must be able to try the lock, whatever the umask of this process
            // is.
            let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
            rustix::fs::fchmod(&lock, mode).map_err(|errno| dir.failed(Step::Share, errno))?;
        }
        lock.try_lock().map_err(|error| dir.failed(Step::Lock, error))?;
        // It gets its name when it is locked, or a host's sweep would take it for a dead one's.
        rustix::fs::renameat(dir.fd(), &new, dir.fd(), token.lock())
            .map_err(|errno| dir.failed(Step::Create, errno))
    })();
    if named.is_err() {
        remove(dir, &new);
    }
    named.map(|()| lock)
}

/// That the lock of `token`, which this process holds, keeps others out.
///
/// # Errors
/// It does not: no two processes could exclude each other here.
pub(crate) fn check(dir: &ChannelDir, token: Token) -> Result<(), Error> {
    if is_alive(dir, token)? {
        return Ok(());
    }
    let name = token.lock();
    if !exists(dir, &name).unwrap_or(false) {
        // Something has emptied the directory.
        return Err(Error::io(format!("locking {name}"), Errno::NOENT));
    }
    Err(dir.failed(Step::Lock, io::Error::new(io::ErrorKind::Unsupported, "it keeps nobody out")))
}

/// Removes what dead hosts and candidates left behind of these `entries`, but for links. What
/// cannot be removed stays, for the next one to try.
pub(crate) fn sweep(dir: &ChannelDir, entries: &[Entry]) {
    for entry in entries {
        let swept = match *entry {
            Entry::Generation(_) => Ok(()),
            Entry::NewLock(token) => remove_if_free(dir, &token.new_lock(), &[]),
            Entry::Lock(token) => remove_if_free(dir, &token.lock(), &token.addresses()),
            // Its lock came before it: one that is not there now has been deleted.
            Entry::Address(token) => exists(dir, &token.lock()).map(|lives| {
                if !lives {
                    token.addresses().iter().for_each(|name| remove(dir, name));
                }
            }),
        };
        if let Err(error) = swept {
            tracing::debug!(directory = %dir.path().display(), ?entry, %error, "not swept away");
        }
    }
}

/// Removes a lock file that nobody holds, and the addresses that go with it. Holds the lock
/// meanwhile: whoever is stopped in the middle of this must not remove the files of one that has
/// come to life since.
fn remove_if_free(dir: &ChannelDir, lock: &str, addresses: &[String]) -> io::Result<()> {
    let Some(file) = open(dir, lock)? else { return Ok(()) };
    match file.try_lock() {
        Ok(()) => {
            addresses.iter().for_each(|name| remove(dir, name));
            remove(dir, lock);
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::fs::fcntl_getfl;

    use super::*;
    use crate::rendezvous::directory::Missing;
    use crate::rendezvous::identity::{Identity, Scope};
    use crate::rendezvous::root::Root;

    /// A `flock` that is emulated over a network refuses an exclusive lock on a descriptor that
    /// cannot write.
    #[test]
    fn a_lock_of_somebody_else_is_opened_for_writing() {
        let root = tempfile::tempdir().expect("a directory");
        let identity = Identity::new("locks", Scope::User).expect("a good name");
        let root = Arc::new(Root::choose(Some(&root.path().join("channels"))).expect("absolute"));
        let dir =
            ChannelDir::open(&root, &identity, Privacy::Private, Missing::Make).expect("opened");
        let token = Token::random().expect("a token");
        let _held = make(&dir, token).expect("a lock");
        let opened = open(&dir, &token.lock()).expect("opened").expect("there");
        assert!(fcntl_getfl(&opened).expect("its flags").contains(OFlags::RDWR));
        assert!(is_alive(&dir, token).expect("readable"));
    }
}
