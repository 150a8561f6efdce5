//! Calls.

use std::time::Duration;

use bytes::Bytes;
use open_channel_group::core::{CallEnd, CallId, CallOptions, Event, MemberId, RequestId, Target};

use crate::harness::{Group, bytes, name};

fn service() -> Target {
    Target::Service(name("s"))
}

fn serving(count: usize, servers: &[usize]) -> Group {
    let mut group = Group::of(count);
    for &number in servers {
        group.members[number].serve(name("s")).unwrap();
    }
    group.settle();
    for number in 0..count {
        group.events(number);
    }
    group
}

fn call(group: &mut Group, from: usize, target: Target, options: CallOptions) -> CallId {
    let now = group.now;
    let call = group.members[from].call(target, bytes("question"), options, now).unwrap();
    group.settle();
    call
}

fn request(group: &mut Group, number: usize) -> Option<RequestId> {
    group.events(number).into_iter().find_map(|event| match event {
        Event::Request { request, .. } => Some(request),
        _ => None,
    })
}

fn ended(group: &mut Group, number: usize) -> Vec<CallEnd> {
    let events = group.events(number).into_iter();
    events
        .filter_map(|event| match event {
            Event::CallEnded { end, .. } => Some(end),
            _ => None,
        })
        .collect()
}

fn idempotent() -> CallOptions {
    let mut options = CallOptions::default();
    options.idempotent = true;
    options
}

#[test]
fn a_call_has_one_answer() {
    let mut group = serving(3, &[1]);
    call(&mut group, 2, service(), CallOptions::default());
    let asked = request(&mut group, 1).unwrap();
    group.members[1].answer(asked, Ok(bytes("answer"))).unwrap();
    assert!(group.members[1].answer(asked, Ok(bytes("again"))).is_err());
    group.settle();
    assert_eq!(ended(&mut group, 2), [CallEnd::Answered(bytes("answer"))]);
}

#[test]
fn a_failure_carries_its_reason() {
    let mut group = serving(2, &[1]);
    call(&mut group, 0, service(), CallOptions::default());
    let asked = request(&mut group, 1).unwrap();
    group.members[1].answer(asked, Err("out of paper".into())).unwrap();
    group.settle();
    assert_eq!(ended(&mut group, 0), [CallEnd::Failed("out of paper".into())]);
}

#[test]
fn a_service_that_nobody_serves_is_known_at_once() {
    let mut group = Group::of(2);
    call(&mut group, 0, service(), CallOptions::default());
    assert_eq!(ended(&mut group, 0), [CallEnd::NoSuchService]);
    let gone = Target::Member(MemberId(5), name("s"));
    call(&mut group, 0, gone, CallOptions::default());
    assert_eq!(ended(&mut group, 0), [CallEnd::Died]);
}

#[test]
fn a_death_is_known_at_once_and_an_idempotent_call_goes_on() {
    let mut group = serving(3, &[1, 2]);
    let to = Target::Member(group.id(1), name("s"));
    call(&mut group, 0, to, CallOptions::default());
    group.kill(1);
    assert_eq!(ended(&mut group, 0), [CallEnd::Died]);

    let mut group = serving(3, &[1, 2]);
    call(&mut group, 0, service(), idempotent());
    let first = if request(&mut group, 1).is_some() { 1 } else { 2 };
    group.kill(first);
    let next = 3 - first;
    let asked = request(&mut group, next).expect("the next one is asked");
    group.members[next].answer(asked, Ok(bytes("answer"))).unwrap();
    group.settle();
    assert_eq!(ended(&mut group, 0), [CallEnd::Answered(bytes("answer"))]);
}

