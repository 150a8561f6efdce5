//! The machine as this process is to see it, before its first other thread.

use std::env::var;
use std::fs::File;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::fs::Mode;

use super::denial;
use super::variables::{DENIED, DISK, DISK_AT, GROUP, NEIGHBOUR, SIGPIPE, UMASK, USER};
use crate::control_group;

/// Does what the variables ask for. There has to be one thread only.
pub(super) fn enter() {
    if let Ok(group) = var(GROUP) {
        control_group::enter(&group);
    }
    if let Ok(options) = var(DISK) {
        mount_a_disk(&var(DISK_AT).unwrap(), &options);
    }
    if let Ok(neighbour) = var(NEIGHBOUR) {
        see_the_disks_of(&neighbour);
    }
    if let Ok(user) = var(USER) {
        become_user(user.parse().unwrap());
    }
    if let Ok(mask) = var(UMASK) {
        rustix::process::umask(Mode::from_raw_mode(u32::from_str_radix(&mask, 8).unwrap()));
    }
    if std::env::var_os(SIGPIPE).is_some() {
        // SAFETY: no handler runs in place of the default.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
    }
    if let Ok(denied) = var(DENIED) {
        denial::enforce(&denied);
    }
}

/// The kernel forgets this when the user or the privileges of the process change.
pub(super) fn die_with_the_test() {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
}

fn mount_a_disk(at: &str, options: &str) {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).unwrap();
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    std::fs::write("/proc/self/setgroups", "deny").unwrap();
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("small"), at, Some("tmpfs"), flags, Some(options)).unwrap();
    die_with_the_test();
}

fn see_the_disks_of(neighbour: &str) {
    // Entering the first one could hide the path of the second.
    let open = |kind| File::open(format!("/proc/{neighbour}/ns/{kind}")).unwrap();
    let (user, mounts) = (open("user"), open("mnt"));
    setns(user, CloneFlags::CLONE_NEWUSER).unwrap();
    setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
    die_with_the_test();
}

fn become_user(id: u32) {
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setgid(id.into()).unwrap();
    nix::unistd::setuid(id.into()).unwrap();
    die_with_the_test();
}
