//! What `doctor` says of limits, each of which is set for it.
#![cfg(target_os = "linux")] // it looks into /proc

use std::path::PathBuf;

use crate::doctor::{Findings, doctor, name, shell, start};
use crate::program::Place;

#[test]
fn few_descriptors_and_no_shared_memory_are_warnings() {
    let place = Place::new();
    let script = "ulimit -n 64; exec \"$0\" doctor --json";
    let found = Findings::of(start(shell(&place, &["sh"], script)));
    let (what, remedy) = found.worst("descriptors", "warning");
    assert!(what.contains("64 files"), "{what}");
    assert_eq!(remedy, "ulimit -n 4096");
    // Shared memory is a file to the kernel, which may be too large.
    let script = "ulimit -f 1; exec \"$0\" doctor --json";
    let found = Findings::of(start(shell(&place, &["sh"], script)));
    let (what, _) = found.worst("shared-memory", "warning");
    assert!(what.contains("travel on sockets"), "{what}");
}

#[test]
fn a_host_that_has_used_its_descriptors_up_is_a_warning() {
    let (place, name) = (Place::new(), name("descriptors"));
    let script = format!(
        "ulimit -n 80; for i in $(seq 10 60); do eval \"exec $i</dev/null\"; done; \
         exec \"$0\" -v join '{name}' --stay"
    );
    let mut host = start(shell(&place, &["bash"], &script));
    host.wait_for_error("this process hosts");
    let (what, remedy) = doctor(&place, &[]).find("descriptors", "warning");
    assert!(what.contains("of at most 80 files open"), "{what}");
    assert_eq!(remedy, format!("prlimit --pid {} --nofile=65536", host.pid()));
}

#[test]
#[ignore = "makes a control group; `cargo xtask test` runs it where it can"]
fn half_a_processor_is_a_warning() {
    let group = HalfAProcessor::new().expect("this user may make a control group");
    let place = Place::new();
    let script =
        format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" doctor --json", group.0.display());
    let found = Findings::of(start(shell(&place, &["sh"], &script)));
    let (what, _) = found.worst("cpu-quota", "warning");
    assert!(what.contains("0.50 CPUs"), "{what}");
}

struct HalfAProcessor(PathBuf);

impl HalfAProcessor {
    fn new() -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = groups.lines().find_map(|line| line.split_once(":cpu:"))?.1;
        let mount = PathBuf::from("/sys/fs/cgroup/cpu");
        let dir =
            mount.join(own.trim_matches('/')).join(format!("oc-doctor-{}", std::process::id()));
        std::fs::create_dir(&dir).ok()?;
        let group = Self(dir);
        std::fs::write(group.0.join("cpu.cfs_period_us"), "100000").ok()?;
        std::fs::write(group.0.join("cpu.cfs_quota_us"), "50000").ok()?;
        Some(group)
    }
}

impl Drop for HalfAProcessor {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
