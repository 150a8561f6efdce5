//! Locks, links and sockets that a file system or another user's files deny.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::actor::variables::{DENIED, UMASK, USER};
use crate::failover::connected;
use crate::portable;
use crate::rendezvous::{NOBODY, gets_through, refusal, set_mode};
use crate::stage::Stage;

/// The names in a directory that are generations.
fn generations(dir: &Path) -> Vec<String> {
    let names =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.len() == 20 && name.parse::<u64>().is_ok()).collect()
}

pub(crate) fn what_cannot_be_swept_away_does_not_undo_an_election(stage: &mut Stage) {
    stage.joined("first", "").kill();
    let dir = stage.channel_dir();
    symlink("nowhere", dir.join("0123456789abcdef.lock")).unwrap();
    symlink("nowhere", dir.join("0123456789abcdef.new")).unwrap();
    fs::create_dir(dir.join("1123456789abcdef.lock")).unwrap();
    fs::create_dir(dir.join("2123456789abcdef.sock")).unwrap();
    for generation in 2..=4 {
        let host = stage.joined(format!("host {generation}"), "");
        assert_eq!(connected(&host, generation), "host");
        gets_through(&stage.joined(format!("peer {generation}"), "role=peer"));
        host.kill();
    }
    assert_eq!(generations(&dir), [format!("{:020}", 4)]);
    assert!(!dir.join("nowhere").exists(), "a link was followed");
}

pub(crate) fn another_users_closed_lock_does_not_undo_an_election(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o777);
    stage.joined("first", &format!("allow={NOBODY}")).kill();
    let lock = stage.channel_dir().join("0123456789abcdef.lock");
    fs::write(&lock, "").unwrap();
    set_mode(&lock, 0o600);
    let nobody = NOBODY.to_string();
    let host = stage.actor_with("host", &[(USER, &*nobody)]);
    host.open("allow=0");
    host.ask("join", "joined");
    assert_eq!(connected(&host, 2), "host");
    gets_through(&host);
    assert_eq!(host.ask("status", "status").text, "status host 2 connected");
}

pub(crate) fn under_a_strict_umask_an_allowed_user_takes_over(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o777);
    let nobody = NOBODY.to_string();
    let host = stage.actor_with("host", &[(UMASK, "077")]);
    host.open(&format!("allow={NOBODY}"));
    host.ask("join", "joined");
    let other_user = stage.actor_with("other user", &[(UMASK, "077"), (USER, &*nobody)]);
    other_user.open("allow=0");
    other_user.ask("join", "joined");
    host.kill();
    assert_eq!(connected(&other_user, 2), "host");
    // And back.
    let other = stage.actor_with("other", &[(UMASK, "077")]);
    other.open(&format!("allow={NOBODY}"));
    assert_eq!(other.ask("join", "joined").text, "joined peer 2");
    other_user.kill();
    assert_eq!(connected(&other, 3), "host");
    gets_through(&other);
}

/// The errors of these calls on file systems that lack them, and the words for the step.
const IMPOSSIBLE: [(&str, &str); 7] = [
    // A network file system without a lock service, and one that does not know `flock`.
    ("flock 37", "locking a file (flock) failed there"),
    ("flock 38", "locking a file (flock) failed there"),
    ("flock 9", "locking a file (flock) failed there"),
    ("flock 95", "locking a file (flock) failed there"),
    // Each gets every lock.
    ("flock 0", "locking a file (flock) failed there"),
    ("symlink 1", "making a symbolic link failed there"),
    ("bind 1", "making a Unix socket failed there"),
];

pub(crate) fn a_file_system_that_cannot_do_it_is_an_error_at_once(stage: &mut Stage) {
    for (denied, step) in IMPOSSIBLE {
        let error = refusal(stage, "", &[(DENIED, denied)]);
        assert!(error.contains(step), "{denied}: {error}");
        let named = error.contains("(its file system is ");
        assert_eq!(named, !portable::IS_FORCED, "{denied}: {error}");
        assert!(
            error.contains("set OPEN_CHANNEL_DIR to a directory on a local Unix file system"),
            "{error}"
        );
        for dir in fs::read_dir(stage.runtime_dir()).unwrap() {
            let dir = dir.unwrap().path();
            assert_eq!(
                generations(&dir),
                [""; 0],
                "{denied}: a generation was used up in {}",
                dir.display()
            );
        }
    }
    assert_eq!(connected(&stage.joined("host", ""), 1), "host");
}

pub(crate) fn a_peer_that_cannot_host_waits_for_one_that_can(stage: &mut Stage) {
    for (round, (denied, _)) in IMPOSSIBLE.into_iter().enumerate() {
        let settings = format!("dir={}", stage.path().join(format!("round-{round}")).display());
        let host = stage.joined("host", &settings);
        let peer = stage.actor_with("peer", &[(DENIED, denied)]);
        peer.open(&settings);
        peer.ask("join", "joined");
        peer.ask("connect s", "socket s");
        peer.ask("numbers s 10", "streamed s");
        host.kill();
        peer.wait("event host-lost 1");
        peer.ask("send s n 11", "sent s");
        let successor = stage.joined("successor", &settings);
        assert_eq!(connected(&successor, 2), "host", "{denied}");
        peer.ask("flush s", "flush s");
        assert_eq!(connected(&peer, 2), "peer");
        assert_eq!(peer.count("event closed"), 0, "{denied}");
    }
}

pub(crate) fn a_volume_with_a_group_of_its_own_gives_a_clear_error(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    fs::create_dir(&dir).unwrap();
    for mode in [0o2760, 0o2770, 0o2777] {
        fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
        let error = refusal(stage, "", &[]);
        assert!(error.contains(&format!("its mode {mode:o} lets other users in")), "{error}");
        assert!(
            error.contains("fsGroup") && error.contains("set OPEN_CHANNEL_DIR to a path"),
            "{error}"
        );
    }
    // The remedy that it names for an emptyDir.
    let inside = format!("dir={}", dir.join("channels").display());
    assert_eq!(connected(&stage.joined("host", &inside), 1), "host");
    gets_through(&stage.joined("peer", &inside));
}
