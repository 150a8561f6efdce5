//! A control group of processes with little memory or few threads, where this user may make one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A limit, by its names in both versions of control groups.
struct Limit {
    /// Text in a line of `/proc/self/cgroup`, and the directory where the first version is mounted.
    controller: &'static str,
    mount: &'static str,
    first: &'static str,
    second: &'static str,
}

const MEMORY: Limit = Limit {
    controller: ":memory:",
    mount: "/sys/fs/cgroup/memory",
    first: "memory.limit_in_bytes",
    second: "memory.max",
};
const THREADS: Limit = Limit {
    controller: ":pids:",
    mount: "/sys/fs/cgroup/pids",
    first: "pids.max",
    second: "pids.max",
};

/// Removed when dropped; its processes have to be dead by then.
pub(crate) struct ControlGroup {
    dir: PathBuf,
    limit: &'static str,
}

impl ControlGroup {
    /// A group with `bytes` of memory.
    pub(crate) fn of_memory(bytes: u64) -> Option<Self> {
        Self::new(&MEMORY, &bytes.to_string())
    }

    /// A group with any number of threads, until they are [limited](Self::allow_no_more_threads).
    pub(crate) fn of_threads() -> Option<Self> {
        Self::new(&THREADS, "max")
    }

    /// Within the group of this process. In the second version, only the outermost group has both
    /// processes and members with limits of their own.
    fn new(limit: &Limit, value: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = |of| {
            groups
                .lines()
                .find_map(|line| line.split_once(of))
                .map(|(_, path)| path.trim_matches('/'))
        };
        let made = |mount: &str, own: Option<&str>, limit: &'static str| {
            let dir = Path::new(mount)
                .join(own?)
                .join(format!("oc-test-{}-{number}", std::process::id()));
            std::fs::create_dir(&dir).ok()?;
            // In a plain directory there is no such file.
            let group = Self { dir, limit };
            group.set(value).then_some(group)
        };
        made(limit.mount, own(limit.controller), limit.first)
            .or_else(|| made("/sys/fs/cgroup", own("0::"), limit.second))
    }

    fn set(&self, value: &str) -> bool {
        let limit = OpenOptions::new().write(true).open(self.dir.join(self.limit));
        limit.is_ok_and(|mut limit| limit.write_all(value.as_bytes()).is_ok())
    }

    pub(crate) fn allow_no_more_threads(&self) {
        assert!(self.set("1"));
    }

    pub(crate) fn allow_more_threads(&self) {
        assert!(self.set("max"));
    }

    pub(crate) fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Moves this process, before it has other threads.
pub(crate) fn enter(group: &str) {
    std::fs::write(Path::new(group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
}
