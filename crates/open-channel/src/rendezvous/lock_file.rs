//! Lock files: the kernel says which of the processes that have files in a directory are alive.

use std::fs::{File, TryLockError};
use std::io;

use crate::error::Error;
use crate::rendezvous::directory::{ChannelDir, Privacy};
use crate::rendezvous::entries::{Entry, entries, exists, remove};
use crate::rendezvous::token::Token;
use crate::sys::{Step, share_file};

/// `None` if no file of that name is a lock.
fn open(dir: &ChannelDir, name: &str) -> io::Result<Option<File>> {
    match dir.files().open_file(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
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
    let new = token.new_lock();
    let created = dir.files().create_file(&new);
    let lock = created.map_err(|error| dir.failed(Step::Create, error))?;
    let named = (|| {
        if dir.privacy() == Privacy::Shared {
            share_file(&lock).map_err(|error| dir.failed(Step::Share, error))?;
        }
        lock.try_lock().map_err(|error| dir.failed(Step::Lock, error))?;
        // It gets its name when it is locked, or a host's sweep would take it for a dead one's.
        let renamed = dir.files().rename(&new, &token.lock());
        renamed.map_err(|error| dir.failed(Step::Create, error))
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
        return Err(Error::io(format!("locking {name}"), io::ErrorKind::NotFound));
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
