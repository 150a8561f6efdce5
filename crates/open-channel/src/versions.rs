//! Which protocol versions the processes at a channel speak, as far as its directory tells.
//!
//! For each range of versions there is an empty file `versions-<oldest>-<newest>`. Every process
//! that hosts or has a host holds a shared lock on the file of its range, until it leaves the
//! channel. So whoever is about to host sees whether there are processes that it could not serve,
//! and whoever leaves, whether somebody is left. The last to leave removes the file with its lock
//! held alone. A newcomer that had it open by then finds it removed and makes another. Programs from
//! before there were such files ignore them.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use open_channel_proto::{VERSION_MAX, VERSION_MIN};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::entries::remove;
use crate::rendezvous::{ChannelDir, Privacy};

const PREFIX: &str = "versions-";
/// Somebody who looks whether a file is locked holds its lock for a moment.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_micros(50);

/// Oldest and newest version that a program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    oldest: u16,
    newest: u16,
}

impl Versions {
    pub(crate) const OWN: Self = Self { oldest: VERSION_MIN, newest: VERSION_MAX };

    pub(crate) fn new(oldest: u16, newest: u16) -> Self {
        Self { oldest, newest }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        let (oldest, newest) = name.strip_prefix(PREFIX)?.split_once('-')?;
        let versions = Self { oldest: oldest.parse().ok()?, newest: newest.parse().ok()? };
        // Only as this library writes them.
        (versions.file() == name).then_some(versions)
    }

    fn file(self) -> String {
        format!("{PREFIX}{}-{}", self.oldest, self.newest)
    }

    fn meet(self, others: Self) -> bool {
        self.oldest.max(others.oldest) <= self.newest.min(others.newest)
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

/// Tells others which versions this process speaks, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Presence {
    file: File,
}

impl Presence {
    pub(crate) fn announce(dir: &ChannelDir) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let presence = Self { file: own_file(dir)? };
            match presence.file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) if presence.is_visible() => return Ok(presence),
                // Somebody who left has just removed it.
                Ok(()) => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether others can still see it.
    pub(crate) fn is_visible(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }
}

/// The file of this program's versions, made if it is not there.
fn own_file(dir: &ChannelDir) -> Result<File, Errno> {
    let name = Versions::OWN.file();
    // Creating what exists already is not allowed in a directory that others may write to.
    match open(dir, &name, OFlags::empty()) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let made = match open(dir, &name, OFlags::CREATE | OFlags::EXCL) {
        Err(Errno::EXIST) => return open(dir, &name, OFlags::empty()),
        made => made?,
    };
    if dir.privacy() == Privacy::Shared {
        // Others who may join must be able to lock it, whatever the umask of this process is.
        rustix::fs::fchmod(&made, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)?;
    }
    Ok(made)
}

fn open(dir: &ChannelDir, name: &str, how: OFlags) -> Result<File, Errno> {
    let flags = how | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(dir.fd(), name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// The ranges of versions that have files here.
fn present(dir: &ChannelDir) -> io::Result<Vec<Versions>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir.fd())? {
        found.extend(Versions::parse(entry?.file_name().to_bytes()));
    }
    Ok(found)
}

/// Whether some process takes part, of whatever versions.
pub(crate) fn is_anybody_there(dir: &ChannelDir) -> io::Result<bool> {
    for versions in present(dir)? {
        match open(dir, &versions.file(), OFlags::empty()) {
            Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => return Ok(true),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}

/// Removes the files that no process holds.
pub(crate) fn sweep(dir: &ChannelDir) {
    for versions in present(dir).unwrap_or_default() {
        let name = versions.file();
        // Held until it is removed, so that nobody who comes takes it for one that others can see.
        if let Ok(file) = open(dir, &name, OFlags::empty())
            && file.try_lock().is_ok()
        {
            remove(dir, &name);
        }
    }
}

/// The versions of some process that takes part and that this one cannot talk to.
pub(crate) fn strangers(dir: &ChannelDir) -> io::Result<Option<Versions>> {
    for versions in present(dir)? {
        if versions.meet(Versions::OWN) {
            continue;
        }
        match open(dir, &versions.file(), OFlags::empty()) {
            Ok(file) if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) => {
                return Ok(Some(versions));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_meet_where_their_ranges_overlap() {
        let versions = |oldest, newest| Versions { oldest, newest };
        assert!(versions(1, 3).meet(versions(3, 9)));
        assert!(versions(3, 9).meet(versions(1, 3)));
        assert!(versions(1, 9).meet(versions(4, 5)));
        assert!(!versions(1, 2).meet(versions(3, 9)));
        assert!(!versions(3, 9).meet(versions(1, 2)));
    }

    #[test]
    fn only_what_the_library_writes_is_read() {
        let versions = Versions { oldest: 1, newest: 65535 };
        assert_eq!(Versions::parse(versions.file().as_bytes()), Some(versions));
        for name in
            ["versions-", "versions-1", "versions-01-2", "versions-1-+2", "versions-1-65536", "versions-1-2 "]
        {
            assert_eq!(Versions::parse(name.as_bytes()), None, "{name}");
        }
    }
}
