//! `map`: state that lives while one member does.

use serde_json::{Value, json};

use crate::program::{Place, Program};

/// A member that stays, and sees each change.
fn watcher(place: &Place, args: &[&str]) -> Program {
    let mut watcher = place.start(&[&["-v", "map", "watch", "prices"], args].concat());
    watcher.wait_for_error("watching");
    watcher
}

fn map(place: &Place, args: &[&str]) -> Program {
    place.start(&[&["map", args[0], "prices"], &args[1..]].concat())
}

/// The exit status says that there is nothing; no words are needed.
#[track_caller]
fn nothing(program: Program) {
    let (status, output, errors) = program.finish();
    assert_eq!((status.code(), output.as_str(), errors.as_str()), (Some(1), "", ""));
}

#[test]
fn what_one_has_set_all_others_get() {
    let place = Place::new();
    let mut watcher = watcher(&place, &[]);
    nothing(map(&place, &["get", "tea"]));
    map(&place, &["set", "tea", "3"]).succeed();
    assert_eq!(map(&place, &["get", "tea"]).succeed(), "3");
    let mut set = map(&place, &["set", "cake"]);
    set.type_line("piped");
    set.end_of_input();
    set.succeed();
    assert_eq!(map(&place, &["get", "cake"]).succeed(), "piped\n");
    assert_eq!(map(&place, &["ls", "te"]).succeed(), "tea\t3");
    nothing(map(&place, &["set", "tea", "4", "--if-absent"]));
    map(&place, &["delete", "cake"]).succeed();
    nothing(map(&place, &["delete", "cake"]));
    watcher.wait_for_line("cake");
    map(&place, &["set", "tea", "--if-absent", "--", "4"]).finish();
    assert_eq!(map(&place, &["get", "tea"]).succeed(), "3");
    let listed: Value =
        serde_json::from_str(&map(&place, &["ls", "--json"]).succeed()).expect("JSON");
    assert_eq!((&listed["key"], &listed["value"]), (&json!("tea"), &json!("3")));
    assert!(listed["revision"].is_u64(), "{listed}");
}

#[test]
fn numbers_are_counted_by_all_together() {
    let place = Place::new();
    let _watcher = watcher(&place, &[]);
    let counting: Vec<Program> = (0..5).map(|_| map(&place, &["incr", "visits"])).collect();
    let mut sums: Vec<String> = counting.into_iter().map(Program::succeed).collect();
    sums.sort();
    assert_eq!(sums, ["1", "2", "3", "4", "5"]);
    assert_eq!(map(&place, &["incr", "visits", "-7"]).succeed(), "-2");
    map(&place, &["set", "visits", "many"]).succeed();
    let error = map(&place, &["incr", "visits"]).fail();
    assert!(error.contains("the key \"visits\": the value is not a number"), "{error}");
}

#[test]
fn a_watcher_sees_what_is_there_and_what_changes() {
    let place = Place::new();
    let mut stays = watcher(&place, &[]);
    map(&place, &["set", "tea", "3"]).succeed();
    stays.wait_for_line("tea\t3");
    let watcher = watcher(&place, &["te", "--json", "--count", "3"]);
    map(&place, &["set", "cake", "5"]).succeed();
    map(&place, &["set", "tea", "4"]).succeed();
    map(&place, &["delete", "tea"]).succeed();
    let lines = watcher.succeed();
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0], json!({ "key": "tea", "value": "3" }));
    // The two changes come as they are read.
    assert_eq!(lines.last(), Some(&json!({ "key": "tea" })), "{lines:?}");
}

#[test]
fn a_value_with_a_limit_of_time_goes() {
    let place = Place::new();
    let mut watcher = watcher(&place, &[]);
    map(&place, &["set", "tea", "3", "--ttl", "0.3"]).succeed();
    watcher.wait_for_line("tea");
    nothing(map(&place, &["get", "tea"]));
}

#[test]
fn the_map_outlives_its_host() {
    let place = Place::new();
    let mut host = watcher(&place, &[]);
    let mut other = watcher(&place, &[]);
    map(&place, &["set", "tea", "3"]).succeed();
    other.wait_for_line("tea\t3");
    host.kill();
    map(&place, &["set", "cake", "5"]).succeed();
    assert_eq!(map(&place, &["ls"]).succeed(), "cake\t5\ntea\t3");
}
