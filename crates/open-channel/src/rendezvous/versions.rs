//! The protocol versions that the processes at a channel speak, as far as its directory shows.
//!
//! For each range of versions there is an empty file `versions-<oldest>-<newest>`. Every process
//! that hosts or has a host holds a shared lock on the file of its range, until it leaves the
//! channel. So whoever is about to host sees whether there are processes that it could not serve,
//! and whoever leaves, whether somebody is left. The last to leave removes the file with its lock
//! held alone. A newcomer that had it open by then finds it removed and makes another. Programs
//! from before there were such files ignore them.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use open_channel_proto::{VERSION_MAX, VERSION_MIN};
use open_channel_ring::Process;

use crate::rendezvous::directory::{ChannelDir, Privacy};
use crate::rendezvous::entries::remove;
use crate::sys::share_file;

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

    pub(crate) fn range(self) -> std::ops::RangeInclusive<u16> {
        self.oldest..=self.newest
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

/// Shows others which versions this process speaks, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Presence {
    file: File,
    process: Process,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A forked child has the same open file, and would go on holding its lock. The child itself
        // must leave it to its parent.
        if self.process.is_current() {
            let _ = self.file.unlock();
        }
    }
}

impl Presence {
    pub(crate) fn announce(dir: &ChannelDir) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let file = match own_file(dir) {
                Ok(file) => file,
                // Somebody who left is removing it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let presence = Self { file, process: Process::current() };
            match presence.file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) if presence.is_visible(dir) => return Ok(presence),
                // Somebody who left has just removed it.
                Ok(()) => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether others who look into `dir` see it.
    pub(crate) fn is_visible(&self, dir: &ChannelDir) -> bool {
        dir.files().is_file(&Versions::OWN.file(), &self.file)
    }
}

/// The file of this program's versions, made if it is not there.
fn own_file(dir: &ChannelDir) -> io::Result<File> {
    let (files, name) = (dir.files(), Versions::OWN.file());
    // Creating what exists already is not allowed in a directory that others may write to.
    match files.open_file(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let made = match files.create_file(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return files.open_file(&name);
        }
        made => made?,
    };
    if dir.privacy() == Privacy::Shared {
        share_file(&made)?;
    }
    Ok(made)
}

/// Whether a process holds the lock of the file of these versions.
fn is_held(dir: &ChannelDir, versions: Versions) -> io::Result<bool> {
    let file = match dir.files().open_file(&versions.file()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
            // Somebody who looks as this process does holds it for a moment, alone; those who take
            // part hold it together.
            Err(TryLockError::WouldBlock) => match file.try_lock_shared() {
                Ok(()) => return Ok(true),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            },
        }
    }
    Ok(true)
}

/// The ranges of versions that have files here.
fn present(dir: &ChannelDir) -> io::Result<Vec<Versions>> {
    let mut found = Vec::new();
    dir.files().listing()?.each(|name| found.extend(Versions::parse(name)))?;
    Ok(found)
}

/// The ranges of versions that processes which take part speak.
pub(crate) fn held(dir: &ChannelDir) -> io::Result<Vec<Versions>> {
    let mut held = Vec::new();
    for versions in present(dir)? {
        if is_held(dir, versions)? {
            held.push(versions);
        }
    }
    Ok(held)
}

/// Whether some process takes part, of whatever versions.
pub(crate) fn is_anybody_there(dir: &ChannelDir) -> io::Result<bool> {
    Ok(!held(dir)?.is_empty())
}

/// Removes the files that no process holds.
pub(crate) fn sweep(dir: &ChannelDir) {
    for versions in present(dir).unwrap_or_default() {
        let name = versions.file();
        // Held until it is removed, so that nobody who comes takes it for one that others can see.
        if let Ok(file) = dir.files().open_file(&name)
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
        if is_held(dir, versions)? {
            return Ok(Some(versions));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rendezvous::directory::Missing;
    use crate::rendezvous::identity::{Identity, Scope};
    use crate::rendezvous::root::Root;

    fn directory(root: &std::path::Path) -> ChannelDir {
        let identity = Identity::new("versions", Scope::User).expect("a good name");
        let root = Arc::new(Root::choose(Some(root)).expect("absolute"));
        ChannelDir::open(&root, &identity, Privacy::Private, Missing::Make).expect("opened")
    }

    /// A forked child has the same open file, as a duplicate has.
    #[test]
    fn a_process_that_leaves_is_gone_whatever_its_children_still_have() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = directory(&root.path().join("channels"));
        let presence = Presence::announce(&dir).expect("announced");
        assert!(is_anybody_there(&dir).expect("readable"));
        let _inherited = presence.file.try_clone().expect("a duplicate");
        drop(presence);
        assert!(!is_anybody_there(&dir).expect("readable"), "still there");
    }

    #[test]
    fn a_presence_is_seen_where_it_was_announced_and_nowhere_else() {
        let root = tempfile::tempdir().expect("a directory");
        let (here, there) =
            (directory(&root.path().join("here")), directory(&root.path().join("there")));
        let presence = Presence::announce(&here).expect("announced");
        assert!(presence.is_visible(&here));
        assert!(!presence.is_visible(&there), "nothing is there");
        let _other = Presence::announce(&there).expect("announced");
        assert!(!presence.is_visible(&there), "another process's file");
        remove(&here, &Versions::OWN.file());
        assert!(!presence.is_visible(&here), "it is gone");
    }

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
    fn only_names_that_the_library_writes_are_read() {
        let versions = Versions { oldest: 1, newest: 65535 };
        assert_eq!(Versions::parse(versions.file().as_bytes()), Some(versions));
        for name in [
            "versions-",
            "versions-1",
            "versions-01-2",
            "versions-1-+2",
            "versions-1-65536",
            "versions-1-2 ",
        ] {
            assert_eq!(Versions::parse(name.as_bytes()), None, "{name}");
        }
    }
}
