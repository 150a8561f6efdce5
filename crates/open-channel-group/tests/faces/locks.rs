//! Locks.

use open_channel_group::core::{Event, LockClaim, LockId, LockMode, LockWait, Token};

use crate::harness::{Group, lock_name};

fn ask(group: &mut Group, number: usize, mode: LockMode, wait: LockWait) -> LockId {
    let lock = group.members[number].lock(lock_name("l"), mode, wait).unwrap();
    group.settle();
    lock
}

fn exclusive(group: &mut Group, number: usize) -> LockId {
    ask(group, number, LockMode::Exclusive, LockWait::Wait)
}

fn token(group: &mut Group, number: usize) -> Option<Token> {
    group.events(number).into_iter().find_map(|event| match event {
        Event::Acquired { token, .. } => Some(token),
        _ => None,
    })
}

#[test]
fn first_come_first_served_with_tokens_that_grow() {
    let mut group = Group::of(4);
    let mut locks: Vec<LockId> = (0..4).map(|number| exclusive(&mut group, number)).collect();
    let mut last = token(&mut group, 0).expect("the first has it");
    for number in 1..4 {
        assert_eq!(token(&mut group, number), None);
        group.members[number - 1].unlock(locks.remove(0)).unwrap();
        group.settle();
        let next = token(&mut group, number).expect("the next has it");
        assert!(next > last && next.number() > last.number());
        last = next;
    }
}

#[test]
fn shared_holders_are_together_and_nobody_overtakes_the_line() {
    let mut group = Group::of(4);
    let first = ask(&mut group, 0, LockMode::Shared, LockWait::Wait);
    let second = ask(&mut group, 1, LockMode::Shared, LockWait::Wait);
    assert!(token(&mut group, 0).is_some() && token(&mut group, 1).is_some());
    exclusive(&mut group, 2);
    ask(&mut group, 3, LockMode::Shared, LockWait::Wait);
    assert_eq!(token(&mut group, 3), None, "an exclusive one is before it");
    group.members[0].unlock(first).unwrap();
    group.members[1].unlock(second).unwrap();
    group.settle();
    assert!(token(&mut group, 2).is_some());
    assert_eq!(token(&mut group, 3), None);
}

#[test]
fn a_try_does_not_wait() {
    let mut group = Group::of(2);
    let lock = exclusive(&mut group, 0);
    let denied = ask(&mut group, 1, LockMode::Exclusive, LockWait::Try);
    assert_eq!(group.events(1), [Event::Denied(denied)]);
    group.members[0].unlock(lock).unwrap();
    group.settle();
    ask(&mut group, 1, LockMode::Exclusive, LockWait::Try);
    assert!(token(&mut group, 1).is_some());
}

#[test]
fn a_steal_goes_before_all_others_and_the_holder_learns_so() {
    let mut group = Group::of(3);
    let lock = exclusive(&mut group, 0);
    let first = token(&mut group, 0).unwrap();
    exclusive(&mut group, 1);
    ask(&mut group, 2, LockMode::Exclusive, LockWait::Steal);
    assert_eq!(group.events(0), [Event::Lost(lock)]);
    assert!(token(&mut group, 2).unwrap() > first);
    assert_eq!(token(&mut group, 1), None);
    assert!(group.members[0].unlock(lock).is_err());
}

#[test]
fn a_death_frees_a_lock() {
    let mut group = Group::of(3);
    exclusive(&mut group, 1);
    exclusive(&mut group, 2);
    assert_eq!(token(&mut group, 2), None);
    group.kill(1);
    assert!(token(&mut group, 2).is_some());
}

#[test]
fn holder_and_line_last_over_a_change_of_host() {
    let mut group = Group::of(4);
    let lock = exclusive(&mut group, 3);
    let first = token(&mut group, 3).unwrap();
    // The second asks before the first in the order of their numbers.
    exclusive(&mut group, 2);
    exclusive(&mut group, 1);
    group.asleep[0] = true;
    group.change_host(1);
    group.switchboard.gone(group.id(0), group.now);
    group.settle();
    assert_eq!((token(&mut group, 1), token(&mut group, 2)), (None, None));
    group.members[3].unlock(lock).unwrap();
    group.settle();
    assert!(token(&mut group, 2).expect("it was first") > first);
    assert_eq!(token(&mut group, 1), None);
}

