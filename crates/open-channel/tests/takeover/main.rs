//! Real processes meet, are killed and stopped, on every system that has processes.
//!
//! One executable serves for both: with `OPEN_CHANNEL_TEST_ROLE` set it is one of those processes,
//! otherwise it runs the tests. `tests/processes/` goes deeper, on Linux alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

mod actor;
mod process;
mod suspension;

use process::{Process, Stage};

/// The links that processes of this system meet on.
const LINKS: &[&str] = if cfg!(windows) { &["pipe", "tcp"] } else { &["unix", "tcp"] };

type Test = fn(&Stage);

const TESTS: &[(&str, Test)] = &[
    ("two_processes_meet", two_processes_meet),
    ("of_those_that_start_at_once_one_hosts", of_those_that_start_at_once_one_hosts),
    ("a_killed_host_is_replaced_and_nothing_is_lost", a_killed_host_is_replaced),
    ("a_host_that_closes_hands_over_and_nothing_is_lost", a_host_that_closes_hands_over),
    ("a_stopped_host_is_replaced_and_handles_nothing_more", a_stopped_host_is_replaced),
    ("a_host_killed_while_it_is_stopped_is_replaced", a_host_killed_while_it_is_stopped),
    ("a_killed_peer_is_known_to_its_host", a_killed_peer_is_known_to_its_host),
    ("the_last_to_leave_leaves_nothing_behind", the_last_to_leave_leaves_nothing_behind),
];

fn main() {
    if let Ok(role) = std::env::var(actor::ROLE) {
        return actor::run(&role);
    }
    let mut trials = Vec::new();
    for &link in LINKS {
        for &(name, test) in TESTS {
            trials.push(Trial::test(format!("{link}::{name}"), move || {
                let stage = Stage::new(link);
                test(&stage);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A process that hosts, after it has said so.
fn host(stage: &Stage, generation: u64) -> Process {
    let host = stage.start("serve");
    host.await_line(&format!("hosts {generation}"));
    host
}

/// A process that would host, and is a peer.
fn successor(stage: &Stage) -> Process {
    let successor = stage.start("serve");
    successor.await_line("joined 1");
    successor
}

/// The numbers that a process says it has handled, in its order.
fn handled(process: &Process) -> Vec<u64> {
    let lines = process.lines();
    lines.iter().filter_map(|line| line.strip_prefix("got ")?.parse().ok()).collect()
}

/// Ends a process, and waits for its last line.
fn leave(process: &Process) {
    process.end();
    assert!(process.has_succeeded());
}

/// That every number up to `count` was handled, at each host once and in order. All hosts have
/// ended.
fn check_nothing_is_lost(hosts: &[&Process], count: u64) {
    let mut times: BTreeMap<u64, usize> = (0..count).map(|number| (number, 0)).collect();
    for host in hosts {
        let numbers = handled(host);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        numbers.iter().for_each(|number| *times.entry(*number).or_default() += 1);
    }
    let lost: Vec<u64> =
        times.iter().filter(|(_, times)| **times == 0).map(|(number, _)| *number).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(times.len() as u64, count, "more than was sent");
}

fn two_processes_meet(stage: &Stage) {
    let host = host(stage, 1);
    let sender = stage.start("send 200");
    sender.await_line("flushed");
    leave(&sender);
    leave(&host);
    check_nothing_is_lost(&[&host], 200);
    assert!(sender.lines().contains(&format!("peer {} {}", host.id(), stage.link())));
    assert!(host.lines().contains(&format!("from {} {}", sender.id(), stage.link())));
}

fn of_those_that_start_at_once_one_hosts(stage: &Stage) {
    let herd: Vec<Process> = (0..6).map(|_| stage.start("serve")).collect();
    for process in &herd {
        process.await_line_with(|line| line == "hosts 1" || line == "joined 1");
    }
    let hosts = herd.iter().filter(|process| process.lines().contains(&"hosts 1".into())).count();
    assert_eq!(hosts, 1);
    let sender = stage.start("send 10");
    sender.await_line("flushed");
}

fn a_killed_host_is_replaced(stage: &Stage) {
    const COUNT: u64 = 3000;
    let (first, second) = (host(stage, 1), successor(stage));
    let sender = stage.start(&format!("send {COUNT}"));
    first.await_line("got 500");
    let killed = Instant::now();
    first.kill();
    second.await_line("hosts 2");
    println!("{}: taken over {:?} after the kill", stage.link(), killed.elapsed());
    sender.await_line("flushed");
    leave(&second);
    check_nothing_is_lost(&[&first, &second], COUNT);
}

fn a_host_that_closes_hands_over(stage: &Stage) {
    const COUNT: u64 = 3000;
    let (first, second) = (host(stage, 1), successor(stage));
    let sender = stage.start(&format!("send {COUNT}"));
    first.await_line("got 500");
    first.end();
    second.await_line("hosts 2");
    sender.await_line("flushed");
    assert!(first.has_succeeded());
    leave(&second);
    check_nothing_is_lost(&[&first, &second], COUNT);
}

fn a_stopped_host_is_replaced(stage: &Stage) {
    const COUNT: u64 = 3000;
    let (first, second) = (host(stage, 1), successor(stage));
    let sender = stage.start(&format!("send {COUNT}"));
    first.await_line("got 500");
    first.suspend();
    second.await_line("hosts 2");
    sender.await_line("flushed");
    first.resume();
    first.await_line("fenced 1");
    leave(&first);
    leave(&second);
    check_nothing_is_lost(&[&first, &second], COUNT);
}

fn a_host_killed_while_it_is_stopped(stage: &Stage) {
    let (first, second) = (host(stage, 1), successor(stage));
    first.suspend();
    first.kill();
    second.await_line("hosts 2");
    let sender = stage.start("send 20");
    sender.await_line("flushed");
    leave(&second);
    check_nothing_is_lost(&[&second], 20);
}

fn a_killed_peer_is_known_to_its_host(stage: &Stage) {
    let host = host(stage, 1);
    let sender = stage.start("hold");
    host.await_line("got 0");
    sender.kill();
    host.await_line_with(|line| line.starts_with("over "));
}

fn the_last_to_leave_leaves_nothing_behind(stage: &Stage) {
    let (first, second) = (host(stage, 1), successor(stage));
    assert!(stage.channels() > 0);
    leave(&first);
    second.await_line("hosts 2");
    leave(&second);
    assert_eq!(stage.channels(), 0);
}
