//! Each example runs as a user would run it, and prints the output of its first comment.

#[allow(dead_code, reason = "nothing is typed here")]
#[path = "../../open-channel/tests/example/mod.rs"]
mod example;

use example::Example;
use tempfile::TempDir;

#[test]
fn a_second_instance_hands_its_arguments_over_and_the_next_one_takes_the_place_of_a_dead_one() {
    let dir = TempDir::new().expect("a directory");
    let mut first = Example::start(&dir, "single_instance", &["a.txt"]);
    first.expect("this is the only one");
    first.expect("open a.txt");
    let second = Example::start(&dir, "single_instance", &["b.txt", "c.txt"]).finish();
    assert_eq!(second, [format!("handed over to process {}", first.child.id())]);
    first.expect("open b.txt c.txt");
    first.kill();
    let mut third = Example::start(&dir, "single_instance", &["d.txt"]);
    third.expect("this is the only one");
    third.expect("open d.txt");
}

#[test]
fn jobs_are_done_although_a_worker_is_killed() {
    let dir = TempDir::new().expect("a directory");
    let images: Vec<String> = (1..=10).map(|number| format!("{number}.jpg")).collect();
    let mut args = vec!["push"];
    args.extend(images.iter().map(String::as_str));
    let mut worker = Example::start(&dir, "jobs", &["work"]);
    let pusher = Example::start(&dir, "jobs", &args);
    worker.expect("attempt 1");
    worker.kill();
    let mut next = Example::start(&dir, "jobs", &["work"]);
    next.expect("attempt 2");
    let mut done = pusher.finish();
    done.sort();
    let mut all: Vec<String> = images.iter().map(|image| format!("{image} is done")).collect();
    all.sort();
    assert_eq!(done, all);
}
