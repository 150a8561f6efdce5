//! A control group of processes with little memory, where this user may make one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Removed when dropped; by then its processes have to be dead.
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// One of `bytes` within the group of this process. Of the second version only the outermost group has both processes and
    /// members with limits of their own.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own =
            |of| groups.lines().find_map(|line| line.split_once(of)).map(|(_, path)| path.trim_matches('/'));
        let made = |mount: &str, own: Option<&str>, limit: &str| {
            let group = Self(Path::new(mount).join(own?).join(format!("oc-test-{}", std::process::id())));
            std::fs::create_dir(&group.0).ok()?;
            // In a plain directory there is no such file.
            let mut limit = OpenOptions::new().write(true).open(group.0.join(limit)).ok()?;
            limit.write_all(bytes.to_string().as_bytes()).ok()?;
            Some(group)
        };
        made("/sys/fs/cgroup/memory", own(":memory:"), "memory.limit_in_bytes")
            .or_else(|| made("/sys/fs/cgroup", own("0::"), "memory.max"))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// This process, before it has other threads.
pub(crate) fn enter(group: &str) {
    std::fs::write(Path::new(group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
}
