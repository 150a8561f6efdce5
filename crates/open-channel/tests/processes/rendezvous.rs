//! The way from a name to a place, past anything that lies there already.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::actor::variables::{DISK, DISK_AT, NEIGHBOUR, USER};
use crate::failover::connected;
use crate::ring::link_of;
use crate::stage::{Actor, Stage, hex, is_root, now};

/// A user that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// A message through a socket of its own.
pub(crate) fn gets_through(actor: &Actor) {
    let mark = actor.mark();
    let socket = format!("s{mark}");
    actor.tell(&format!("connect {socket}"));
    actor.ask(&format!("send {socket} fine"), &format!("sent {socket}"));
    actor.ask(&format!("flush {socket}"), &format!("flush {socket}"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The error of a process that cannot use the directory: at once, not at the end of a timeout.
pub(crate) fn refusal(stage: &Stage, settings: &str, environment: &[(&str, &str)]) -> String {
    let actor = stage.actor_with("refused", environment);
    actor.open(settings);
    let asked = now();
    let error = actor.ask("join", "error join");
    let took = Duration::from_nanos(error.at.saturating_sub(asked));
    assert!(took < Duration::from_secs(3), "{took:?} for {error:?}");
    actor.ask("connect s", "socket s");
    assert_eq!(actor.wait("error recv s").text.replace("recv s", "join"), error.text);
    error.text
}

pub(crate) fn what_a_killed_host_left_behind_is_cleared_away(stage: &mut Stage) {
    for generation in 1..=5 {
        let host = stage.joined(format!("host {generation}"), "");
        assert_eq!(connected(&host, generation), "host");
        host.kill();
    }
    // And the files of processes that were killed while they became host.
    let dir = stage.channel_dir();
    for leftover in ["0123456789abcdef.lock", "0123456789abcdef.sock", "fedcba9876543210.new"] {
        fs::write(dir.join(leftover), "").unwrap();
    }
    fs::write(dir.join("README"), "not ours").unwrap();
    fs::create_dir(dir.join("00000000000000000099")).unwrap();
    let host = stage.joined("last", "");
    assert_eq!(connected(&host, 6), "host");
    gets_through(&stage.joined("peer", "role=peer"));
    let (_, socket) = stage.published();
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // It holds the versions that take part, and stays for ever.
    names.retain(|name| !name.starts_with("versions-"));
    names.sort();
    let token = socket.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut expected = vec![
        "00000000000000000006".to_owned(),
        "00000000000000000099".to_owned(),
        "README".to_owned(),
        format!("{token}.lock"),
        format!("{token}.sock"),
    ];
    expected.sort();
    assert_eq!(names, expected);
}

pub(crate) fn a_generation_taken_by_something_else_is_passed_over(stage: &mut Stage) {
    stage.joined("first", "").kill();
    let at = |generation: u64| stage.channel_dir().join(format!("{generation:020}"));
    symlink("not a token", at(2)).unwrap();
    fs::create_dir(at(3)).unwrap();
    fs::write(at(4), "").unwrap();
    let host = stage.joined("host", "");
    assert_eq!(connected(&host, 5), "host");
    gets_through(&stage.joined("peer", ""));
    host.kill();
    gets_through(&stage.joined("last", ""));
}

pub(crate) fn a_deleted_socket_file_is_restored(stage: &mut Stage) {
    let host = stage.joined("host", "host_timeout=1000");
    let peer = stage.joined("peer", "role=peer host_timeout=1000");
    for round in 0..5 {
        let (_, socket) = stage.published();
        fs::remove_file(&socket).unwrap();
        // A candidate must not take it for a dead host's.
        let newcomer = stage.joined(format!("newcomer {round}"), "host_timeout=1000");
        assert_eq!(connected(&newcomer, 1), "peer");
        gets_through(&newcomer);
        gets_through(&peer);
    }
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    assert_eq!(peer.count("event host-lost"), 0);
}

pub(crate) fn a_deleted_lock_file_is_restored(stage: &mut Stage) {
    let host = stage.joined("host", "host_timeout=1000");
    let (_, socket) = stage.published();
    let lock = socket.with_extension("lock");
    for round in 0..3 {
        fs::remove_file(&lock).unwrap();
        while !lock.exists() {
            host.catch_up();
        }
        // It is as good as the first one: without its socket file, only the lock shows that the
        // host lives.
        fs::remove_file(&socket).unwrap();
        let newcomer = stage.joined(format!("newcomer {round}"), "host_timeout=1000");
        assert_eq!(connected(&newcomer, 1), "peer");
        gets_through(&newcomer);
    }
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    host.kill();
    let last = stage.joined("last", "");
    assert_ne!(last.wait("joined").number(2), 1);
}

pub(crate) fn a_deleted_generation_never_leaves_two_hosts(stage: &mut Stage) {
    let settings = "host_timeout=3000";
    let host = stage.joined("host", settings);
    let peer = stage.joined("peer", settings);
    fs::remove_file(stage.channel_dir().join(format!("{:020}", 1))).unwrap();
    // It comes before the link is restored, and waits for it, because a process lives here.
    let newcomer = stage.joined("newcomer", settings);
    assert_eq!(connected(&newcomer, 1), "peer");
    agree(&[&host, &peer, &newcomer]);
    gets_through(&peer);
    gets_through(&newcomer);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
}

pub(crate) fn a_channel_directory_deleted_under_a_live_host_loses_nothing(stage: &mut Stage) {
    deleted(stage, |stage| stage.channel_dir());
}

pub(crate) fn a_runtime_directory_deleted_under_a_live_host_is_survived(stage: &mut Stage) {
    deleted(stage, Stage::runtime_dir);
}

fn deleted(stage: &Stage, dir: impl Fn(&Stage) -> std::path::PathBuf) {
    let settings = "host_timeout=1000";
    // Not the first generation: members go on from it, and a newcomer in an empty place does not.
    let first = stage.joined("first", settings);
    let host = stage.joined("host", settings);
    first.kill();
    assert_eq!(connected(&host, 2), "host");
    let peer = stage.joined("peer", settings);
    let tool = stage.joined("tool", &format!("{settings} role=peer"));
    gets_through(&peer);
    gets_through(&tool);
    let newcomer = stage.actor("newcomer");
    newcomer.open(settings);
    fs::remove_dir_all(dir(stage)).unwrap();
    newcomer.ask("join", "joined");
    gets_through(&newcomer);
    agree(&[&host, &peer, &tool, &newcomer]);
    gets_through(&peer);
    gets_through(&tool);
    gets_through(&newcomer);
}

/// Waits until these processes are on one generation, with one of them as its host.
pub(crate) fn agree(actors: &[&Actor]) {
    let deadline = now() + 20_000_000_000;
    loop {
        let states: Vec<_> = actors.iter().map(|actor| actor.ask("status", "status")).collect();
        let hosts = states.iter().filter(|state| state.word(1) == "host").count();
        let generation = states[0].number(2);
        // Hosts in two directories may have the same generation.
        let directories: Vec<_> =
            actors.iter().map(|actor| actor.ask("directory", "directory").text).collect();
        if hosts == 1
            && generation > 0
            && states.iter().all(|state| state.number(2) == generation)
            && directories.iter().all(|directory| *directory == directories[0])
        {
            return;
        }
        assert!(now() < deadline, "no agreement: {states:?}");
    }
}

pub(crate) fn a_missing_directory_is_made_private(stage: &mut Stage) {
    let dir = stage.path().join("not/there/yet");
    let actor = stage.joined("host", &format!("dir={}", dir.display()));
    assert_eq!(actor.wait("joined").word(1), "host");
    assert_eq!(mode(&dir), 0o700);
    let channel = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&channel), 0o700);
    gets_through(&stage.joined("peer", &format!("dir={}", dir.display())));
}

pub(crate) fn a_directory_of_somebody_else_is_refused(stage: &mut Stage) {
    let error = if is_root() {
        let dir = stage.runtime_dir();
        fs::create_dir(&dir).unwrap();
        set_mode(&dir, 0o700);
        std::os::unix::fs::chown(&dir, Some(NOBODY), None).unwrap();
        refusal(stage, "", &[])
    } else {
        refusal(stage, "dir=/", &[])
    };
    let owner = if is_root() { NOBODY } else { 0 };
    assert!(error.contains(&format!("it belongs to user {owner}")), "{error}");
    assert!(error.contains("set OPEN_CHANNEL_DIR"), "{error}");
}

pub(crate) fn a_symbolic_link_is_refused(stage: &mut Stage) {
    let real = stage.path().join("real");
    fs::create_dir(&real).unwrap();
    set_mode(&real, 0o700);
    symlink(&real, stage.runtime_dir()).unwrap();
    let error = refusal(stage, "", &[]);
    assert!(error.contains("it is a symbolic link"), "{error}");
    assert!(fs::read_dir(&real).unwrap().next().is_none(), "it was followed");
    // To nowhere, and a file where the directory should be.
    fs::remove_file(stage.runtime_dir()).unwrap();
    symlink("nowhere", stage.runtime_dir()).unwrap();
    let error = refusal(stage, "", &[]);
    assert!(error.contains("it is a symbolic link"), "{error}");
    fs::remove_file(stage.runtime_dir()).unwrap();
    fs::write(stage.runtime_dir(), "").unwrap();
    let error = refusal(stage, "", &[]);
    assert!(error.contains("it is not a directory"), "{error}");
}

pub(crate) fn a_directory_open_to_others_is_refused(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    for open in [0o755, 0o701, 0o720, 0o777] {
        set_mode(&dir, open);
        let error = refusal(stage, "", &[]);
        assert!(error.contains(&format!("its mode {open:03o} lets other users in")), "{error}");
    }
    set_mode(&dir, 0o700);
    stage.joined("host", "");
}

pub(crate) fn a_read_only_directory_is_a_clear_error(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    let nobody = NOBODY.to_string();
    let mut environment = vec![];
    if is_root() {
        std::os::unix::fs::chown(&dir, Some(NOBODY), None).unwrap();
        environment.push((USER, &*nobody));
    }
    set_mode(&dir, 0o500);
    let error = refusal(stage, "", &environment);
    assert!(error.contains("Permission denied") && error.contains("cannot be created"), "{error}");
    // The channel's own directory read-only: hosting fails, with the reason, when the time is up.
    set_mode(&dir, 0o700);
    let first = stage.actor_with("first", &environment);
    first.open("");
    first.ask("join", "joined");
    first.kill();
    set_mode(&stage.channel_dir(), 0o500);
    let second = stage.actor_with("second", &environment);
    second.open("connect_timeout=1000");
    let error = second.ask("join", "error join");
    assert!(
        error.text.contains("was not reached within 1s")
            && error.text.contains("Permission denied"),
        "{error:?}"
    );
    set_mode(&stage.channel_dir(), 0o700);
    assert_eq!(second.ask("join", "joined").word(1), "host");
}

pub(crate) fn a_stopped_host_that_cannot_be_replaced_for_want_of_permission_is_found_again(
    stage: &mut Stage,
) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o700);
    let nobody = NOBODY.to_string();
    let mut environment = vec![];
    if is_root() {
        std::os::unix::fs::chown(&dir, Some(NOBODY), None).unwrap();
        environment.push((USER, &*nobody));
    }
    let joined = |label: &str| {
        let actor = stage.actor_with(label, &environment);
        actor.open("host_timeout=600");
        actor.ask("join", "joined");
        actor
    };
    let (host, other) = (joined("host"), joined("other"));
    set_mode(&stage.channel_dir(), 0o500);
    host.stop();
    other.wait("event host-lost");
    host.resume();
    gets_through(&other);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    set_mode(&stage.channel_dir(), 0o700);
}

