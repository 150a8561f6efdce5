//! The generation as a fencing token that outlives the channel's directory.

use std::collections::BTreeSet;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::inotify;

use crate::failover::connected;
use crate::rendezvous::{NOBODY, agree, gets_through, refusal};
use crate::stage::{Actor, Stage, is_root, now};

/// The file of these tests.
fn file(stage: &Stage) -> PathBuf {
    stage.path().join("generation")
}

fn settings(stage: &Stage) -> String {
    format!("host_timeout=1000 generation_file={}", file(stage).display())
}

fn remembered(stage: &Stage) -> u64 {
    fs::read_to_string(file(stage)).unwrap().trim_end().parse().unwrap()
}

/// The generations of each time that one of these became host.
fn generations<'a>(actors: impl IntoIterator<Item = &'a Actor>) -> Vec<u64> {
    let mut all = Vec::new();
    for actor in actors {
        actor.catch_up();
        let lines = actor.lines();
        all.extend(
            lines.iter().filter(|line| line.is("event became-host")).map(|line| line.number(2)),
        );
    }
    all
}

pub(crate) fn a_generation_file_goes_on_where_a_new_directory_would_begin_anew(stage: &mut Stage) {
    let settings = settings(stage);
    for round in 0..3 {
        let first = stage.joined(format!("first {round}"), &settings);
        let second = stage.joined(format!("second {round}"), &settings);
        assert_eq!(first.wait("joined").text, format!("joined host {}", 2 * round + 1));
        first.kill();
        assert_eq!(connected(&second, 2 * round + 2), "host");
        assert_eq!(remembered(stage), 2 * round + 2);
        second.kill();
        // As after a restart of the machine.
        fs::remove_dir_all(stage.runtime_dir()).unwrap();
    }
    // The directory's own number counts, too.
    fs::remove_file(file(stage)).unwrap();
    stage.joined("without", "").kill();
    assert_eq!(stage.joined("with", &settings).wait("joined").text, "joined host 2");
    assert_eq!(fs::metadata(file(stage)).unwrap().permissions().mode() & 0o777, 0o600);
}

pub(crate) fn with_a_generation_file_no_two_hosts_ever_have_one_generation(stage: &mut Stage) {
    let settings = settings(stage);
    let mut actors = vec![stage.joined("host", &settings), stage.joined("peer", &settings)];
    for round in 0..3 {
        // Under a live host; a newcomer comes before it notices.
        fs::remove_dir_all(stage.runtime_dir()).unwrap();
        actors.push(stage.joined(format!("newcomer {round}"), &settings));
        agree(&actors.iter().collect::<Vec<_>>());
    }
    actors.iter().for_each(gets_through);
    let all = generations(&actors);
    assert!(all.len() > 3, "{all:?}");
    assert_eq!(
        all.iter().collect::<BTreeSet<_>>().len(),
        all.len(),
        "a generation came again: {all:?}"
    );
}

pub(crate) fn thirty_two_processes_with_a_generation_file_find_one_host(stage: &mut Stage) {
    fs::write(file(stage), "").unwrap();
    fs::set_permissions(file(stage), PermissionsExt::from_mode(0o600)).unwrap();
    for round in 0..2 {
        // In the last round some took over from those killed before them.
        let before = fs::read_to_string(file(stage)).unwrap().trim_end().parse().unwrap_or(0);
        let dir = stage.path().join(format!("round-{round}"));
        let settings =
            format!("{} dir={}", settings(stage).replace("=1000", "=20000"), dir.display());
        let actors: Vec<_> =
            (0..32).map(|n| stage.actor(format!("round {round}, process {n}"))).collect();
        actors.iter().for_each(|actor| actor.open(&settings));
        actors.iter().for_each(|actor| actor.tell("join"));
        for actor in &actors {
            assert_eq!(actor.wait("joined").number(2), before + 1, "{}", actor.label);
        }
        assert_eq!(generations(&actors), [before + 1]);
        assert_eq!(remembered(stage), before + 1);
    }
}

