//! The directory of a group, beside that of its channel, which removes its own when it is deserted.
//!
//! | entry | is | held |
//! | --- | --- | --- |
//! | `m-<id>` | the presence of a member | exclusively, for as long as its process lives |
//! | `l-<hash>` | a lock or a role, with its last tokens | as the lock is |
//!
//! The kernel says by the locks on them who lives. A process holds an entry's lock while it removes
//! the entry, and looks whether the entry is still there after it has locked one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use open_channel::hosting::{try_lock, unlock};
use same_file::Handle;
use sha2::{Digest, Sha256};

use crate::core::{LockMode, LockName, LockSpace, MemberId};

/// Attempts at a file that others remove at the same time.
const ATTEMPTS: u32 = 100;

/// Whether a member's process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Lives,
    Dead,
    /// Its file is not here: nobody knows.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// The directory of the group whose channel has this one.
    pub(super) fn beside(channel: &Path) -> Self {
        let mut name = channel.file_name().unwrap_or_default().to_owned();
        name.push(".group");
        Self(channel.with_file_name(name))
    }

    fn member(&self, id: MemberId) -> PathBuf {
        self.0.join(format!("m-{:016x}", id.0))
    }

    fn lock(&self, name: &LockName) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(match name.space {
            LockSpace::Lock => b"lock",
            LockSpace::Lead => b"lead",
        });
        hash.update(name.name.as_str());
        let hash = hash.finalize();
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("l-{hex}"))
    }

    fn make(&self) -> io::Result<()> {
        #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no permission bits"))]
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// The file of a lock, made if it is not there. Shared holders write at its end only.
    pub(super) fn open_lock(&self, name: &LockName, mode: LockMode) -> io::Result<(File, PathBuf)> {
        let path = self.lock(name);
        let file = self.open(&path, mode == LockMode::Shared)?;
        Ok((file, path))
    }

    fn open(&self, path: &Path, append: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).append(append).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                options.open(path)
            }
            opened => opened,
        }
    }

    /// Whether a member's process lives.
    pub(super) fn life(&self, id: MemberId) -> Life {
        match File::open(self.member(id)).map(|file| try_lock(&file, true)) {
            Ok(Ok(())) => Life::Dead,
            Ok(Err(TryLockError::WouldBlock)) => Life::Lives,
            Ok(Err(TryLockError::Error(_))) | Err(_) => Life::Unknown,
        }
    }

    /// Whether any process lives that has presented itself to a host before that of `generation`;
    /// but for that of `own`.
    pub(super) fn is_anybody_there(&self, own: Option<MemberId>, generation: u64) -> bool {
        let own = own.map(|id| self.member(id));
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) => return error.kind() != io::ErrorKind::NotFound,
        };
        entries.filter_map(Result::ok).any(|entry| {
            let is_presence = entry.file_name().to_string_lossy().starts_with("m-");
            let path = entry.path();
            is_presence
                && own.as_ref() != Some(&path)
                && File::open(path).is_ok_and(|file| {
                    try_lock(&file, true).is_err() && may_be_before(&file, generation)
                })
        })
    }

    /// Removes the presence files of dead processes, but for those of these members.
    pub(super) fn sweep(&self, members: &[MemberId]) {
        let kept: Vec<PathBuf> = members.iter().map(|&id| self.member(id)).collect();
        for path in self.entries("m-") {
            if !kept.contains(&path) {
                remove_if_free(&path);
            }
        }
    }

    /// Removes everything, if no member's process lives.
    pub(super) fn remove_if_deserted(&self) {
        if self.is_anybody_there(None, u64::MAX) {
            return;
        }
        for path in self.entries("") {
            remove_if_free(&path);
        }
        // Not empty if somebody has come meanwhile.
        let _ = std::fs::remove_dir(&self.0);
    }

    fn entries(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let begins = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        };
        entries.map(|entry| entry.path()).filter(begins).collect()
    }
}

/// Whether the owner of a presence may have met a host before that of `generation`. It has met none
/// if it has not written anything yet.
fn may_be_before(mut presence: &File, generation: u64) -> bool {
    let mut text = String::new();
    match presence.read_to_string(&mut text) {
        Ok(0) => generation == u64::MAX,
        Ok(_) => text.parse().map_or(true, |since: u64| since < generation),
        Err(_) => true,
    }
}

/// Removes a file that nobody holds, while holding it.
fn remove_if_free(path: &Path) {
    if let Ok(file) = File::open(path)
        && try_lock(&file, false).is_ok()
        && leads_to(path, &file)
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether this is the file that others find there.
pub(super) fn leads_to(path: &Path, file: &File) -> bool {
    let same =
        || Ok::<_, io::Error>(Handle::from_path(path)? == Handle::from_file(file.try_clone()?)?);
    same().unwrap_or(false)
}

/// Shows others that this member's process lives.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    path: PathBuf,
    /// The generation of the first host that it has presented itself to.
    since: u64,
}

impl Presence {
    pub(super) fn announce(directory: &Directory, id: MemberId, since: u64) -> io::Result<Self> {
        let path = directory.member(id);
        for _ in 0..ATTEMPTS {
            let file = directory.open(&path, false)?;
            match try_lock(&file, false) {
                // Somebody looks at it, or is removing it.
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) if leads_to(&path, &file) => {
                    (&file).write_all(since.to_string().as_bytes())?;
                    return Ok(Self { file, path, since });
                }
                Ok(()) => {}
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Shows the member under another id, or in another directory.
    pub(super) fn renew(&mut self, directory: &Directory, id: MemberId) -> io::Result<()> {
        let path = directory.member(id);
        if self.path == path && leads_to(&path, &self.file) {
            return Ok(());
        }
        // The new one comes first: this process seems dead at no moment.
        *self = Self::announce(directory, id, self.since)?;
        Ok(())
    }

    /// Leaves the file behind without its lock: the member is as dead as those of dead processes. A
    /// presence that is removed says nothing, and a new host would wait for the member.
    pub(super) fn leave_behind(mut self) {
        // Nothing leads there, so nothing is removed.
        self.path = PathBuf::new();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if leads_to(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
        // A forked child has the same open file, and would go on holding its lock.
        let _ = unlock(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_goes_on_under_another_id() {
        let above = tempfile::tempdir().expect("a directory");
        let directory = Directory::beside(&above.path().join("channel"));
        let (one, other) = (MemberId(1), MemberId(2));
        let mut presence = Presence::announce(&directory, one, 7).expect("announced");
        assert_eq!(directory.life(one), Life::Lives);
        assert!(directory.is_anybody_there(None, 8) && !directory.is_anybody_there(None, 7));
        presence.renew(&directory, other).expect("renewed");
        assert_eq!((directory.life(one), directory.life(other)), (Life::Unknown, Life::Lives));
        assert!(directory.is_anybody_there(None, 8) && !directory.is_anybody_there(None, 7));
        drop(presence);
        assert!(!directory.is_anybody_there(None, u64::MAX));
        directory.remove_if_deserted();
        assert!(!above.path().join("channel.group").exists());
    }
}
