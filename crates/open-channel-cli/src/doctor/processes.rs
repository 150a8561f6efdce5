//! Other processes of this user, as far as `/proc` shows them. Elsewhere there are none to be seen.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use open_channel::UserId;

/// A process of this user.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    environment: BTreeMap<String, OsString>,
    /// Its mount namespace is not this process's.
    pub(super) has_other_mounts: bool,
}

pub(super) fn of_this_user() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own_mounts = std::fs::read_link("/proc/self/ns/mnt").ok();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let others = pids.filter(|&pid: &u32| pid != std::process::id());
    others.filter_map(|pid| look_at(pid, own_mounts.as_deref())).collect()
}

fn look_at(pid: u32, own_mounts: Option<&Path>) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    if owner_and_mode(&dir)?.0 != UserId::current().to_string() {
        return None;
    }
    // It is denied for a process that has other rights.
    let environment = parse(&std::fs::read(dir.join("environ")).ok()?);
    let mounts = std::fs::read_link(dir.join("ns/mnt")).ok();
    Some(Process { pid, environment, has_other_mounts: mounts.as_deref() != own_mounts })
}

fn parse(environment: &[u8]) -> BTreeMap<String, OsString> {
    let pairs = environment.split(|&byte| byte == 0);
    let pair = |pair: &[u8]| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((name.to_owned(), OsString::from(value)))
    };
    pairs.filter_map(pair).collect()
}

impl Process {
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }

    /// The directories that it may meet others in, with the reason, as this process can reach
    /// them.
    pub(super) fn directories(&self) -> Vec<(PathBuf, String)> {
        let user = UserId::current();
        let mut all = Vec::new();
        if let Some(dir) = self.variable("OPEN_CHANNEL_DIR") {
            let cwd = std::fs::read_link(format!("/proc/{}/cwd", self.pid)).unwrap_or_default();
            let why = format!("its environment has OPEN_CHANNEL_DIR={}", dir.display());
            all.push((cwd.join(dir), why));
        } else {
            if let Some(session) = self.variable("XDG_RUNTIME_DIR") {
                let why = format!("its environment has XDG_RUNTIME_DIR={}", session.display());
                all.push((Path::new(session).join("open-channel"), why));
            }
            let why = "its environment has no XDG_RUNTIME_DIR of its own";
            all.push((format!("/run/user/{user}/open-channel").into(), why.into()));
            all.push((format!("/tmp/open-channel-{user}").into(), why.into()));
        }
        if self.has_other_mounts {
            for (path, why) in &mut all {
                let root = format!("/proc/{}/root", self.pid);
                *path = Path::new(&root).join(path.strip_prefix("/").unwrap_or(path));
                *why = "it has file systems of its own: a container, or PrivateTmp".to_string();
            }
        }
        all
    }
}

/// One letter: `T` for stopped; `None` where it is not known.
pub(super) fn state(pid: u32) -> Option<char> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:"))?.trim().chars().next()
}

/// The user as a number, and the permissions.
#[cfg(unix)]
pub(super) fn owner_and_mode(path: &Path) -> Option<(String, u32)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.uid().to_string(), metadata.mode() & 0o7777))
}

#[cfg(not(unix))]
pub(super) fn owner_and_mode(_: &Path) -> Option<(String, u32)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_read_pair_by_pair() {
        let environment = parse(b"A=1\0B=x=y\0\0C\0=\0D=\0\xff=2\0");
        assert_eq!(environment.get("B"), Some(&OsString::from("x=y")));
        let process = Process { pid: 1, environment, has_other_mounts: false };
        assert_eq!(process.variable("A"), Some(&OsString::from("1")));
        assert_eq!(process.variable("D"), None, "empty counts as not set");
    }

    #[test]
    fn a_process_with_mounts_of_its_own_is_looked_at_through_its_root() {
        let environment = parse(b"OPEN_CHANNEL_DIR=/run/app\0");
        let process = Process { pid: 7, environment, has_other_mounts: true };
        let directories = process.directories();
        assert_eq!(directories.len(), 1);
        assert_eq!(directories[0].0, Path::new("/proc/7/root/run/app"));
    }
}
