//! A handler that hangs behind a healthy heartbeat is reported to the calls that wait for it.

use std::time::Duration;

use crate::failover::connected;
use crate::portable;
use crate::stage::{Actor, Stage};

const SETTINGS: &str = "stall_after=200 host_timeout=20000";

/// The value of `wanted` in an actor's summed statistics.
fn until_totals(actor: &Actor, wanted: impl Fn(&[i64]) -> bool) -> Vec<i64> {
    loop {
        let line = actor.ask("totals", "totals");
        let sums: Vec<i64> =
            line.text.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        if wanted(&sums) {
            return sums;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn a_listener_that_loops_for_ever_is_known_to_its_senders_and_its_successor_ends_the_stall(
    stage: &mut Stage,
) {
    for (link, _) in portable::LINKS {
        let settings = format!("{SETTINGS} link={link} dir={}", stage.path().join(link).display());
        let host = stage.joined(format!("host on {link}"), &settings);
        let successor = stage.joined("successor", &settings);
        let peer = stage.joined("peer", &format!("{settings} role=peer"));
        let socket = peer.ask("connect s", "socket s").word(2).to_owned();
        successor.ask("connect s", "socket s");
        peer.ask("send s n 1", "sent s");
        peer.ask("flush s", "flush s");
        let looping = peer.mark();
        peer.ask("send s loop", "sent s");
        let stalled = peer.wait_since(looping, &format!("event stalled {socket} 1 1"));
        assert!(stalled.number(5) >= 200, "{}", stalled.text);
        // Nothing else has happened, and the age grows.
        assert_eq!(peer.ask("status", "status").text, "status peer 1 connected");
        let [_, _, age, ..] = until_totals(&peer, |sums| sums[0] == 1 && sums[2] >= 200)[..] else {
            unreachable!("six sums")
        };
        until_totals(&peer, |sums| sums[2] > age);
        // Other sockets go on.
        successor.ask("numbers s 10", "streamed s");
        // Another one of the host's threads sees that its handler hangs.
        let sums = until_totals(&host, |sums| sums[4] >= 200);
        assert_eq!((sums[0], sums[3]), (0, 1), "{sums:?}");
        let killed = peer.mark();
        host.kill();
        assert_eq!(connected(&peer, 2), "peer");
        peer.wait_since(killed, &format!("event stall-ended {socket} true"));
        until_totals(&peer, |sums| sums[..3] == [0, 0, -1]);
        until_totals(&successor, |sums| sums[5] == 1);
    }
}

pub(crate) fn a_stopped_host_stalls_its_senders_until_it_goes_on(stage: &mut Stage) {
    let host = stage.joined("host", SETTINGS);
    let peer = stage.joined("peer", &format!("{SETTINGS} role=peer"));
    let socket = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("send s n 1", "sent s");
    peer.ask("flush s", "flush s");
    host.stop();
    let stopped = peer.mark();
    peer.ask("send s n 2", "sent s");
    peer.wait_since(stopped, &format!("event stalled {socket} 1 1"));
    let resumed = peer.mark();
    host.resume();
    peer.wait_since(resumed, &format!("event stall-ended {socket} true"));
    peer.ask("flush s", "flush s");
}

/// As when the machine is suspended: the sender comes back first, and does not take its own absence
/// for silence.
pub(crate) fn a_suspension_of_both_sides_is_no_stall(stage: &mut Stage) {
    const SETTINGS: &str = "stall_after=3000";
    let host = stage.joined("host", SETTINGS);
    let peer = stage.joined("peer", &format!("{SETTINGS} role=peer"));
    peer.ask("connect s", "socket s");
    peer.ask("send s n 1", "sent s");
    peer.ask("flush s", "flush s");
    host.stop();
    peer.ask("send s n 2", "sent s");
    let before = until_totals(&peer, |sums| sums[2] > 0);
    peer.stop();
    std::thread::sleep(Duration::from_secs(4));
    peer.resume();
    // Until the next check has run.
    until_totals(&peer, |sums| sums[2] > before[2]);
    host.resume();
    peer.ask("flush s", "flush s");
    until_totals(&peer, |sums| sums[..3] == [0, 0, -1]);
    assert_eq!(peer.count("event stalled"), 0);
}
