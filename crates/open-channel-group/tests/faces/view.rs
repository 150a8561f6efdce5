//! The view.

use std::time::Duration;

use open_channel_group::core::{Event, LeaveReason, MemberId};

use crate::harness::{Group, info};

#[test]
fn every_member_has_the_same_numbered_view() {
    let mut group = Group::of(4);
    let (number, first) = group.members[0].view();
    assert_eq!(first.len(), 4);
    assert_eq!(first[2].info, info(2));
    for member in &group.members {
        assert_eq!(member.view(), (number, first));
    }
    group.kill(2);
    let id = group.id(2);
    let left = Event::MemberLeft { view: number + 1, id, reason: LeaveReason::Died };
    for other in [0, 1, 3] {
        assert_eq!(group.events(other), std::slice::from_ref(&left));
        assert_eq!(group.members[other].view().1.len(), 3);
    }
}

#[test]
fn a_member_that_leaves_learns_that_it_has() {
    let mut group = Group::of(2);
    group.members[1].leave();
    group.settle();
    assert_eq!(group.events(1), [Event::Left]);
    let events = group.events(0);
    assert!(matches!(events[..], [Event::MemberLeft { reason: LeaveReason::Left, .. }]));
    assert!(group.members[1].subscribe(crate::harness::pattern("a"), false).is_err());
}

#[test]
fn a_stopped_member_is_put_out_when_others_wait_for_it_and_may_come_back() {
    let mut group = Group::of(3);
    group.asleep[2] = true;
    group.members[0].serve(crate::harness::name("s")).unwrap();
    group.settle();
    group.pass(group.limits.stall_timeout - Duration::from_secs(1));
    assert_eq!(group.members[0].view().1.len(), 3, "it has time");
    group.pass(Duration::from_secs(2));
    assert_eq!(group.members[0].view().1.len(), 2);
    group.asleep[2] = false;
    group.settle();
    let reason = LeaveReason::Stalled;
    assert_eq!(group.events(2), [Event::PutOut { reason }], "it learns so, and nothing else");
    group.members[2].rejoin(MemberId(7), group.now);
    group.settle();
    assert_eq!(group.members[2].view(), group.members[0].view());
    assert_eq!(group.members[0].view().1[2].id, MemberId(7));
}

#[test]
fn a_host_that_was_stopped_puts_nobody_out_when_it_wakes_up() {
    let mut group = Group::of(3);
    group.asleep[2] = true;
    group.members[0].serve(crate::harness::name("s")).unwrap();
    group.settle();
    // One long pause of the host's process.
    group.now += 10 * group.limits.stall_timeout;
    group.switchboard.handle_timeout(group.now);
    group.settle();
    assert_eq!(group.members[0].view().1.len(), 3);
}

#[test]
fn a_view_has_so_many_members_and_not_more() {
    let mut limits = open_channel_group::core::Limits::default();
    limits.max_members = 2;
    let mut group = Group::with(2, limits);
    group.add();
    group.settle();
    assert_eq!(group.events(2), [Event::PutOut { reason: LeaveReason::TooMany }]);
    assert_eq!(group.members[0].view().1.len(), 2);
}
