//! The directory in which processes meet: how it is chosen, and what happens when it changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::actor::variables::{DISK, DISK_AT, LOG, NEIGHBOUR};
use crate::failover::connected;
use crate::rendezvous::{NOBODY, agree, gets_through};
use crate::stage::{Actor, Stage, now};

const SETTINGS: &str = "host_timeout=1000";
const SESSION: &str = "XDG_RUNTIME_DIR";
/// The environment of a process without any setting.
const UNSET: (&str, &str) = ("OPEN_CHANNEL_DIR", "");

/// The directory that a process uses, or would use.
fn directory(actor: &Actor) -> String {
    actor.ask("directory", "directory").word(1).to_owned()
}

pub(crate) fn a_runtime_directory_that_was_moved_is_survived(stage: &mut Stage) {
    moved(stage, Stage::runtime_dir);
}

pub(crate) fn a_channel_directory_that_was_moved_is_survived(stage: &mut Stage) {
    moved(stage, Stage::channel_dir);
}

fn moved(stage: &Stage, dir: impl Fn(&Stage) -> std::path::PathBuf) {
    let host = stage.joined("host", SETTINGS);
    let peer = stage.joined("peer", SETTINGS);
    let tool = stage.joined("tool", &format!("{SETTINGS} role=peer"));
    gets_through(&peer);
    let place = directory(&host);
    fs::rename(dir(stage), stage.path().join("elsewhere")).unwrap();
    let newcomer = stage.joined("newcomer", SETTINGS);
    gets_through(&newcomer);
    agree(&[&host, &peer, &tool, &newcomer]);
    for actor in [&host, &peer, &tool, &newcomer] {
        gets_through(actor);
        assert_eq!(directory(actor), place);
    }
}

/// A process in a system of its own: with nothing in `/tmp` and `/run`.
fn first(stage: &Stage, environment: &[(&str, &str)]) -> Actor {
    let own = [(DISK, "mode=1777"), (DISK_AT, "/tmp"), UNSET];
    let actor = stage.actor_with("first", &[&own, environment].concat());
    actor.ask("mount /run mode=0755", "mounted");
    actor
}

/// Another process in that system.
fn next(stage: &Stage, first: &Actor, label: &str, environment: &[(&str, &str)]) -> Actor {
    let pid = first.pid.as_raw_nonzero().to_string();
    stage.actor_with(label, &[&[(NEIGHBOUR, &*pid), UNSET], environment].concat())
}

fn join(actor: &Actor, settings: &str) {
    actor.open(&format!("{SETTINGS} {settings}"));
    actor.ask("join", "joined");
}

pub(crate) fn a_directory_that_is_mounted_over_and_unmounted_is_survived(stage: &mut Stage) {
    let host = first(stage, &[]);
    let settings = "dir=/tmp/run";
    join(&host, settings);
    let peer = next(stage, &host, "peer", &[]);
    join(&peer, settings);
    host.ask("mount /tmp/run mode=0700", "mounted");
    let newcomer = next(stage, &host, "newcomer", &[]);
    join(&newcomer, settings);
    agree(&[&host, &peer, &newcomer]);
    gets_through(&peer);
    host.ask("unmount /tmp/run", "unmounted");
    let last = next(stage, &host, "last", &[]);
    join(&last, settings);
    agree(&[&host, &peer, &newcomer, &last]);
    gets_through(&newcomer);
    gets_through(&last);
}

pub(crate) fn processes_without_a_session_meet_those_that_have_one(stage: &mut Stage) {
    let session = first(stage, &[(SESSION, "/run/user/0")]);
    // A service of a user that has not logged in yet.
    let early = next(stage, &session, "early", &[]);
    join(&early, "");
    assert!(directory(&early).starts_with("/tmp/open-channel-0/"), "{}", directory(&early));
    // A directory that others may enter is used only if it is named.
    session.ask("make /run/user/0 755", "made");
    let cautious = next(stage, &session, "cautious", &[]);
    join(&cautious, "");
    assert_eq!(connected(&cautious, 1), "peer");
    session.ask("make /run/user/0 700", "made");
    join(&session, "");
    let job = next(stage, &session, "job", &[]);
    join(&job, "");
    agree(&[&session, &early, &cautious, &job]);
    for actor in [&session, &early, &cautious, &job] {
        assert!(directory(actor).starts_with("/run/user/0/open-channel/"), "{}", directory(actor));
        gets_through(actor);
    }
}

