//! Limits that make a channel slow, or stop it.

use std::fs::read_to_string;
use std::path::Path;

use open_channel::inspect;

use super::finding::{Finding, Level};
use crate::survey::Surveyed;

/// With fewer descriptors than that, a host of a few dozen sockets runs out of them: a socket on a
/// ring takes several.
const FEW_DESCRIPTORS: u64 = 256;

pub(super) fn of_this_process() -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = inspect::shared_memory() {
        findings.push(Finding::new(
            Level::Warning,
            "shared-memory",
            format!("no memory can be shared, so messages travel on sockets, more slowly: {error}"),
            "raise the limit that it names (ulimit -n, -v, -f; the memory of the control group)",
        ));
    }
    let limits = read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = soft_limit(&limits, "Max open files")
        && most < FEW_DESCRIPTORS
    {
        findings.push(Finding::new(
            Level::Warning,
            "descriptors",
            format!("a process started here may open {most} files: too few for a host"),
            "ulimit -n 4096",
        ));
    }
    findings.extend(cpu_quota(Path::new("/")).filter(|&cpus| cpus < 1.0).map(|cpus| {
        Finding::new(
            Level::Warning,
            "cpu-quota",
            format!(
                "the control group of this process may use {cpus:.2} CPUs: when it has used them up, \
                 a host is stopped for a while, and a long stop costs it the channel"
            ),
            "systemctl set-property --runtime <unit> CPUQuota=100%, or --cpus=1 for the container",
        )
    }));
    findings
}

/// Descriptors that the hosts have left.
pub(super) fn of_hosts(here: &[Surveyed]) -> Vec<Finding> {
    here.iter().filter_map(descriptors_of).collect()
}

fn descriptors_of(surveyed: &Surveyed) -> Option<Finding> {
    let pid = surveyed.answer.as_ref().ok()?.host.process.pid;
    let limits = read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let most = soft_limit(&limits, "Max open files")?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    // From three quarters on, the library makes no more rings.
    (open >= most / 4 * 3).then(|| {
        Finding::new(
            Level::Warning,
            "descriptors",
            format!(
                "the host of {:?}, {}, has {open} of at most {most} files open: new sockets get no \
                 shared memory, and then none are taken on",
                surveyed.name(),
                surveyed.host()
            ),
            format!("prlimit --pid {pid} --nofile=65536"),
        )
    })
}

/// The first number behind the name; `None` if there is no limit.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPUs that the groups of this process may use together, as seen from `root`; the least of them.
fn cpu_quota(root: &Path) -> Option<f64> {
    let groups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    let quotas = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let is_first = controllers.split(',').any(|controller| controller == "cpu");
        match controllers {
            "" => least(&root.join("sys/fs/cgroup"), path, second_version),
            _ if is_first => least(&root.join("sys/fs/cgroup/cpu"), path, first_version),
            _ => None,
        }
    });
    quotas.min_by(f64::total_cmp)
}

/// The least of a group's and those of the groups around it.
fn least(mount: &Path, path: &str, quota: fn(&Path) -> Option<f64>) -> Option<f64> {
    let group = mount.join(path);
    let around = group.ancestors().take_while(|dir| dir.starts_with(mount));
    around.filter_map(quota).min_by(f64::total_cmp)
}

fn second_version(group: &Path) -> Option<f64> {
    let quota = read_to_string(group.join("cpu.max")).ok()?;
    let (most, period) = quota.trim().split_once(' ')?;
    ratio(most, period)
}

fn first_version(group: &Path) -> Option<f64> {
    let number = |file| read_to_string(group.join(file)).ok();
    ratio(number("cpu.cfs_quota_us")?.trim(), number("cpu.cfs_period_us")?.trim())
}

fn ratio(most: &str, period: &str) -> Option<f64> {
    let (most, period): (f64, f64) = (most.parse().ok()?, period.parse().ok()?);
    (most > 0.0 && period > 0.0).then(|| most / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_limit_is_the_first_number() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\n\
                      Max open files            1024                 524288               files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024));
        assert_eq!(soft_limit(limits, "Max address space"), None);
        assert_eq!(soft_limit("", "Max open files"), None);
    }

    fn machine(groups: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("created");
            std::fs::write(path, text).expect("written");
        };
        write("proc/self/cgroup".into(), groups);
        files.iter().for_each(|(path, text)| write(format!("sys/fs/cgroup/{path}"), text));
        root
    }

    #[test]
    fn the_smallest_quota_around_a_process_counts() {
        let second = machine(
            "0::/a/b\n",
            &[("a/cpu.max", "50000 100000\n"), ("a/b/cpu.max", "max 100000\n")],
        );
        assert_eq!(cpu_quota(second.path()), Some(0.5));
        let first = machine(
            "3:cpu,cpuacct:/c\n0::/\n",
            &[("cpu/c/cpu.cfs_quota_us", "20000\n"), ("cpu/c/cpu.cfs_period_us", "100000\n")],
        );
        assert_eq!(cpu_quota(first.path()), Some(0.2));
        let none = machine(
            "3:cpu:/c\n",
            &[("cpu/c/cpu.cfs_quota_us", "-1\n"), ("cpu/c/cpu.cfs_period_us", "100000\n")],
        );
        assert_eq!(cpu_quota(none.path()), None);
        assert_eq!(cpu_quota(machine("nonsense\n::\n", &[]).path()), None);
    }
}