pub(crate) fn every_name_is_a_channel_of_its_own(stage: &mut Stage) {
    let (long, longer) = ("x".repeat(255), format!("{}y", "x".repeat(254)));
    let names = [
        "a",
        "A",
        "/",
        "..",
        ".",
        "../../etc/passwd",
        "a/b",
        "a\\b",
        "🦀",
        "🦀🦀",
        " ",
        "\n",
        "a\0b",
        "-rf",
        "~",
        "%2e",
        "é",
        "e\u{301}",
        &long,
        &longer,
    ];
    let mut hosts = Vec::new();
    for name in names {
        let host = stage.actor(format!("{name:?}"));
        host.ask(&format!("open name={}", hex(name)), "opened");
        assert_eq!(host.ask("join", "joined").word(1), "host", "{name:?} shares its channel");
        let peer = stage.actor(format!("peer of {name:?}"));
        peer.ask(&format!("open name={} role=peer", hex(name)), "opened");
        peer.ask("join", "joined");
        gets_through(&peer);
        assert_eq!(host.count("handled"), 1, "{name:?}");
        hosts.push(host);
    }
    let entries = fs::read_dir(stage.runtime_dir()).unwrap().map(|entry| entry.unwrap());
    assert_eq!(entries.filter(|entry| entry.path().is_dir()).count(), names.len());
    let besides = fs::read_dir(stage.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(besides.collect::<Vec<_>>(), ["run"], "something outside of the runtime directory");
    for bad in [String::new(), "x".repeat(256)] {
        let actor = stage.actor("bad name");
        let error = actor.ask(&format!("open name={}", hex(&bad)), "error open");
        assert!(error.text.contains("must have 1 to 255 bytes"), "{error:?}");
    }
}

pub(crate) fn a_path_too_long_for_a_socket_works(stage: &mut Stage) {
    let mut dir = stage.path().to_owned();
    for _ in 0..4 {
        dir.push("d".repeat(60));
    }
    let settings = format!("dir={}", dir.display());
    let host = stage.joined("host", &settings);
    let peer = stage.joined("peer", &format!("{settings} role=peer"));
    let successor = stage.joined("successor", &settings);
    gets_through(&peer);
    host.kill();
    assert_eq!(connected(&successor, 2), "host");
    gets_through(&peer);
}

pub(crate) fn a_fork_that_outlives_the_host_does_not_hold_the_channel(stage: &mut Stage) {
    let mut actors: Vec<_> = (0..4).map(|n| stage.joined(format!("process {n}"), "")).collect();
    let peer = stage.joined("peer", "role=peer");
    peer.tell("connect s");
    peer.ask("send s fine", "sent s");
    peer.ask("flush s", "flush s");
    for generation in 1..=3 {
        let host = actors.swap_remove(crate::failover::host_of(&actors, generation));
        stage.fork(&host);
        let killed = now();
        host.kill_only();
        for actor in &actors {
            connected(actor, generation + 1);
        }
        peer.ask("send s fine", "sent s");
        peer.ask("flush s", "flush s");
        let took = Duration::from_nanos(now() - killed);
        // The host timeout is 20 s.
        assert!(took < Duration::from_secs(3), "the child held the channel for {took:?}");
        // A process that has never seen the living host.
        let newcomer = stage.joined(format!("newcomer {generation}"), "");
        assert_eq!(connected(&newcomer, generation + 1), "peer");
        actors.push(newcomer);
    }
    // Nobody is left but the children, of the last host too.
    let host = actors.swap_remove(
        actors.iter().position(|actor| actor.ask("status", "status").word(1) == "host").unwrap(),
    );
    stage.fork(&host);
    drop(peer);
    drop(actors);
    host.kill_only();
    let started = now();
    let last = stage.joined("last", "");
    assert_eq!(connected(&last, 5), "host");
    assert!(now() - started < 3_000_000_000, "the child held the channel");
}

pub(crate) fn another_user_gets_a_clear_error(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let nobody = NOBODY.to_string();
    let as_nobody = [(USER, &*nobody)];
    let error = refusal(stage, "", &as_nobody);
    assert!(error.contains("Permission denied") || error.contains("belongs to user 0"), "{error}");
    // Everything but the host lets them in: the host itself refuses them.
    let (_, socket) = stage.published();
    for path in [stage.runtime_dir(), stage.channel_dir(), socket] {
        set_mode(&path, 0o777);
    }
    let error = refusal(stage, "role=peer allow=0", &as_nobody);
    assert!(error.contains("no permission: user 65534 may not join"), "{error}");
    // And the other way round: a process trusts this user's host only if its settings allow it.
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    assert_eq!(host.count("accepted"), 0);
}

pub(crate) fn an_allowed_user_joins(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o777);
    let host = stage.joined("host", &format!("allow={NOBODY}"));
    let nobody = NOBODY.to_string();
    let other_user = stage.actor_with("other user", &[(USER, &*nobody)]);
    other_user.open("allow=0");
    other_user.ask("join", "joined");
    gets_through(&other_user);
    assert_eq!(link_of(&other_user), "unix socket", "memory is shared with another user");
    // It may host too.
    host.kill();
    assert_eq!(connected(&other_user, 2), "host");
    gets_through(&stage.joined("other", &format!("allow={NOBODY}")));
}

