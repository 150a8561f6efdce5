//! Tests that need more rights than every user has: ignored elsewhere, run here where they can be.

use std::process::{Command, Stdio};

use crate::step::{Step, minutes};

/// Tests, and what shows whether they can be run.
pub(crate) struct Rights {
    /// Succeeds, in a shell, where they can.
    probe: &'static str,
    missing: &'static str,
    pub(crate) step: Step,
}

pub(crate) const RIGHTS: &[Rights] = &[
    Rights {
        probe: "unshare --mount mount -t tmpfs tmpfs /mnt || \
                unshare --user --map-root-user --mount mount -t tmpfs tmpfs /mnt",
        missing: "this user may have no mounts of its own (unshare --user --mount)",
        step: ignored(
            "the program, with mounts of its own",
            &[
                "test",
                "-p",
                "open-channel-cli",
                "--test",
                "cli",
                "--",
                "--ignored",
                "a_process_with_mounts_of_its_own_is_found",
                "a_file_system_on_which_nobody_can_host_is_a_problem",
            ],
        ),
    },
    Rights {
        probe: "group=/sys/fs/cgroup/cpu$(sed -n 's/^[0-9]*:cpu://p' /proc/self/cgroup) && \
                mkdir \"$group/oc-probe\" && rmdir \"$group/oc-probe\"",
        missing: "this user may make no control group below /sys/fs/cgroup/cpu",
        step: ignored(
            "the program, in a control group",
            &[
                "test",
                "-p",
                "open-channel-cli",
                "--test",
                "cli",
                "--",
                "--ignored",
                "half_a_processor_is_a_warning",
            ],
        ),
    },
];

const fn ignored(name: &'static str, args: &'static [&'static str]) -> Step {
    Step { name, program: "cargo", args, folder: "", env: &[], counted: true, limit: minutes(10) }
}

impl Rights {
    /// # Errors
    /// Why the tests cannot be run here.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut probe = Command::new("sh");
        probe.args(["-c", self.probe]).stdin(Stdio::null());
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        match probe.status() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(self.missing.into()),
        }
    }
}
