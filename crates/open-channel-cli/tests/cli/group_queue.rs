//! `queue`: each job is done, whoever is killed.
#![cfg(unix)]

use rustix::process::Signal;

use crate::program::{Place, Program};

fn worker(place: &Place, options: &[&str], script: &str) -> Program {
    let command = ["--", "sh", "-c", script];
    let mut worker = place.start(&[&["-v", "queue", "work", "mails"], options, &command].concat());
    worker.wait_for_error("working");
    worker
}

#[test]
fn jobs_are_done_in_their_order_by_one_worker() {
    let place = Place::new();
    let mut worker = worker(&place, &[], "echo \"$(cat) $OPEN_CHANNEL_ATTEMPT\"");
    let mut push = place.start(&["queue", "push", "mails"]);
    for job in ["one", "two", "three"] {
        push.type_line(job);
    }
    push.end_of_input();
    push.succeed();
    place.start(&["queue", "push", "mails", "four"]).succeed();
    worker.wait_for_line("four 1");
    assert_eq!(worker.printed(), ["one 1", "two 1", "three 1", "four 1"]);
    worker.signal(Signal::TERM);
    let (status, ..) = worker.finish();
    assert_eq!(status.code(), Some(143));
}

#[test]
fn a_job_waits_for_a_worker() {
    let place = Place::new();
    let push = place.start(&["queue", "push", "mails", "early"]);
    let mut worker = worker(&place, &[], "cat; echo");
    push.succeed();
    worker.wait_for_line("early");
}

#[test]
fn the_job_of_a_killed_worker_is_done_by_another() {
    let place = Place::new();
    let mut first = worker(&place, &[], "echo begun; while :; do sleep 0.02; done");
    let push = place.start(&["queue", "push", "mails", "letter"]);
    first.wait_for_line("begun");
    let mut second = worker(&place, &[], "echo \"$(cat) $OPEN_CHANNEL_ATTEMPT\"");
    first.kill();
    push.succeed();
    second.wait_for_line("letter 2");
}

#[test]
fn a_job_that_fails_is_tried_again_as_often_as_it_may() {
    let place = Place::new();
    let script = "echo \"$OPEN_CHANNEL_ATTEMPT\"; [ $OPEN_CHANNEL_ATTEMPT = 3 ]";
    let mut worker = worker(&place, &[], script);
    place.start(&["queue", "push", "mails", "letter"]).succeed();
    worker.wait_for_line("3");
    let error = place.start(&["queue", "push", "mails", "letter", "--attempts", "2"]).fail();
    assert!(error.contains("has had all its attempts: \"letter\""), "{error}");
    place.start(&["queue", "push", "mails", "letter", "--attempts", "3"]).succeed();
}

/// Each of the two waits for the other.
#[test]
fn a_worker_does_several_at_a_time() {
    let place = Place::new();
    let meet = format!(
        "read name other; touch {0}/$name; while [ ! -e {0}/$other ]; do sleep 0.02; done",
        place.path().display()
    );
    let _worker = worker(&place, &["--jobs", "2"], &meet);
    place.start(&["queue", "push", "mails", "anna ben", "ben anna"]).succeed();
}

#[test]
fn a_worker_that_is_asked_to_stop_finishes_its_job() {
    let place = Place::new();
    let script = format!(
        "echo begun; while [ ! -e {}/go ]; do sleep 0.02; done; echo done",
        place.path().display()
    );
    let mut worker = worker(&place, &[], &script);
    let push = place.start(&["queue", "push", "mails", "letter", "--attempts", "1"]);
    worker.wait_for_line("begun");
    worker.signal(Signal::TERM);
    std::fs::write(place.path().join("go"), "").expect("a file");
    push.succeed();
    let (_, output, _) = worker.finish();
    assert_eq!(output, "begun\ndone");
}