#[test]
fn a_deadline_ends_a_call_and_its_handler_learns_so() {
    let mut group = serving(2, &[1]);
    let mut options = CallOptions::default();
    options.deadline = Duration::from_secs(2);
    call(&mut group, 0, service(), options);
    let asked = request(&mut group, 1).unwrap();
    group.pass(Duration::from_millis(1900));
    assert_eq!(ended(&mut group, 0), []);
    group.pass(Duration::from_millis(200));
    assert_eq!(ended(&mut group, 0), [CallEnd::TimedOut]);
    assert_eq!(group.events(1), [Event::RequestCancelled(asked)]);
    assert!(group.members[1].answer(asked, Ok(Bytes::new())).is_err());
}

#[test]
fn whoever_gives_up_cancels() {
    let mut group = serving(2, &[1]);
    let id = call(&mut group, 0, service(), CallOptions::default());
    let asked = request(&mut group, 1).unwrap();
    group.members[0].cancel(id).unwrap();
    assert!(group.members[0].cancel(id).is_err());
    group.settle();
    assert_eq!(ended(&mut group, 0), [CallEnd::Cancelled]);
    assert_eq!(group.events(1), [Event::RequestCancelled(asked)]);
}

#[test]
fn a_call_goes_on_over_a_change_of_host_and_runs_once() {
    let mut group = serving(3, &[2]);
    call(&mut group, 1, service(), CallOptions::default());
    let asked = request(&mut group, 2).unwrap();
    group.asleep[0] = true;
    group.members[2].answer(asked, Ok(bytes("answer"))).unwrap();
    group.change_host(1);
    group.switchboard.gone(group.id(0), group.now);
    group.settle();
    assert_eq!(ended(&mut group, 1), [CallEnd::Answered(bytes("answer"))]);
    assert_eq!(request(&mut group, 2), None, "it is not asked again");
}

#[test]
fn a_call_to_all_says_who_answered_died_and_was_late() {
    let mut group = serving(4, &[1, 2, 3]);
    let now = group.now;
    let mut options = CallOptions::default();
    options.deadline = Duration::from_secs(5);
    let all = group.members[0].call_all(&name("s"), &bytes("question"), options, now).unwrap();
    group.settle();
    let asked = request(&mut group, 1).unwrap();
    group.members[1].answer(asked, Ok(bytes("one"))).unwrap();
    group.settle();
    group.kill(2);
    group.pass(Duration::from_secs(6));
    let answers = group.events(0).into_iter().find_map(|event| match event {
        Event::AllAnswered { call, answers } if call == all => Some(answers),
        _ => None,
    });
    let answers = answers.expect("it ends");
    assert_eq!(answers.answered, [(group.id(1), Ok(bytes("one")))]);
    assert_eq!(answers.died, [group.id(2)]);
    assert_eq!(answers.timed_out, [group.id(3)]);
}

#[test]
fn members_that_serve_the_same_take_turns() {
    let mut group = serving(3, &[1, 2]);
    for _ in 0..10 {
        call(&mut group, 0, service(), CallOptions::default());
    }
    let count = |events: Vec<Event>| {
        events.iter().filter(|event| matches!(event, Event::Request { .. })).count()
    };
    assert_eq!((count(group.events(1)), count(group.events(2))), (5, 5));
}

#[test]
fn services_are_served_again_by_a_member_that_comes_back() {
    let mut limits = open_channel_group::core::Limits::default();
    limits.window = 100;
    let mut group = Group::with(2, limits);
    for service in ["r", "s", "t"] {
        group.members[1].serve(name(service)).unwrap();
        group.settle();
    }
    group.switchboard.silent(open_channel_group::core::LinkId(1001), group.now);
    group.settle();
    call(&mut group, 0, service(), CallOptions::default());
    assert_eq!(ended(&mut group, 0), [CallEnd::NoSuchService]);
    group.members[1].rejoin(MemberId(7), group.now);
    group.settle();
    assert_eq!(group.members[0].view().1[1].services, ["r", "s", "t"].map(name));
    group.events(1);
    call(&mut group, 0, service(), CallOptions::default());
    assert!(request(&mut group, 1).is_some());
}
