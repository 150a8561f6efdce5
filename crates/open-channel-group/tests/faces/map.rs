//! The map.

use std::time::Duration;

use open_channel_group::core::{Event, Expect, MapChange, Write, WriteEnd};

use crate::harness::{Group, bytes, name};

fn write(group: &mut Group, number: usize, write: Write) -> WriteEnd {
    let op = group.members[number].write(write).unwrap();
    group.settle();
    let events = group.events(number).into_iter();
    let end = |event| match event {
        Event::Wrote { op: one, end } if one == op => Some(end),
        _ => None,
    };
    events.filter_map(end).next().expect("it ends")
}

fn set(key: &str, value: &str) -> Write {
    Write::Set { key: name(key), value: bytes(value), ttl: None }
}

fn increment(key: &str, by: i64) -> Write {
    Write::Increment { key: name(key), by, ttl: None }
}

fn read(group: &Group, number: usize, key: &str) -> Option<String> {
    let value = group.members[number].get(&name(key))?;
    Some(String::from_utf8(value.bytes.to_vec()).unwrap())
}

#[test]
fn a_write_is_acknowledged_when_every_member_has_it() {
    let mut group = Group::of(3);
    group.asleep[2] = true;
    let op = group.members[1].write(set("k", "v")).unwrap();
    group.settle();
    assert_eq!(read(&group, 1, "k"), Some("v".into()));
    assert_eq!(group.events(1), []);
    group.asleep[2] = false;
    group.settle();
    assert!(matches!(group.events(1)[..], [Event::Wrote { op: one, .. }] if one == op));
    assert_eq!(read(&group, 2, "k"), Some("v".into()));
}

#[test]
fn writes_are_evaluated_once_for_all() {
    let mut group = Group::of(2);
    assert!(matches!(write(&mut group, 0, increment("n", 5)), WriteEnd::Counted { number: 5, .. }));
    assert!(matches!(
        write(&mut group, 1, increment("n", -7)),
        WriteEnd::Counted { number: -2, .. }
    ));
    assert_eq!(read(&group, 0, "n"), Some("-2".into()));
    write(&mut group, 0, set("t", "text"));
    assert_eq!(write(&mut group, 0, increment("t", 1)), WriteEnd::NotANumber);
    write(&mut group, 0, set("m", &i64::MAX.to_string()));
    assert_eq!(write(&mut group, 0, increment("m", 1)), WriteEnd::Overflow);
    assert_eq!(write(&mut group, 0, Write::Delete { key: name("none") }), WriteEnd::Unchanged);
    assert!(matches!(
        write(&mut group, 0, Write::Delete { key: name("t") }),
        WriteEnd::Done { .. }
    ));
    assert_eq!(read(&group, 1, "t"), None);
}

#[test]
fn a_compare_and_set_changes_what_is_as_expected() {
    let mut group = Group::of(2);
    let cas = |expect, value: Option<&str>| Write::CompareAndSet {
        key: name("k"),
        expect,
        value: value.map(bytes),
        ttl: None,
    };
    let WriteEnd::Done { revision } = write(&mut group, 0, cas(Expect::Absent, Some("1"))) else {
        panic!("it was absent");
    };
    assert_eq!(write(&mut group, 1, cas(Expect::Absent, Some("2"))), WriteEnd::Conflict);
    let wrong = Expect::Value { bytes: bytes("0") };
    assert_eq!(write(&mut group, 1, cas(wrong, Some("2"))), WriteEnd::Conflict);
    let right = Expect::Revision { revision };
    assert!(matches!(write(&mut group, 1, cas(right.clone(), Some("2"))), WriteEnd::Done { .. }));
    assert_eq!(write(&mut group, 1, cas(right, Some("3"))), WriteEnd::Conflict);
    let right = Expect::Value { bytes: bytes("2") };
    assert!(matches!(write(&mut group, 0, cas(right, None)), WriteEnd::Done { .. }));
    assert_eq!(read(&group, 1, "k"), None);
}

#[test]
fn a_write_is_applied_once_when_its_host_dies_under_it() {
    let mut group = Group::of(3);
    write(&mut group, 1, increment("n", 1));
    // The host applies it, and only the third member hears of it.
    group.members[1].write(increment("n", 1)).unwrap();
    let link = |number: u64| open_channel_group::core::LinkId(1000 + number);
    let now = group.now;
    let message = group.members[1].poll_send().unwrap();
    group.switchboard.receive(link(1), message, now).unwrap();
    while let Some(message) = group.switchboard.poll_send(link(2)) {
        group.members[2].receive(message, now).unwrap();
    }
    assert_eq!((read(&group, 1, "n"), read(&group, 2, "n")), (Some("1".into()), Some("2".into())));
    group.asleep[0] = true;
    group.change_host(1);
    group.switchboard.gone(group.id(0), now);
    group.settle();
    let counted = |event: &Event| {
        matches!(event, Event::Wrote { end: WriteEnd::Counted { number: 2, .. }, .. })
    };
    assert!(group.events(1).iter().any(counted));
    assert_eq!((read(&group, 1, "n"), read(&group, 2, "n")), (Some("2".into()), Some("2".into())));
}

#[test]
fn a_key_expires_at_all_members_also_at_the_next_host() {
    let mut group = Group::of(2);
    let ttl = Some(Duration::from_secs(10));
    write(&mut group, 1, Write::Set { key: name("k"), value: bytes("v"), ttl });
    group.pass(Duration::from_secs(6));
    group.change_host(1);
    group.pass(Duration::from_millis(3800));
    assert_eq!(read(&group, 0, "k"), Some("v".into()));
    group.pass(Duration::from_millis(400));
    assert_eq!((read(&group, 0, "k"), read(&group, 1, "k")), (None, None));
}

#[test]
fn a_watch_tells_each_key_once_until_it_is_asked() {
    let mut group = Group::of(2);
    let watch = group.members[1].watch("a.");
    for key in ["a.1", "b.1", "a.2", "a.1", "a.1"] {
        write(&mut group, 0, set(key, "v"));
    }
    assert_eq!(group.events(1), [Event::Changed(watch)]);
    assert_eq!(group.members[1].next_change(watch), Some(MapChange::Key(name("a.1"))));
    assert_eq!(group.members[1].next_change(watch), Some(MapChange::Key(name("a.2"))));
    assert_eq!(group.members[1].next_change(watch), None);
    write(&mut group, 0, Write::Delete { key: name("a.1") });
    assert_eq!(group.members[1].next_change(watch), Some(MapChange::Key(name("a.1"))));
}

#[test]
fn whoever_joins_gets_all_of_a_large_map() {
    let mut group = Group::of(2);
    for key in 0..300 {
        write(&mut group, 0, set(&format!("k{key}"), &"v".repeat(1000)));
    }
    let ttl = Some(Duration::from_secs(5));
    write(&mut group, 0, Write::Set { key: name("e"), value: bytes("v"), ttl });
    group.add();
    group.settle();
    assert_eq!(group.members[2].entries().count(), 301);
    assert!(group.members[2].entries().eq(group.members[1].entries()));
    group.pass(Duration::from_secs(6));
    assert_eq!(read(&group, 2, "e"), None);
}
