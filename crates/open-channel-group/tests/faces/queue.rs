//! Queues.

use std::time::Duration;

use open_channel_group::core::{Event, JobEnd, Outcome, Run, WorkerId};

use crate::harness::{Group, bytes, name};

fn worker(group: &mut Group, number: usize, capacity: u32) -> WorkerId {
    let worker = group.members[number].work(name("q"), capacity).unwrap();
    group.settle();
    worker
}

fn push(group: &mut Group, number: usize, text: &str, max_attempts: Option<u32>) {
    group.members[number].push(name("q"), bytes(text), max_attempts).unwrap();
    group.settle();
}

fn runs(group: &mut Group, number: usize) -> Vec<Run> {
    let events = group.events(number).into_iter();
    events
        .filter_map(|event| match event {
            Event::Run(run) => Some(run),
            _ => None,
        })
        .collect()
}

fn finish(group: &mut Group, number: usize, run: &Run, outcome: Outcome) {
    group.members[number].finish(run.id, outcome).unwrap();
    group.settle();
}

fn ends(group: &mut Group, number: usize) -> Vec<JobEnd> {
    let events = group.events(number).into_iter();
    events
        .filter_map(|event| match event {
            Event::JobEnded { end, .. } => Some(end),
            _ => None,
        })
        .collect()
}

#[test]
fn each_job_goes_to_one_worker_with_room() {
    let mut group = Group::of(3);
    worker(&mut group, 1, 2);
    worker(&mut group, 2, 1);
    for text in ["a", "b", "c", "d"] {
        push(&mut group, 0, text, None);
    }
    let (one, two) = (runs(&mut group, 1), runs(&mut group, 2));
    assert_eq!((one.len(), two.len()), (2, 1), "the fourth waits");
    assert_eq!(ends(&mut group, 0), []);
    finish(&mut group, 2, &two[0], Outcome::Ack);
    assert_eq!(ends(&mut group, 0), [JobEnd::Done]);
    let next = runs(&mut group, 2);
    assert_eq!((next[0].payload.clone(), next[0].attempt), (bytes("d"), 1));
}

#[test]
fn a_job_of_a_worker_that_died_goes_to_another_marked() {
    let mut group = Group::of(3);
    worker(&mut group, 1, 1);
    push(&mut group, 0, "job", None);
    assert_eq!(runs(&mut group, 1)[0].attempt, 1);
    worker(&mut group, 2, 1);
    group.kill(1);
    let run = runs(&mut group, 2).remove(0);
    assert_eq!(run.attempt, 2);
    finish(&mut group, 2, &run, Outcome::Ack);
    assert_eq!(ends(&mut group, 0), [JobEnd::Done]);
}

#[test]
fn a_nak_waits_and_counts_and_the_last_one_gives_the_job_back() {
    let mut group = Group::of(2);
    worker(&mut group, 1, 1);
    push(&mut group, 0, "job", Some(2));
    let run = runs(&mut group, 1).remove(0);
    finish(&mut group, 1, &run, Outcome::Nak(Duration::from_secs(3)));
    group.pass(Duration::from_millis(2900));
    assert_eq!(runs(&mut group, 1), []);
    group.pass(Duration::from_millis(200));
    let run = runs(&mut group, 1).remove(0);
    assert_eq!(run.attempt, 2);
    finish(&mut group, 1, &run, Outcome::Nak(Duration::ZERO));
    assert_eq!(ends(&mut group, 0), [JobEnd::Exhausted(bytes("job"))]);
    assert_eq!(runs(&mut group, 1), []);
}

#[test]
fn a_job_that_is_refused_for_good_comes_back_with_the_reason() {
    let mut group = Group::of(2);
    worker(&mut group, 1, 1);
    push(&mut group, 0, "job", None);
    let run = runs(&mut group, 1).remove(0);
    finish(&mut group, 1, &run, Outcome::Term("no".into()));
    assert_eq!(ends(&mut group, 0), [JobEnd::Terminated("no".into(), bytes("job"))]);
}

#[test]
fn a_change_of_host_is_no_attempt() {
    let mut group = Group::of(3);
    push(&mut group, 1, "waits", Some(1));
    for host in [1, 2, 1, 2] {
        group.change_host(host);
        group.settle();
    }
    worker(&mut group, 2, 1);
    let run = runs(&mut group, 2).remove(0);
    assert_eq!(run.attempt, 1);
    group.change_host(1);
    group.settle();
    assert_eq!(runs(&mut group, 2), [], "it is with its worker, and not given again");
    finish(&mut group, 2, &run, Outcome::Ack);
    assert_eq!(ends(&mut group, 1), [JobEnd::Done]);
}

#[test]
fn a_job_that_no_worker_has_can_be_taken_back() {
    let mut group = Group::of(2);
    let job = group.members[0].push(name("q"), bytes("job"), None).unwrap();
    group.settle();
    assert_eq!(group.members[0].withdraw(job), Ok(bytes("job")));
    worker(&mut group, 1, 1);
    assert_eq!(runs(&mut group, 1), []);
    push(&mut group, 0, "another", None);
    assert_eq!(runs(&mut group, 1)[0].payload, bytes("another"));
}

#[test]
fn a_run_whose_pusher_died_takes_room_until_it_is_finished() {
    let mut group = Group::of(3);
    worker(&mut group, 2, 1);
    push(&mut group, 1, "orphan", None);
    let run = runs(&mut group, 2).remove(0);
    group.kill(1);
    assert!(group.events(2).contains(&Event::RunCancelled(run.id)));
    push(&mut group, 0, "next", None);
    assert_eq!(runs(&mut group, 2), []);
    finish(&mut group, 2, &run, Outcome::Ack);
    assert_eq!(runs(&mut group, 2)[0].payload, bytes("next"));
}

#[test]
fn a_job_is_not_left_with_a_worker_that_is_put_out_together_with_another() {
    let mut group = Group::of(3);
    worker(&mut group, 2, 1);
    // The second member's job is assigned to the third, and neither of them goes on.
    group.members[1].push(name("q"), bytes("of the second"), None).unwrap();
    let message = group.members[1].poll_send().unwrap();
    let link = open_channel_group::core::LinkId(1001);
    group.switchboard.receive(link, message, group.now).unwrap();
    (group.asleep[1], group.asleep[2]) = (true, true);
    push(&mut group, 0, "of the first", None);
    group.members[0].serve(name("s")).unwrap();
    group.settle();
    group.pass(group.limits.stall_timeout + Duration::from_secs(2));
    assert_eq!(group.members[0].view().1.len(), 1);
    worker(&mut group, 0, 1);
    assert_eq!(runs(&mut group, 0)[0].payload, bytes("of the first"));
}
