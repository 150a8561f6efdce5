//! Publish and subscribe.

use open_channel_group::core::{Event, PublishEnd};

use crate::harness::{Group, bytes, topic};

#[test]
fn a_publication_is_acknowledged_when_all_have_handled_it_or_have_left() {
    let mut group = Group::of(4);
    let subs: Vec<_> = (1..4).map(|number| group.subscribe(number, "a.*", false)).collect();
    let id = group.members[0].publish(topic("a.b"), bytes("hello")).unwrap();
    group.settle();
    assert_eq!(group.read(1, subs[0]), [bytes("hello")]);
    assert_eq!(group.read(2, subs[1]), [bytes("hello")]);
    assert_eq!(group.events(0), [], "one has not handled it");
    group.kill(3);
    let done = Event::Published { id, end: PublishEnd::Handled };
    assert!(group.events(0).contains(&done));
}

#[test]
fn a_publication_that_nobody_wants_is_acknowledged_at_once() {
    let mut group = Group::of(2);
    group.subscribe(1, "b.>", false);
    let id = group.members[0].publish(topic("a.b"), bytes("hello")).unwrap();
    group.settle();
    assert_eq!(group.events(0), [Event::Published { id, end: PublishEnd::Handled }]);
}

#[test]
fn publications_come_once_and_in_order_over_a_change_of_host() {
    let mut group = Group::of(3);
    let subscription = group.subscribe(2, ">", false);
    for number in 0..3 {
        group.members[1].publish(topic("a"), bytes(&number.to_string())).unwrap();
    }
    group.settle();
    // The subscriber has them, and the host dies before it hears that they are handled.
    group.asleep[0] = true;
    group.change_host(1);
    group.members[1].publish(topic("a"), bytes("3")).unwrap();
    group.switchboard.gone(group.id(0), group.now);
    group.settle();
    assert_eq!(group.read(2, subscription), ["0", "1", "2", "3"].map(bytes));
    let done = |event: &Event| matches!(event, Event::Published { .. });
    assert_eq!(group.events(1).iter().filter(|event| done(event)).count(), 4);
}

#[test]
fn a_latest_subscription_drops_its_oldest_and_counts_them() {
    let mut limits = open_channel_group::core::Limits::default();
    limits.window = 1000;
    let mut group = Group::with(2, limits);
    let subscription = group.subscribe(1, "a", true);
    for number in 0..100 {
        group.members[0].publish(topic("a"), bytes(&format!("{number:036}"))).unwrap();
        group.settle();
    }
    let first = group.members[1].next_delivery(subscription).unwrap();
    assert_eq!((first.missed, first.payload), (90, bytes(&format!("{:036}", 90))));
    let second = group.members[1].next_delivery(subscription).unwrap();
    assert_eq!((second.missed, second.payload), (0, bytes(&format!("{:036}", 91))));
}

#[test]
fn whoever_was_out_learns_that_something_may_be_missing() {
    let mut group = Group::of(3);
    let subscription = group.subscribe(2, "a", false);
    group.switchboard.silent(open_channel_group::core::LinkId(1002), group.now);
    group.members[0].publish(topic("a"), bytes("missed")).unwrap();
    group.settle();
    group.members[2].rejoin(open_channel_group::core::MemberId(7), group.now);
    group.settle();
    let events = group.events(2);
    assert!(events.contains(&Event::Interrupted(subscription)), "{events:?}");
    group.members[0].publish(topic("a"), bytes("not missed")).unwrap();
    group.settle();
    assert_eq!(group.read(2, subscription), [bytes("not missed")]);
}

#[test]
fn a_subscription_with_wildcards_gets_each_message_once() {
    let mut group = Group::of(2);
    let all = group.subscribe(1, ">", false);
    let some = group.subscribe(1, "a.*", false);
    for text in ["a", "a.b", "a.b.c"] {
        group.members[0].publish(topic(text), bytes(text)).unwrap();
    }
    assert_eq!(group.read(1, all), ["a", "a.b", "a.b.c"].map(bytes));
    assert_eq!(group.read(1, some), [bytes("a.b")]);
}