pub(crate) fn a_runtime_directory_that_is_gone_after_a_logout_splits_nobody(stage: &mut Stage) {
    let in_session = [(SESSION, "/run/user/0")];
    let host = first(stage, &in_session);
    host.ask("make /run/user/0 700", "made");
    join(&host, "");
    let peer = next(stage, &host, "peer", &in_session);
    join(&peer, "");
    let tool = next(stage, &host, "tool", &in_session);
    join(&tool, "role=peer");
    assert!(directory(&host).starts_with("/run/user/0/open-channel/"), "{}", directory(&host));
    // The last logout; programs that stay, and one that comes meanwhile.
    host.ask("remove /run/user/0", "removed");
    let job = next(stage, &host, "job", &[]);
    join(&job, "");
    agree(&[&host, &peer, &tool, &job]);
    gets_through(&peer);
    assert!(directory(&host).starts_with("/tmp/open-channel-0/"), "{}", directory(&host));
    // The next login.
    host.ask("make /run/user/0 700", "made");
    let newcomer = next(stage, &host, "newcomer", &in_session);
    join(&newcomer, "");
    agree(&[&host, &peer, &tool, &job, &newcomer]);
    for actor in [&host, &peer, &tool, &job, &newcomer] {
        assert!(directory(actor).starts_with("/run/user/0/open-channel/"), "{}", directory(actor));
        gets_through(actor);
    }
}

pub(crate) fn a_host_that_goes_into_another_root_directory_stays_the_host(stage: &mut Stage) {
    let in_session = [(SESSION, "/run/user/0")];
    let host = first(stage, &in_session);
    host.ask("make /run/user/0 700", "made");
    join(&host, "");
    let peer = next(stage, &host, "peer", &in_session);
    join(&peer, "role=peer");
    host.ask("chroot /tmp", "changed");
    // It checks the newcomers' directory several times in this.
    let until = now() + 2_000_000_000;
    while now() < until {
        gets_through(&peer);
    }
    let newcomer = next(stage, &host, "newcomer", &in_session);
    join(&newcomer, "");
    assert_eq!(connected(&newcomer, 1), "peer");
    gets_through(&newcomer);
    assert_eq!(host.count("event fenced"), 0, "it went elsewhere");
    // It does not take a directory for missing that it cannot see from there.
    let settings = format!("{SETTINGS} connect_timeout=300");
    let lost = next(stage, &host, "lost", &in_session);
    lost.open(&settings);
    lost.ask("chroot /tmp", "changed");
    let error = lost.ask("join", "error join").text;
    assert!(error.contains("another root directory (chroot)"), "{error}");
    assert!(error.contains("OPEN_CHANNEL_DIR"), "{error}");
}

/// To be run by root.
pub(crate) fn a_process_that_gives_its_user_up_does_not_meet_others_elsewhere(stage: &mut Stage) {
    let session = stage.path().join("session");
    fs::create_dir(&session).unwrap();
    fs::set_permissions(&session, fs::Permissions::from_mode(0o700)).unwrap();
    let environment = [UNSET, (SESSION, session.to_str().unwrap())];
    let host = stage.actor_with("host", &environment);
    join(&host, "");
    let peer = stage.actor_with("peer", &environment);
    join(&peer, "connect_timeout=500");
    let place = directory(&peer);
    peer.ask(&format!("user {NOBODY}"), "changed");
    host.kill();
    let error = peer.wait("event closed").text;
    assert!(
        error.contains("Permission denied") && error.contains(session.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(peer.count("event became-host"), 0, "it hosts alone");
    let heir = stage.actor_with("heir", &environment);
    join(&heir, "");
    assert_eq!((connected(&heir, 2), directory(&heir)), ("host".to_owned(), place));
}

pub(crate) fn a_relative_directory_is_the_one_that_was_meant_at_first(stage: &mut Stage) {
    let (home, away) = (stage.path().join("home"), stage.path().join("away"));
    for (n, settings, environment) in
        [(0, "", vec![("OPEN_CHANNEL_DIR", "channels")]), (1, "dir=channels", vec![])]
    {
        let actor = stage.actor_with(format!("actor {n}"), &environment);
        let (home, away) = (home.join(n.to_string()), away.join(n.to_string()));
        for dir in [&home, &away] {
            fs::create_dir_all(dir).unwrap();
        }
        actor.ask(&format!("chdir {}", home.display()), "changed");
        actor.open(settings);
        actor.ask(&format!("chdir {}", away.display()), "changed");
        actor.ask("join", "joined");
        let home = home.join("channels");
        assert_eq!(Path::new(&directory(&actor)).parent(), Some(&*home));
        assert!(home.is_dir());
        gets_through(
            &stage.joined(format!("peer {n}"), &format!("role=peer dir={}", home.display())),
        );
    }
}

pub(crate) fn the_directory_in_use_is_told(stage: &mut Stage) {
    let host = stage.actor_with("host", &[(LOG, "1")]);
    host.open("");
    // Before anybody is there.
    let reported = directory(&host);
    host.ask("join", "joined");
    assert_eq!(Path::new(&reported), stage.channel_dir());
    assert_eq!(directory(&host), reported);
    host.find(0, "the directory", |line| {
        line.text.contains("elected") && line.text.contains(&reported)
    });
    let peer = stage.joined("peer", "role=peer");
    assert_eq!(directory(&peer), reported);
    let elsewhere = stage.path().join("elsewhere");
    let stray = stage.actor("stray");
    stray.open(&format!("role=peer connect_timeout=300 dir={}", elsewhere.display()));
    let error = stray.ask("join", "error join");
    assert!(error.text.contains(&format!("(in {}/", elsewhere.display())), "{error:?}");
    // A process that only checks leaves nothing behind.
    assert!(!elsewhere.exists());
}