pub(crate) fn hosts_killed_while_they_take_over_never_share_a_generation(stage: &mut Stage) {
    let settings = settings(stage).replace("=1000", "=20000");
    let tool = stage.actor("tool");
    tool.open(&format!("{settings} role=peer connect_timeout=60000"));
    tool.tell("connect s");
    tool.tell("stream s");
    let mut seen = 0;
    for round in 0..30 {
        let candidates: Vec<_> =
            (0..3).map(|n| stage.actor(format!("round {round}, process {n}"))).collect();
        candidates.iter().for_each(|actor| actor.open(&settings));
        candidates.iter().for_each(|actor| actor.tell("join"));
        // The first host of them dies; others may be in the middle of taking over.
        let first = candidates[round % 3].wait("joined").number(2);
        candidates.iter().for_each(Actor::kill);
        let all = generations(&candidates);
        assert!(first > seen, "generation {first} after {seen}");
        assert!(all.iter().all(|&generation| generation > seen), "{all:?} after {seen}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        seen = all.into_iter().max().unwrap_or(first);
        assert!(remembered(stage) >= seen);
        if round % 5 == 4 {
            fs::remove_dir_all(stage.runtime_dir()).unwrap();
        }
    }
    let last = stage.joined("last", &settings);
    gets_through(&last);
    tool.tell("stop s");
    tool.wait("streamed s");
}

pub(crate) fn a_generation_file_that_cannot_be_used_is_a_clear_error(stage: &mut Stage) {
    let path = file(stage);
    let settings = settings(stage);
    let refused = |stage: &Stage, problem: &str| {
        let error = refusal(stage, &settings, &[]);
        assert!(
            error.contains(&format!("the generation file {} cannot be used", path.display())),
            "{error}"
        );
        assert!(error.contains(problem), "{error}");
    };
    for hostile in ["x", "1 2", "-1", "\n", "99999999999999999999", &"1".repeat(1 << 20)] {
        fs::write(&path, hostile).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        refused(stage, "it holds something else than one decimal number");
        assert_eq!(fs::read_to_string(&path).unwrap(), hostile, "it was changed");
    }
    // The first host would still get a generation, the next one none.
    for damaged in ["9007199254740990\n", "18446744073709551615"] {
        fs::write(&path, damaged).unwrap();
        refused(stage, &format!("it holds {}, which no channel comes to", damaged.trim_end()));
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "it was changed");
    }
    fs::write(&path, "7").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).unwrap();
    refused(stage, "its mode 620 lets other users write to it");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let other = stage.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    refused(stage, "hard links");
    fs::remove_file(&path).unwrap();
    symlink(&other, &path).unwrap();
    refused(stage, "it is a symbolic link, which is never followed");
    assert_eq!(fs::read_to_string(&other).unwrap(), "7", "a link was followed");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(stage, "directory");
    fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(stage, "it is not a regular file");
    fs::remove_file(&path).unwrap();
    if is_root() {
        fs::write(&path, "7").unwrap();
        std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap();
        refused(stage, "it belongs to user 65534");
        fs::remove_file(&path).unwrap();
    }
    let nowhere = format!("generation_file={}/not/there", stage.path().display());
    let error = refusal(stage, &nowhere, &[]);
    assert!(error.contains("No such file or directory"), "{error}");
    // None of them has used a generation up.
    assert_eq!(stage.joined("host", &settings).wait("joined").text, "joined host 1");
}

pub(crate) fn a_last_generation_that_is_remembered_for_all_channels_is_named(stage: &mut Stage) {
    stage.joined("first", "").kill();
    fs::remove_dir_all(stage.channel_dir()).unwrap();
    let remembered = stage.runtime_dir().join("generations");
    fs::create_dir_all(&remembered).unwrap();
    fs::set_permissions(&remembered, PermissionsExt::from_mode(0o700)).unwrap();
    let entry = remembered.join("00009007199254740991");
    symlink("removed", &entry).unwrap();
    let error = refusal(stage, "", &[]);
    assert!(error.contains(&remembered.display().to_string()), "{error}");
    assert!(error.contains("its entry 00009007199254740991 is the last generation"), "{error}");
    fs::remove_file(&entry).unwrap();
    stage.joined("host", "");
}

/// Reports each time that a process opens the file.
struct Opened(OwnedFd);

impl Opened {
    fn of(path: &Path) -> Self {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&inotify, path, inotify::WatchFlags::OPEN).unwrap();
        Self(inotify)
    }

    fn wait(&self, times: usize) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        (0..times).for_each(|_| {
            events.next().unwrap();
        });
    }
}

pub(crate) fn those_who_wait_for_the_generation_file_do_not_wait_for_a_stuck_host_again(
    stage: &mut Stage,
) {
    // Longer than anything else here takes.
    const HOST_TIMEOUT: u64 = 4_000;
    let settings = settings(stage).replace("=1000", &format!("={HOST_TIMEOUT}"));
    let host = stage.joined("host", &settings);
    let peer = stage.joined("peer", &settings);
    let held = fs::File::open(file(stage)).unwrap();
    held.lock().unwrap();
    let opened = Opened::of(&file(stage));
    host.stop();
    opened.wait(1);
    let stood = now();
    // It finds the lock taken, and tries again.
    opened.wait(2);
    let took = now() - stood;
    assert!(
        took < HOST_TIMEOUT / 2 * 1_000_000,
        "after {took} ns: it waited for the host once more"
    );
    drop(held);
    peer.wait("event became-host 2");
    host.resume();
    host.wait("event fenced");
}

pub(crate) fn a_generation_file_that_somebody_holds_is_waited_for(stage: &mut Stage) {
    let held = fs::File::create(file(stage)).unwrap();
    fs::set_permissions(file(stage), PermissionsExt::from_mode(0o600)).unwrap();
    held.lock().unwrap();
    let settings = settings(stage);
    let actor = stage.actor("host");
    actor.open(&format!("{settings} connect_timeout=500"));
    let error = actor.ask("join", "error join");
    assert!(
        error.text.contains("another process holds the lock of the generation file"),
        "{error:?}"
    );
    drop(held);
    assert_eq!(actor.ask("join", "joined").text, "joined host 1");
}
