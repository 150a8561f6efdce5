//! Locks: never two holders, and never nobody for long.

use crate::stage::{Actor, Stage};
use crate::system::now;
use crate::topics::{PATIENT, QUICK, host_of};

/// A time for which a process held a lock, or may have.
#[derive(Debug)]
struct Held {
    from: u64,
    until: u64,
    token: u128,
    holder: String,
}

/// No two of these processes held the lock at one time; later holders have greater tokens.
pub(crate) fn check(actors: &[&Actor], name: &str) -> usize {
    let mut all = Vec::new();
    for actor in actors {
        let lines = actor.lines();
        for (index, line) in lines.iter().enumerate() {
            if !line.is(&format!("held {name}")) {
                continue;
            }
            let end = format!("free {name} {}", line.word(2));
            let end = lines[index..].iter().find(|line| line.text == end).map(|line| line.at);
            let until = end.or(*actor.died.borrow()).unwrap_or_else(now);
            let token = line.word(2).parse().unwrap();
            // It held the lock before it said so, and let go after it said that.
            all.push(Held { from: line.at, until, token, holder: actor.label.clone() });
        }
    }
    all.sort_by_key(|held| held.token);
    for pair in all.windows(2) {
        assert!(pair[0].token < pair[1].token, "one token twice: {pair:?}");
        // One that died held it until then, which the test learnt later.
        let died = actors.iter().any(|actor| {
            actor.label == pair[0].holder && *actor.died.borrow() == Some(pair[0].until)
        });
        assert!(died || pair[0].until <= pair[1].from, "two holders: {pair:?}");
    }
    all.len()
}

pub(crate) fn a_lock_never_has_two_holders_while_hosts_and_holders_die(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..4).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    living.iter().for_each(|actor| actor.tell("locks l"));
    let mut dead = Vec::new();
    for round in 0..4 {
        for actor in &living {
            let mark = actor.mark();
            actor.wait_since(mark, "held l");
        }
        let index = if round % 2 == 0 { host_of(&living) } else { 0 };
        let killed = living.swap_remove(index);
        killed.kill();
        dead.push(killed);
        let newcomer = stage.joined(format!("newcomer-{round}"), PATIENT);
        newcomer.tell("locks l");
        living.push(newcomer);
    }
    for actor in &living {
        let mark = actor.mark();
        actor.wait_since(mark, "held l");
    }
    for actor in &living {
        actor.ask("stop", "stopped");
    }
    let held = check(&living.iter().chain(&dead).collect::<Vec<_>>(), "l");
    assert!(held > 16, "hardly any: {held}");
}

pub(crate) fn the_death_of_a_holder_frees_its_lock_at_once(stage: &mut Stage) {
    let host = stage.joined("host", PATIENT);
    let holder = stage.joined("holder", PATIENT);
    let next = stage.joined("next", PATIENT);
    holder.ask("lock l", "held l");
    next.tell("await-lock l");
    host.ask("try-lock l", "tried l");
    assert_eq!(host.wait("tried l").word(2), "false");
    holder.kill();
    next.wait("held l");
}

/// It is put out of the view meanwhile, and the kernel holds its lock for it.
pub(crate) fn a_stopped_holder_keeps_its_lock_until_it_lets_go(stage: &mut Stage) {
    let host = stage.joined("host", QUICK);
    let holder = stage.joined("holder", QUICK);
    let next = stage.joined("next", QUICK);
    assert!(host.is_host());
    holder.ask("lock l", "held l");
    next.tell("await-lock l");
    holder.stop();
    // It holds up a write, and is put out for that.
    host.ask("set key value", "set");
    next.until("the holder's leave", |lines| {
        lines.iter().find(|line| line.is("event left") && line.word(4) == "Stalled").cloned()
    });
    assert_eq!(host.ask("try-lock l", "tried l").word(2), "false");
    assert_eq!(next.count("held l"), 0);
    holder.resume();
    holder.wait("event put-out");
    holder.tell("drop l");
    next.wait("held l");
}

pub(crate) fn a_stolen_lock_is_known_to_be_lost(stage: &mut Stage) {
    let holder = stage.joined("holder", PATIENT);
    let thief = stage.joined("thief", PATIENT);
    holder.tell("await-lock l");
    let first = holder.wait("held l");
    let second = thief.ask("steal l", "held l");
    holder.wait("lost l");
    let token = |line: &crate::stage::Line| line.word(2).parse::<u128>().unwrap();
    assert!(token(&first) < token(&second));
}

pub(crate) fn shared_locks_are_shared_and_keep_others_out(stage: &mut Stage) {
    let one = stage.joined("one", PATIENT);
    let other = stage.joined("other", PATIENT);
    one.ask("lock-shared l", "held l");
    other.ask("lock-shared l", "held l");
    assert_eq!(other.ask("try-lock l", "tried l").word(2), "false");
}

pub(crate) fn a_role_goes_on_to_the_next_one(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..3).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    living.iter().for_each(|actor| actor.tell("lead cron"));
    for _ in 0..2 {
        let leader = wait_for_leader(&living);
        living.swap_remove(leader).kill();
    }
    wait_for_leader(&living);
}

fn wait_for_leader(living: &[Actor]) -> usize {
    let mut leaders: Vec<usize> = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while leaders.is_empty() && std::time::Instant::now() < deadline {
        leaders = (0..living.len()).filter(|&n| living[n].count("leads cron") > 0).collect();
        std::thread::yield_now();
    }
    assert_eq!(leaders.len(), 1, "leaders: {leaders:?}");
    leaders[0]
}

#[cfg(unix)]
pub(crate) fn a_forked_child_lets_no_lock_go(stage: &mut Stage) {
    let holder = stage.joined("holder", PATIENT);
    let other = stage.joined("other", PATIENT);
    holder.ask("lock l", "held l");
    holder.tell("fork");
    holder.wait("child dropped it");
    assert_eq!(other.ask("try-lock l", "tried l").word(2), "false");
    // The parent's release is good although its child has the file open.
    holder.tell("drop l");
    other.ask("lock l", "held l");
}
