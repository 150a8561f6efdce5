//! Memory, and what a stuck member costs the others.

use std::time::Duration;

use bytes::Bytes;
use open_channel_group::core::{
    Event, FrameError, LeaveReason, Limits, LinkId, Name, Pattern, ProtocolError, Refused, Topic,
    Write,
};

use crate::harness::{Group, bytes, name, topic};

fn small() -> Limits {
    let mut limits = Limits::default();
    limits.window = 4000;
    limits.max_payload = 2000;
    limits
}

#[test]
fn a_subscriber_that_never_reads_costs_bounded_memory_and_is_put_out() {
    let mut group = Group::with(3, small());
    let reads = group.subscribe(1, "a", false);
    group.subscribe(2, "a", false);
    let mut published = 0;
    let mut refused = 0;
    let mut most = 0;
    for _ in 0..1000 {
        match group.members[0].publish(topic("a"), Bytes::from(vec![0; 100])) {
            Ok(_) => published += 1,
            Err(Refused::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        group.settle();
        group.read(1, reads);
        let memory = group.switchboard.memory() + group.members[2].memory();
        most = most.max(memory);
        group.pass(Duration::from_millis(100));
    }
    assert!(most <= 3 * group.limits.window, "{most} bytes");
    assert!(refused > 0, "the publisher waited for it");
    assert_eq!(group.members[0].view().1.len(), 2, "and not for ever");
    assert!(published > 500, "{published} were published");
    let events = group.events(2);
    assert!(events.contains(&Event::PutOut { reason: LeaveReason::Stalled }), "{events:?}");
}

#[test]
fn a_subscriber_that_reads_slowly_is_not_put_out() {
    let mut group = Group::with(2, small());
    let slow = group.subscribe(1, "a", false);
    for _ in 0..50 {
        while group.members[0].publish(topic("a"), Bytes::from(vec![0; 100])).is_ok() {}
        group.pass(group.limits.stall_timeout / 2);
        let delivery = group.members[1].next_delivery(slow).unwrap();
        group.members[1].handled(slow, delivery.id).unwrap();
        group.settle();
    }
    assert_eq!(group.members[0].view().1.len(), 2);
}

#[test]
fn a_subscription_that_is_not_read_leaves_the_others_of_its_member_alone() {
    let mut group = Group::with(2, small());
    group.subscribe(1, "never", false);
    let reads = group.subscribe(1, "a", false);
    for _ in 0..15 {
        group.members[0].publish(topic("never"), Bytes::from(vec![0; 100])).unwrap();
    }
    for _ in 0..100 {
        group.members[0].publish(topic("a"), bytes("b")).unwrap();
        assert_eq!(group.read(1, reads), [bytes("b")]);
    }
}

#[test]
fn a_stopped_member_holds_writes_up_for_the_stall_timeout_and_no_longer() {
    let mut group = Group::of(3);
    group.asleep[2] = true;
    let op = group.members[0].write(Write::Delete { key: name("none") }).unwrap();
    group.settle();
    let wrote = |event: &Event| matches!(event, Event::Wrote { .. });
    assert_eq!(group.events(0).len(), 1, "nothing is written, so {op} waits for nobody");
    let value = bytes("v");
    group.members[0].write(Write::Set { key: name("k"), value, ttl: None }).unwrap();
    group.settle();
    assert!(!group.events(0).iter().any(wrote));
    group.pass(group.limits.stall_timeout + Duration::from_secs(2));
    assert!(group.events(0).iter().any(wrote));
}

#[test]
fn one_piece_always_fits() {
    let mut limits = Limits::default();
    limits.window = 1;
    let mut group = Group::with(2, limits);
    let subscription = group.subscribe(1, "a", false);
    for _ in 0..3 {
        group.members[0].publish(topic("a"), bytes("larger than the window")).unwrap();
        let full = group.members[0].publish(topic("a"), bytes("another"));
        assert_eq!(full, Err(Refused::Full));
        assert_eq!(group.read(1, subscription).len(), 1);
        group.settle();
    }
}

#[test]
fn what_cannot_be_gets_an_error_that_names_it() {
    let mut group = Group::of(1);
    let large = Bytes::from(vec![0; 64 << 20]);
    let error = group.members[0].publish(topic("a"), large.clone()).unwrap_err();
    assert_eq!(error.to_string(), "67108864 bytes where 16777216 are allowed");
    let write = Write::Set { key: name("k"), value: large, ttl: None };
    assert!(matches!(group.members[0].write(write), Err(Refused::TooLarge { .. })));
    let error = Pattern::new("a.>.b").unwrap_err();
    assert_eq!(error.to_string(), "\"a.>.b\" is no topic: > stands at the end only");
    let error = Topic::new("a.*").unwrap_err();
    assert_eq!(error.to_string(), "\"a.*\" is no topic: a wildcard stands in patterns only");
    let error = Name::new("").unwrap_err();
    assert_eq!(error.to_string(), "a name has 1 to 1024 bytes, and this one has 0");
}

#[test]
fn another_version_is_named_and_hurts_nobody() {
    let mut group = Group::of(2);
    let message = Bytes::from_static(&[2, 1, 1]);
    let error = group.switchboard.receive(LinkId(5), message, group.now).unwrap_err();
    assert_eq!(error, ProtocolError::Frame(FrameError::Version(2)));
    assert_eq!(error.to_string(), "the frame is of version 2, and this side speaks version 1");
    group.settle();
    assert_eq!(group.members[0].view().1.len(), 2);
}

#[test]
fn ten_thousand_topics_are_as_good_as_one() {
    let mut group = Group::of(2);
    let subs: Vec<_> = (0..10_000)
        .map(|number| {
            let pattern = Pattern::new(&format!("t.{number}.*")).unwrap();
            group.members[1].subscribe(pattern, false).unwrap()
        })
        .collect();
    group.settle();
    for number in (0..10_000).step_by(777) {
        group.members[0].publish(topic(&format!("t.{number}.x")), bytes("b")).unwrap();
        assert_eq!(group.read(1, subs[number]), [bytes("b")]);
    }
    group.change_host(1);
    group.settle();
    assert!(group.members[0].is_active() && group.members[1].is_active());
}

#[test]
fn publishers_that_come_and_go_leave_bounded_memory_behind() {
    let mut group = Group::with(2, small());
    let slow = group.subscribe(1, "a", false);
    let mut most = 0;
    for round in 0..100 {
        let number = group.add();
        group.settle();
        while group.members[number].publish(topic("a"), Bytes::from(vec![0; 100])).is_ok() {}
        group.settle();
        group.kill(number);
        most = most.max(group.switchboard.memory());
        if round % 2 == 0 {
            // It makes progress, though not enough.
            let delivery = group.members[1].next_delivery(slow).unwrap();
            group.members[1].handled(slow, delivery.id).unwrap();
        }
        group.settle();
    }
    assert_eq!(group.members[0].view().1.len(), 2, "the slow one is there");
    assert!(most <= 20 * group.limits.window, "{most} bytes");
    assert!(group.read(1, slow).len() > 300, "the others are delivered");
    group.settle();
    assert_eq!(group.switchboard.memory(), 0);
}
