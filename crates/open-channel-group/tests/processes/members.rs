//! The view: the same at every member, deaths at once.

use std::time::Instant;

use crate::stage::{Actor, PATIENCE, Stage};
use crate::topics::{PATIENT, QUICK};

fn view(actor: &Actor) -> (u64, String) {
    let line = actor.ask("view", "view");
    (line.number(1), line.word(2).into())
}

/// Waits until all have the same view, of so many members. A view of the last host may go on under
/// another number with the next one.
fn wait_for_view(actors: &[Actor], count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let views: Vec<_> = actors.iter().map(view).collect();
        let same = views.iter().all(|view| *view == views[0]);
        if same && views[0].1.split(',').count() == count {
            return;
        }
        assert!(Instant::now() < deadline, "not the same view of {count}: {views:?}");
    }
}

pub(crate) fn everybody_has_the_same_view_and_deaths_are_known_at_once(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..8).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    wait_for_view(&living, 8);
    living.remove(5).kill();
    wait_for_view(&living, 7);
    // The host; its successor does not wait for the dead.
    assert!(living[0].is_host());
    let host = living.remove(0);
    let other = living.remove(2);
    other.kill();
    host.kill();
    wait_for_view(&living, 5);
    let closed = living.remove(1);
    assert_eq!(closed.close().text, "closed in order");
    wait_for_view(&living, 4);
}

pub(crate) fn a_stopped_member_is_put_out_and_comes_back(stage: &mut Stage) {
    let host = stage.joined("host", QUICK);
    let stopped = stage.joined("stopped", QUICK);
    stopped.ask("subscribe a", "subscribed");
    stopped.stop();
    // The write waits for it, and not for longer than the timeout.
    host.ask("set key value", "set");
    host.until("its leave", |lines| {
        lines.iter().find(|line| line.is("event left") && line.word(4) == "Stalled").cloned()
    });
    let mark = stopped.mark();
    stopped.resume();
    stopped.wait_since(mark, "event put-out Stalled");
    stopped.wait_since(mark, "event serving");
    assert_eq!(stopped.ask("get key", "value").word(2), "value");
    host.tell("publish a");
    stopped.wait_since(mark, "got");
    host.ask("stop", "stopped");
    assert_eq!(stopped.count("gap"), 1);
}

pub(crate) fn a_stopped_host_is_replaced_and_comes_back(stage: &mut Stage) {
    let host = stage.joined("host", QUICK);
    let others = [stage.joined("one", QUICK), stage.joined("other", QUICK)];
    assert!(host.is_host());
    others[0].tell("counts n");
    others[0].wait("counted");
    host.stop();
    others[1].wait("event serving 2");
    let mark = others[0].mark();
    others[0].wait_since(mark, "counted");
    let mark = host.mark();
    host.resume();
    host.wait_since(mark, "event put-out");
    host.wait_since(mark, "event serving 2");
    others[0].ask("stop", "stopped");
    let values: Vec<u64> =
        others.iter().chain([&host]).map(|one| one.ask("get n", "value").number(2)).collect();
    assert_eq!(values[0], others[0].count("counted") as u64);
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
}

pub(crate) fn a_herd_joins_at_once(stage: &mut Stage) {
    let herd: Vec<Actor> = (0..16).map(|n| stage.actor(format!("process-{n}"))).collect();
    herd.iter().for_each(|actor| actor.tell(&format!("join {PATIENT}")));
    herd.iter().for_each(|actor| drop(actor.wait("joined")));
    wait_for_view(&herd, 16);
}

/// Version 1, tenure 1, and then: nothing, an unknown kind, a Subscribe that ends too early; a
/// version that is not known; nothing at all; and a number without end.
pub(crate) fn a_peer_that_talks_nonsense_hurts_nobody(stage: &mut Stage) {
    let host = stage.joined("host", PATIENT);
    let member = stage.joined("member", PATIENT);
    member.tell("counts n");
    for hex in ["0101", "0101ff", "01010105", "0901", "", "ffffffffffffffffffffffff"] {
        let stranger = stage.actor(format!("stranger-{hex}"));
        // It learns that it is put out, and then sees the end.
        assert_eq!(stranger.ask(&format!("garbage {hex}"), "ended").number(1), 1, "{hex}");
    }
    let mark = member.mark();
    member.wait_since(mark, "counted");
    member.ask("stop", "stopped");
    assert_eq!(host.count("event left"), 0);
}

pub(crate) fn events_and_views_end_with_the_group(stage: &mut Stage) {
    let one = stage.joined("one", PATIENT);
    one.ask("subscribe a", "subscribed");
    assert_eq!(one.ask("close", "closed").text, "closed in order");
    one.wait("event over");
    one.wait("read-all");
}