/// A host with a small file system of its own, on which its channel lives; and its settings.
fn host_on_a_small_disk(stage: &Stage, options: &str) -> (Actor, String) {
    let disk = stage.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let at = disk.to_str().unwrap();
    let host = stage.actor_with("host", &[(DISK, options), (DISK_AT, at)]);
    let settings = format!("dir={at}/run");
    host.open(&settings);
    assert_eq!(host.ask("join", "joined").word(1), "host");
    (host, settings)
}

fn neighbour(stage: &Stage, host: &Actor, label: &str, settings: &str) -> Actor {
    let pid = host.pid.as_raw_nonzero().to_string();
    let actor = stage.actor_with(label, &[(NEIGHBOUR, &*pid)]);
    actor.open(settings);
    actor
}

pub(crate) fn with_no_inode_left_the_host_is_reachable_and_hosting_fails_clearly(
    stage: &mut Stage,
) {
    let (host, settings) = host_on_a_small_disk(stage, "size=64k,nr_inodes=16,mode=0700");
    host.ask(&format!("stuff {}", stage.path().join("disk").display()), "stuffed");
    let settings = format!("{settings} connect_timeout=1500");
    let peer = neighbour(stage, &host, "peer", &settings);
    assert_eq!(peer.ask("join", "joined").word(1), "peer");
    gets_through(&peer);
    host.kill();
    peer.wait("event host-lost");
    let error = peer.wait("event closed");
    assert!(
        error.text.contains("was not reached within 1.5s")
            && error.text.contains("No space left on device"),
        "{error:?}"
    );
}

pub(crate) fn with_no_block_left_another_takes_over(stage: &mut Stage) {
    let (host, settings) = host_on_a_small_disk(stage, "size=64k,nr_inodes=4096,mode=0700");
    let peer = neighbour(stage, &host, "peer", &settings);
    assert_eq!(peer.ask("join", "joined").word(1), "peer");
    // Leaves inodes and takes the last block.
    host.ask(&format!("glut {}", stage.path().join("disk").display()), "glutted");
    let newcomer = neighbour(stage, &host, "newcomer", &settings);
    assert_eq!(newcomer.ask("join", "joined").word(1), "peer");
    host.kill();
    connected(&newcomer, 2);
    connected(&peer, 2);
    gets_through(&newcomer);
    gets_through(&peer);
}