#[test]
fn a_member_that_was_put_out_holds_its_lock_until_it_lets_it_go() {
    let mut group = Group::of(3);
    let lock = exclusive(&mut group, 2);
    let first = token(&mut group, 2).unwrap();
    exclusive(&mut group, 1);
    group.asleep[2] = true;
    group.switchboard.silent(open_channel_group::core::LinkId(1002), group.now);
    group.settle();
    assert_eq!(token(&mut group, 1), None, "it has a turn, and the kernel has the lock");
    group.asleep[2] = false;
    group.settle();
    group.members[2].rejoin(open_channel_group::core::MemberId(7), group.now);
    group.settle();
    assert_eq!(token(&mut group, 1), None);
    group.members[2].unlock(lock).unwrap();
    group.settle();
    assert!(token(&mut group, 1).unwrap() > first);
}

#[test]
fn a_lock_and_a_role_of_one_name_are_two() {
    let mut group = Group::of(2);
    exclusive(&mut group, 0);
    let mut role = lock_name("l");
    role.space = open_channel_group::core::LockSpace::Lead;
    group.members[1].lock(role, LockMode::Exclusive, LockWait::Wait).unwrap();
    group.settle();
    assert!(token(&mut group, 0).is_some() && token(&mut group, 1).is_some());
}

/// Holders and waiters, as one member is told: who, and whether with a token.
fn queried(group: &mut Group, number: usize) -> Vec<(u64, bool)> {
    group.events(number);
    let query = group.members[number].query_locks().unwrap();
    group.settle();
    let answer = group.events(number).into_iter().find_map(|event| match event {
        Event::LocksQueried { query: answered, claims } if answered == query => Some(claims),
        _ => None,
    });
    let short = |claim: LockClaim| (claim.member.0, claim.token.is_some());
    answer.expect("it was answered").into_iter().map(short).collect()
}

#[test]
fn everybody_can_learn_who_holds_and_who_waits_in_what_order() {
    let mut group = Group::of(4);
    assert_eq!(queried(&mut group, 3), []);
    exclusive(&mut group, 2);
    exclusive(&mut group, 3);
    exclusive(&mut group, 0);
    let all = [(102, true), (103, false), (100, false)];
    assert_eq!(queried(&mut group, 1), all);
    // The question is in line behind what was begun before it.
    group.members[1].lock(lock_name("l"), LockMode::Shared, LockWait::Wait).unwrap();
    assert_eq!(queried(&mut group, 1), [&all[..], &[(101, false)]].concat());
}

#[test]
fn questions_for_locks_are_asked_again_at_the_next_host() {
    let mut group = Group::of(3);
    exclusive(&mut group, 2);
    exclusive(&mut group, 1);
    group.events(1);
    let first = group.members[1].query_locks().unwrap();
    let second = group.members[1].query_locks().unwrap();
    // Nothing of it has left the member.
    group.asleep[0] = true;
    group.change_host(1);
    group.switchboard.gone(group.id(0), group.now);
    group.settle();
    let answered: Vec<_> = group
        .events(1)
        .into_iter()
        .filter_map(|event| match event {
            Event::LocksQueried { query, claims } => Some((query, claims.len())),
            _ => None,
        })
        .collect();
    assert_eq!(answered, [(first, 2), (second, 2)]);
}

#[test]
fn a_long_answer_comes_in_pieces() {
    let mut group = Group::of(2);
    for number in 0..3000 {
        let name = lock_name(&format!("{number:0>60}"));
        group.members[1].lock(name, LockMode::Exclusive, LockWait::Wait).unwrap();
        group.settle();
    }
    let claims = queried(&mut group, 0);
    assert_eq!(claims.len(), 3000);
    assert!(claims.iter().all(|claim| *claim == (101, true)));
}
