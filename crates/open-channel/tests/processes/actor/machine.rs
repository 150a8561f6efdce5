//! Changes to the machine as this process sees it: paths, users, file systems and limits.

use std::fs::File;
use std::io::Write;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::report::say;
use super::surroundings::die_with_the_test;

/// Descriptors that this process has taken, so that few are left.
#[derive(Default)]
pub(super) struct Machine {
    taken: Vec<File>,
}

impl Machine {
    /// Whether this is one of its commands.
    pub(super) fn obey(&mut self, words: &[&str]) -> bool {
        match *words {
            ["chdir", path] => {
                std::env::set_current_dir(path).unwrap();
                say!("changed {path}");
            }
            ["chroot", path] => {
                rustix::process::chroot(path).unwrap();
                say!("changed {path}");
            }
            ["user", id] => {
                nix::unistd::setuid(id.parse::<u32>().unwrap().into()).unwrap();
                die_with_the_test();
                say!("changed {id}");
            }
            ["make", path, mode] => make(path, mode),
            ["remove", path] => {
                std::fs::remove_dir_all(path).unwrap();
                say!("removed {path}");
            }
            ["mount", at, options] => mount_over(at, options),
            ["unmount", at] => unmount(at),
            ["stuff", path] => stuff(path),
            ["glut", path] => glut(path),
            ["fork"] => fork_and_wait(),
            ["descriptors", limit] => limit_descriptors(limit),
            ["eat", spare] => self.eat(spare.parse().unwrap()),
            ["spit"] => self.taken.clear(),
            ["little-memory", spare] => {
                limit(Resource::As, mapped() + spare.parse::<u64>().unwrap());
            }
            ["small-files", most] => limit(Resource::Fsize, most.parse().unwrap()),
            _ => return false,
        }
        true
    }

    /// Takes all descriptors but `spare` of them.
    fn eat(&mut self, spare: usize) {
        while let Ok(file) = File::open("/dev/null") {
            self.taken.push(file);
        }
        self.taken.truncate(self.taken.len().saturating_sub(spare));
        say!("eaten {}", self.taken.len());
    }
}

/// A directory with its parents.
fn make(path: &str, mode: &str) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::create_dir_all(path).unwrap();
    let mode = u32::from_str_radix(mode, 8).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    say!("made {path}");
}

/// Another small file system over `at`, for this process and its neighbours.
fn mount_over(at: &str, options: &str) {
    nix::mount::mount(
        Some("small"),
        at,
        Some("tmpfs"),
        nix::mount::MsFlags::MS_NODEV,
        Some(options),
    )
    .unwrap();
    say!("mounted {at}");
}

/// Also while it is in use.
fn unmount(at: &str) {
    nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH).unwrap();
    say!("unmounted {at}");
}

/// Takes every inode.
fn stuff(path: &str) {
    let files =
        (0..100_000).take_while(|n| File::create(format!("{path}/stuffing-{n}")).is_ok()).count();
    say!("stuffed {files}");
}

/// Takes every block.
fn glut(path: &str) {
    let mut file = File::create(format!("{path}/glut")).unwrap();
    let blocks = (0..100_000).take_while(|_| file.write_all(&[0; 4096]).is_ok()).count();
    say!("glutted {blocks}");
}

fn fork_and_wait() {
    // SAFETY: the child does nothing but wait for signals, which needs neither locks nor memory.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => say!("forked {child}"),
        nix::unistd::ForkResult::Child => loop {
            nix::unistd::pause();
        },
    }
}

fn limit_descriptors(limit: &str) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = match limit {
        "max" => maximum,
        // Numbers beyond the highest one in use.
        spare => {
            let used = std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u64>().ok());
            Some(used.max().unwrap() + 1 + spare.parse::<u64>().unwrap())
        }
    };
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    say!("descriptors {current:?}");
}

/// Bytes of address space in use.
fn mapped() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

fn limit(resource: Resource, most: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(most), maximum }).unwrap();
    say!("limited {most}");
}
