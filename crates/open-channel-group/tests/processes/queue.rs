//! Jobs: none is lost, and none is done twice without a mark.

use std::collections::BTreeMap;

use crate::stage::{Actor, Stage};
use crate::topics::{PATIENT, host_of};

/// Every job whose pusher learnt of its end was done; attempts are marked; jobs of the living end.
pub(crate) fn check(actors: &[&Actor]) -> usize {
    let mut runs: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut acks: BTreeMap<String, usize> = BTreeMap::new();
    for actor in actors {
        for line in actor.lines() {
            if line.is("run") {
                runs.entry(line.word(2).into()).or_default().push((line.number(1), line.at));
            } else if line.is("ack") {
                *acks.entry(line.word(2).into()).or_default() += 1;
            }
        }
    }
    for (job, runs) in &mut runs {
        runs.sort_unstable();
        for pair in runs.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "{job}: one attempt twice");
        }
    }
    let mut done = 0;
    for actor in actors {
        let lines = actor.lines();
        for line in lines.iter().filter(|line| line.is("done")) {
            assert!(acks.contains_key(line.word(1)), "{} was never done", line.text);
            done += 1;
        }
        if actor.died.borrow().is_none() {
            let pushed = lines.iter().filter(|line| line.is("pushing")).count();
            let ended = lines.iter().filter(|line| line.is("done") || line.is("not-done")).count();
            assert_eq!(pushed, ended, "jobs of {} without an end", actor.label);
            let failed = lines.iter().filter(|line| line.is("not-done")).count();
            assert_eq!(failed, 0, "jobs of {} failed", actor.label);
        }
    }
    done
}

pub(crate) fn jobs_are_done_while_hosts_and_workers_die(stage: &mut Stage) {
    let mut living: Vec<Actor> =
        (0..5).map(|n| stage.joined(format!("process-{n}"), PATIENT)).collect();
    for actor in &living {
        actor.ask("work q 2", "works");
        actor.tell("pushes q");
    }
    let mut dead = Vec::new();
    for round in 0..4 {
        for actor in &living {
            let mark = actor.mark();
            actor.wait_since(mark, "done");
        }
        let index = if round % 2 == 0 { host_of(&living) } else { 0 };
        let killed = living.swap_remove(index);
        killed.kill();
        dead.push(killed);
        let newcomer = stage.joined(format!("newcomer-{round}"), PATIENT);
        newcomer.ask("work q 2", "works");
        newcomer.tell("pushes q");
        living.push(newcomer);
    }
    for actor in &living {
        let mark = actor.mark();
        actor.wait_since(mark, "done");
    }
    stop_pushing(&living);
    let done = check(&living.iter().chain(&dead).collect::<Vec<_>>());
    assert!(done > 16, "hardly any: {done}");
}

/// Pushers finish what they have begun while workers work on.
pub(crate) fn stop_pushing(living: &[Actor]) {
    for actor in living {
        actor.tell("stop-pushing");
    }
    for actor in living {
        actor.wait("stopped-pushing");
    }
    for actor in living {
        actor.ask("stop", "stopped");
    }
}

pub(crate) fn a_dead_worker_gives_its_job_to_the_next_one_marked(stage: &mut Stage) {
    let pusher = stage.joined("pusher", PATIENT);
    let first = stage.joined("first", PATIENT);
    first.ask("work-stuck q", "works");
    pusher.tell("push q job 0");
    assert_eq!(first.wait("stuck-run").number(1), 1);
    let second = stage.joined("second", PATIENT);
    second.ask("work q 1", "works");
    first.kill();
    assert_eq!(second.wait("run").number(1), 2);
    pusher.wait("done job");
}

pub(crate) fn a_job_that_kills_its_workers_comes_back(stage: &mut Stage) {
    let pusher = stage.joined("pusher", PATIENT);
    pusher.tell("push q poison 2");
    for attempt in 1..=2 {
        let worker = stage.joined(format!("worker-{attempt}"), PATIENT);
        worker.ask("work-stuck q", "works");
        assert_eq!(worker.wait("stuck-run").number(1), attempt);
        worker.kill();
    }
    assert_eq!(pusher.wait("not-done").text, r#"not-done poison Exhausted(b"poison")"#);
}
