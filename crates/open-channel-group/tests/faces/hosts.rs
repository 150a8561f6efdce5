//! A change of host.

use std::time::Duration;

use open_channel_group::core::{Event, LeaveReason, LinkId, MemberId, Start, Switchboard, Write};

use crate::harness::{Group, bytes, name};

fn set(group: &mut Group, number: usize, value: &str) {
    let write = Write::Set { key: name("k"), value: bytes(value), ttl: None };
    group.members[number].write(write).unwrap();
    group.settle();
}

fn value(group: &Group, number: usize) -> String {
    let value = group.members[number].get(&name("k")).unwrap();
    String::from_utf8(value.bytes.to_vec()).unwrap()
}

#[test]
fn the_next_host_waits_for_each_member_or_for_the_timeout() {
    let mut group = Group::of(3);
    group.asleep[0] = true;
    group.asleep[2] = true;
    group.change_host(1);
    group.settle();
    assert!(!group.switchboard.is_serving());
    let expected: Vec<MemberId> = group.switchboard.expected().iter().map(|one| one.id).collect();
    assert_eq!(expected, [group.id(0), group.id(2)]);
    group.switchboard.gone(group.id(0), group.now);
    group.pass(group.limits.host_timeout - Duration::from_millis(100));
    assert!(!group.switchboard.is_serving(), "one may still come");
    group.pass(Duration::from_millis(200));
    assert!(group.switchboard.is_serving());
    let left: Vec<Event> = group.events(1);
    let late = |event: &Event, id| {
        let reason = LeaveReason::NotBack;
        matches!(event, Event::MemberLeft { id: one, reason: why, .. }
            if (*one, *why) == (id, reason))
    };
    let gone = |id| left.iter().any(|event| late(event, id));
    assert!(gone(group.id(0)) && gone(group.id(2)), "{left:?}");
}

#[test]
fn it_serves_at_once_when_all_are_back() {
    let mut group = Group::of(3);
    group.asleep[0] = true;
    group.change_host(1);
    group.switchboard.gone(group.id(0), group.now);
    assert!(!group.switchboard.is_serving());
    group.settle();
    assert!(group.switchboard.is_serving());
    assert_eq!(group.members[1].view(), group.members[2].view());
}

#[test]
fn the_replica_that_went_furthest_goes_on() {
    let mut group = Group::of(3);
    set(&mut group, 0, "old");
    // The first host writes an entry that reaches the third member alone.
    let write = Write::Set { key: name("k"), value: bytes("new"), ttl: None };
    group.members[0].write(write).unwrap();
    let message = group.members[0].poll_send().unwrap();
    group.switchboard.receive(LinkId(1000), message, group.now).unwrap();
    while let Some(message) = group.switchboard.poll_send(LinkId(1002)) {
        group.members[2].receive(message, group.now).unwrap();
    }
    group.asleep[0] = true;
    group.change_host(1);
    group.switchboard.gone(group.id(0), group.now);
    group.settle();
    assert_eq!((value(&group, 1), value(&group, 2)), ("new".into(), "new".into()));
}

#[test]
fn a_host_that_knows_nothing_takes_what_the_members_know() {
    let mut group = Group::of(2);
    set(&mut group, 1, "known");
    let newcomer = group.members.len();
    group.add();
    // It is elected before it has joined.
    group.asleep[0] = true;
    group.change_host(newcomer);
    group.settle();
    assert!(!group.switchboard.is_serving(), "the first one may still come");
    group.pass(group.limits.host_timeout);
    assert_eq!((value(&group, 1), value(&group, newcomer)), ("known".into(), "known".into()));
    assert_eq!(group.members[newcomer].view().1.len(), 2);
}

#[test]
fn the_first_host_of_all_serves_at_once_and_another_one_waits() {
    let group = Group::of(1);
    let first = Switchboard::new(7, Start::First, group.limits, group.now);
    assert!(first.is_serving());
    let mut newcomer = Switchboard::new(7, Start::Newcomer, group.limits, group.now);
    assert!(!newcomer.is_serving());
    let mut now = group.now;
    for _ in 0..40 {
        now += Duration::from_millis(100);
        newcomer.handle_timeout(now);
    }
    assert!(newcomer.is_serving());
}

#[test]
fn whoever_comes_late_comes_as_a_new_member() {
    let mut group = Group::of(3);
    group.asleep[2] = true;
    group.change_host(1);
    group.pass(group.limits.host_timeout + Duration::from_millis(100));
    group.asleep[2] = false;
    group.members[2].connected(group.generation, group.now);
    group.settle();
    let reason = LeaveReason::NotBack;
    assert!(group.events(2).contains(&Event::PutOut { reason }));
    group.members[2].rejoin(MemberId(9), group.now);
    group.settle();
    assert_eq!(group.members[2].view(), group.members[1].view());
}
