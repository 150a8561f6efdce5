//! Which protocol versions the processes at a channel speak, as far as its directory tells.
//!
//! For each range of versions there is an empty file `versions-<oldest>-<newest>`. Every process that hosts or has a
//! host holds a shared lock on the file of its range, until it leaves the channel. So whoever is about to host sees
//! whether there are processes that it could not serve. The file is never removed, or its lock could be split in two.
//! Programs from before there were such files ignore them.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use open_channel_proto::{VERSION_MAX, VERSION_MIN};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

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
        let name = Versions::OWN.file();
        let file = match open(dir, &name, OFlags::empty()) {
            // Creating what exists already is not allowed in a directory that others may write to.
            Err(Errno::NOENT) => match open(dir, &name, OFlags::CREATE | OFlags::EXCL) {
                Err(Errno::EXIST) => open(dir, &name, OFlags::empty())?,
                made => made?,
            },
            found => found?,
        };
        for _ in 0..ATTEMPTS {
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                locked => return Ok(locked.map(|()| Self { file })?),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether others can still see it.
    pub(crate) fn is_visible(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }
}

fn open(dir: &ChannelDir, name: &str, how: OFlags) -> Result<File, Errno> {
    let flags = how | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    // Others who may join must be able to lock it.
    let mode = match dir.privacy() {
        Privacy::Private => Mode::RUSR | Mode::WUSR,
        Privacy::Shared => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
    };
    rustix::fs::openat(dir.fd(), name, flags, mode).map(File::from)
}

/// The versions of some process that takes part and that this one cannot talk to.
pub(crate) fn strangers(dir: &ChannelDir) -> io::Result<Option<Versions>> {
    for entry in rustix::fs::Dir::read_from(dir.fd())? {
        let entry = entry?;
        let Some(versions) = Versions::parse(entry.file_name().to_bytes()) else { continue };
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
