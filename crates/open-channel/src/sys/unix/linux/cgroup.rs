//! How much memory this process may still take before its control group is full.
//!
//! The kernel does not refuse memory to a process whose group is full: it kills one of the group.
//! So a ring is only made where much more than it takes is left. See
//! `Documentation/admin-guide/cgroup-v2.rst` (memory) and `cgroup-v1/memory.rst` of the kernel for
//! the files read here.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// From here on a limit means "none"; without one, the first version reports the largest multiple
/// of the page size.
const UNLIMITED: u64 = 1 << 60;

/// One version's names of things.
#[derive(Debug)]
struct Hierarchy {
    /// The text of a line of `/proc/self/cgroup` between its number and the path.
    controller: &'static str,
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The key in `memory.stat` of what the kernel can take back without asking.
    reclaimable: &'static str,
}

const HIERARCHIES: [Hierarchy; 2] = [
    Hierarchy {
        controller: ":memory:",
        mount: "sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file",
    },
    Hierarchy {
        controller: "0::",
        mount: "sys/fs/cgroup",
        limit: "memory.max",
        usage: "memory.current",
        reclaimable: "inactive_file",
    },
];

/// A group that this process is in, with all groups around it, and that has a limit.
#[derive(Debug)]
struct Limited {
    dir: PathBuf,
    names: &'static Hierarchy,
}

/// Bytes that are left to this process; `None` where no group limits it. A group that was limited
/// only after the first question is not noticed.
pub(crate) fn memory_left() -> Option<u64> {
    static LIMITED: OnceLock<Vec<Limited>> = OnceLock::new();
    LIMITED.get_or_init(|| limited(Path::new("/"))).iter().filter_map(Limited::left).min()
}

/// The groups with a limit, as seen from `root`.
fn limited(root: &Path) -> Vec<Limited> {
    let Ok(groups) = read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    let of_hierarchy = |names: &'static Hierarchy| {
        let path = groups.lines().find_map(|line| path_in(names, line));
        path.into_iter().flat_map(move |path| around(&root.join(names.mount), path, names))
    };
    HIERARCHIES.iter().flat_map(of_hierarchy).collect()
}

fn path_in<'a>(names: &Hierarchy, line: &'a str) -> Option<&'a str> {
    let (before, path) = line.split_once(names.controller)?;
    // The second version's line begins with its number, 0.
    (before.is_empty() || names.controller.starts_with(':')).then_some(path.trim_start_matches('/'))
}

/// The group at `path` and those around it. In a container the path may be one that only the
/// machine outside has; then the container's own group is mounted in the place of the outermost.
fn around(mount: &Path, path: &str, names: &'static Hierarchy) -> Vec<Limited> {
    let group = mount.join(path);
    let dirs = group.ancestors().take_while(|dir| dir.starts_with(mount));
    let limited = dirs.map(|dir| Limited { dir: dir.into(), names });
    limited.filter(|group| group.limit().is_some()).collect()
}

impl Limited {
    fn limit(&self) -> Option<u64> {
        self.number(self.names.limit).filter(|&limit| limit < UNLIMITED)
    }

    fn left(&self) -> Option<u64> {
        let (limit, used) = (self.limit()?, self.number(self.names.usage)?);
        Some(limit.saturating_sub(used.saturating_sub(self.reclaimable())))
    }

    fn number(&self, file: &str) -> Option<u64> {
        read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    fn reclaimable(&self) -> u64 {
        let stat = read_to_string(self.dir.join("memory.stat")).unwrap_or_default();
        let value = |line: &str| line.strip_prefix(self.names.reclaimable)?.trim().parse().ok();
        stat.lines().find_map(value).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's file system, as far as it is looked at.
    fn machine(groups: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("created");
            std::fs::write(path, text).expect("written");
        };
        write("proc/self/cgroup", groups);
        files.iter().for_each(|(path, text)| write(&format!("sys/fs/cgroup/{path}"), text));
        root
    }

    fn left(root: &tempfile::TempDir) -> Option<u64> {
        limited(root.path()).iter().filter_map(Limited::left).min()
    }

    #[test]
    fn without_a_limit_nothing_is_said() {
        assert_eq!(left(&machine("", &[])), None);
        assert_eq!(left(&machine("0::/\n", &[])), None, "the outermost group has no files");
        let second = machine("0::/a.slice\n", &[("a.slice/memory.max", "max\n")]);
        assert_eq!(left(&second), None);
        let first = machine(
            "4:memory:/a\n0::/\n",
            &[("memory/a/memory.limit_in_bytes", "9223372036854771712\n")],
        );
        assert_eq!(left(&first), None);
    }

    #[test]
    fn memory_that_the_kernel_can_take_back_counts_as_left() {
        let second = [
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "900\n"),
            ("a/memory.stat", "anon 5\ninactive_file 300\nactive_file 7\n"),
        ];
        assert_eq!(left(&machine("0::/a\n", &second)), Some(400));
        let first = [
            ("memory/a/memory.limit_in_bytes", "1000\n"),
            ("memory/a/memory.usage_in_bytes", "1000\n"),
            ("memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 200\n"),
        ];
        assert_eq!(left(&machine("9:name=systemd:/\n4:memory:/a\n0::/\n", &first)), Some(200));
    }

    #[test]
    fn the_groups_around_it_limit_it_too() {
        let files = [
            ("a/memory.max", "500\n"),
            ("a/memory.current", "450\n"),
            ("a/b/memory.max", "1000\n"),
            ("a/b/memory.current", "100\n"),
        ];
        assert_eq!(left(&machine("0::/a/b/c\n", &files)), Some(50));
    }

    #[test]
    fn a_container_sees_its_own_group_in_the_place_of_the_outermost() {
        let files =
            [("memory/memory.limit_in_bytes", "700\n"), ("memory/memory.usage_in_bytes", "100\n")];
        assert_eq!(left(&machine("4:memory:/docker/0123\n", &files)), Some(600));
    }

    #[test]
    fn nonsense_limits_nothing() {
        let files = [("a/memory.max", "-3\n"), ("a/memory.current", "x\n")];
        assert_eq!(left(&machine("garbage\n0::/a\n::\n:::\n", &files)), None);
        let escaping =
            machine("0::/../../etc\n", &[("memory.max", "9\n"), ("memory.current", "1\n")]);
        assert_eq!(left(&escaping), Some(8));
    }
}
