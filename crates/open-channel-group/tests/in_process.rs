//! The faces with two members in one process: what they answer, and what a drop does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use open_channel_group::{
    CallOptions, Change, Error, Event, Expect, Group, GroupBuilder, LockClaim, LockMode, LockName,
    LockSpace, Refused, blocking,
};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn builder(&self) -> GroupBuilder {
        Group::builder("place").runtime_dir(self.0.path().join("d"))
    }

    async fn two(&self) -> (Group, Group) {
        (self.builder().join().await.unwrap(), self.builder().join().await.unwrap())
    }
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[tokio::test]
async fn a_group_that_is_dropped_leaves() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let mut events = one.events();
    let id = other.id();
    drop(other);
    loop {
        if let Event::Left { id: left, .. } = events.recv().await.unwrap() {
            assert_eq!(left, id);
            break;
        }
    }
    one.close().await.unwrap();
    assert!(matches!(one.publish("a", "").await, Err(Error::Left)));
    assert!(matches!(one.map("m").unwrap().get("k"), Err(Error::Left)));
}

#[tokio::test]
async fn a_member_that_is_abandoned_is_gone_at_once_and_its_lock_is_free() {
    let place = Place::new();
    let (one, other) = place.two().await;
    assert!(one.is_host());
    let guard = one.lock("l").await.unwrap();
    let mut subscription = one.subscribe("a").await.unwrap();
    let publish = tokio::spawn({
        let other = other.clone();
        async move { other.publish("a", "").await }
    });
    let message = subscription.recv().await.unwrap();
    let begun = std::time::Instant::now();
    open_channel_group::ffi::abandon(&one);
    drop((message, guard, subscription));
    other.lock("l").await.unwrap();
    publish.await.unwrap().unwrap();
    let took = begun.elapsed();
    assert!(took < open_channel_group::core::DEFAULT_HOST_TIMEOUT, "it was waited for: {took:?}");
    assert!(matches!(one.publish("a", "").await, Err(Error::Left)));

    // The same with a member that does not host.
    let third = place.builder().join().await.unwrap();
    let guard = third.lock("l").await.unwrap();
    let mut members = other.members();
    open_channel_group::ffi::abandon(&third);
    drop(guard);
    other.lock("l").await.unwrap();
    members.wait_for(|view| view.members.len() == 1).await.unwrap();
    let took = begun.elapsed();
    assert!(took < open_channel_group::core::DEFAULT_HOST_TIMEOUT, "it was waited for: {took:?}");
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_group_that_is_left_waits_for_a_lock_for_as_long_as_it_is_held() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let guard = one.lock("l").await.unwrap();
    let closed = tokio::spawn({
        let one = one.clone();
        async move { one.close().await }
    });
    while !matches!(one.publish("a", "").await, Err(Error::Left)) {}
    assert!(other.try_lock("l").await.unwrap().is_none());
    drop(guard);
    closed.await.unwrap().unwrap();
    other.lock("l").await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn the_members_show_their_services_and_those_that_have_ended() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let mut members = other.members();
    let serves = |view: &open_channel_group::View| {
        view.members[0].services.iter().any(|service| service.as_str() == "s")
    };
    let before = members.get().number;
    let changes = async {
        let requests = one.requests("s").await.unwrap();
        assert!(members.wait_for(serves).await.unwrap().number > before);
        drop(requests);
        members.wait_for(|view| !serves(view)).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(30), changes).await.unwrap();
}

#[tokio::test]
async fn a_group_goes_on_while_something_of_it_is_there() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let mut subscription = other.subscribe("a").await.unwrap();
    drop(other);
    let publish = tokio::spawn(async move {
        one.publish("a", "b").await.unwrap();
        one
    });
    assert_eq!(&*subscription.recv().await.unwrap(), b"b");
    publish.await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_lock_no_more_is_passed_over() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let guard = one.lock("l").await.unwrap();
    let third = place.builder().join().await.unwrap();
    {
        let mut waiting = Box::pin(other.lock("l"));
        assert!(futures::poll!(&mut waiting).is_pending());
        // Dropped in line.
    }
    let waiting = tokio::spawn(async move { third.lock("l").await.unwrap().token() });
    let token = guard.token();
    drop(guard);
    assert!(waiting.await.unwrap() > token);
}

#[tokio::test]
async fn shared_holders_go_before_an_exclusive_one_that_comes_later() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let (first, second) =
        (one.lock_shared("l").await.unwrap(), other.lock_shared("l").await.unwrap());
    assert!(one.try_lock("l").await.unwrap().is_none());
    drop(first);
    let exclusive = tokio::spawn(async move { one.lock("l").await.unwrap().token() });
    let token = second.token();
    drop(second);
    assert!(exclusive.await.unwrap() > token);
}

#[tokio::test]
async fn a_stolen_lock_ends_what_runs_under_it() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let guard = one.lock("l").await.unwrap();
    let held = tokio::spawn(async move {
        let ran = guard.run(std::future::pending::<()>()).await;
        (ran, guard.is_lost())
    });
    let stolen = other.steal("l").await.unwrap();
    assert_eq!(held.await.unwrap(), (None, true));
    assert!(!stolen.is_lost());
    let kept = stolen.run(async { 7 }).await;
    assert_eq!(kept, Some(7));
}

#[cfg(unix)]
#[tokio::test]
async fn a_thief_that_is_robbed_does_not_steal_back() {
    use open_channel_group::LockWait;

    let place = Place::new();
    let (one, other) = place.two().await;
    // The kernel lets nobody have it, so that thieves only have turns.
    let held = one.lock("l").await.unwrap().descriptor().unwrap();
    let (first, second) = (one.clone(), other.clone());
    let first = tokio::spawn(async move { first.steal("l").await.unwrap().token() });
    let turns = |claims: Vec<LockClaim>| -> Vec<_> {
        claims.into_iter().filter_map(|claim| Some((claim.member, claim.token?))).collect()
    };
    let has_turn = async |group: &Group| {
        while turns(one.query_locks().await.unwrap()).first().map(|turn| turn.0) != Some(group.id())
        {
            tokio::task::yield_now().await;
        }
    };
    has_turn(&one).await;
    let second = tokio::spawn(async move { second.steal("l").await.unwrap().token() });
    has_turn(&other).await;
    let now = turns(one.query_locks().await.unwrap());
    for _ in 0..20 {
        assert_eq!(turns(other.query_locks().await.unwrap()), now, "nobody else gets a turn");
    }
    drop(held);
    assert!(second.await.unwrap() < first.await.unwrap());
    // Stolen before it was held: that is an answer, where it is asked for.
    let wait = one.lock_with("l", LockMode::Exclusive, LockWait::Wait);
    let steal = one.lock_with("l", LockMode::Exclusive, LockWait::Steal);
    let (robbed, thief) = tokio::join!(wait, steal);
    assert!(robbed.unwrap().is_none_or(|guard| guard.is_lost()));
    assert!(thief.unwrap().is_some());
}

#[tokio::test]
async fn all_can_see_who_holds_a_lock_and_who_waits_for_it() {
    let place = Place::new();
    let (one, other) = place.two().await;
    assert_eq!(one.query_locks().await.unwrap(), []);
    let guard = other.lock("l").await.unwrap();
    let mut waiting = Box::pin(one.lock_shared("l"));
    assert!(futures::poll!(&mut waiting).is_pending());
    let name = LockName {
        space: LockSpace::Lock,
        name: open_channel_group::core::Name::new("l").unwrap(),
    };
    let claim = |group: &Group, mode, token| LockClaim {
        name: name.clone(),
        mode,
        member: group.id(),
        token,
    };
    let holder = claim(&other, LockMode::Exclusive, Some(guard.token()));
    let waiter = claim(&one, LockMode::Shared, None);
    assert_eq!(one.query_locks().await.unwrap(), [holder.clone(), waiter.clone()]);
    // The order in which another member hears of it is not known.
    let at_other = other.query_locks().await.unwrap();
    assert!(at_other == [holder.clone(), waiter] || at_other == [holder]);
    drop(waiting);
    one.close().await.unwrap();
    assert!(matches!(one.query_locks().await, Err(Error::Left)));
}

#[tokio::test]
async fn what_cannot_be_is_an_error_that_says_so() {
    let place = Place::new();
    let group = place.builder().max_payload(1000).map_bytes(4000).join().await.unwrap();
    let refused = |error: Error| match error {
        Error::Refused(refused) => refused,
        other => panic!("{other}"),
    };
    assert!(matches!(
        refused(group.publish("a.*", "").await.unwrap_err()),
        Refused::InvalidTopic { .. }
    ));
    assert!(matches!(
        refused(group.subscribe("a..b").await.unwrap_err()),
        Refused::InvalidTopic { .. }
    ));
    assert!(matches!(
        refused(group.publish("a", vec![0; 1001]).await.unwrap_err()),
        Refused::TooLarge { len: 1001, max: 1000 }
    ));
    assert!(matches!(refused(group.lock("").await.unwrap_err()), Refused::InvalidName { len: 0 }));
    assert!(matches!(refused(group.map("").unwrap_err()), Refused::InvalidName { .. }));
    assert!(matches!(group.call("nobody", "").await, Err(Error::NoSuchService)));
    let map = group.map("m").unwrap();
    map.set("text", "seven").await.unwrap();
    assert!(matches!(map.increment("text", 1).await, Err(Error::NotANumber)));
    map.increment("number", i64::MAX).await.unwrap();
    assert!(matches!(map.increment("number", 1).await, Err(Error::Overflow)));
    for key in 0..3 {
        map.set(&key.to_string(), vec![0; 900]).await.unwrap();
    }
    assert!(matches!(map.set("more", vec![0; 900]).await, Err(Error::MapFull)));
    let long = place.builder().label("name", "x".repeat(70_000)).join().await;
    assert!(matches!(long, Err(Error::InvalidSetting { setting: "label", .. })));
}

#[tokio::test]
async fn a_service_is_served_once_by_a_member_and_again_when_it_has_ended() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let answer = |_| async { Ok::<_, Error>("one") };
    let served = one.serve("s", answer).await.unwrap();
    let again = one.serve("s", answer).await;
    assert!(matches!(again, Err(Error::Refused(Refused::AlreadyServed))));
    assert_eq!(other.call("s", "").await.unwrap(), "one");
    drop(served);
    loop {
        // The task that serves is aborted in its own time.
        match one.serve("s", |_| async { Err::<&str, _>("it fails") }).await {
            Ok(served) => {
                let end = other.call("s", "").await;
                assert!(matches!(end, Err(Error::Failed(reason)) if reason == "it fails"));
                drop(served);
                return;
            }
            Err(Error::Refused(Refused::AlreadyServed)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_call_only() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let _served = one
        .serve("s", |call| async move {
            assert_ne!(&*call.payload, b"bad", "as it should");
            Ok::<_, Error>("good")
        })
        .await
        .unwrap();
    assert!(matches!(other.call("s", "bad").await, Err(Error::Failed(_))));
    assert_eq!(other.call("s", "fine").await.unwrap(), "good");
}

#[tokio::test]
async fn a_window_that_is_full_is_waited_for() {
    let place = Place::new();
    let builder = || place.builder().window(1024);
    let one = builder().join().await.unwrap();
    let other = builder().join().await.unwrap();
    let mut subscription = other.subscribe("a").await.unwrap();
    let publishers: Vec<_> = (0..100)
        .map(|_| {
            let one = one.clone();
            tokio::spawn(async move { one.publish("a", vec![0; 100]).await.unwrap() })
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(subscription.recv().await.unwrap().len(), 100);
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

#[tokio::test]
async fn something_small_does_not_overtake_something_large_that_waits_for_room() {
    let place = Place::new();
    let builder = || place.builder().window(1024);
    let one = builder().join().await.unwrap();
    let other = builder().join().await.unwrap();
    let mut subscription = other.subscribe("a").await.unwrap();
    let lengths = [700, 700, 1, 700, 2];
    let publications = lengths.map(|len| one.publish("a", vec![0; len]));
    let read = async {
        for len in lengths {
            assert_eq!(subscription.recv().await.unwrap().len(), len);
        }
    };
    let (published, ()) = tokio::join!(futures::future::join_all(publications), read);
    published.into_iter().for_each(|published| published.unwrap());
}

#[tokio::test]
async fn jobs_are_tried_again_refused_and_given_up() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let queue = one.queue("q").unwrap();
    let mut worker = other.queue("q").unwrap().work(count(4)).await.unwrap();
    let push = |job: &'static str, most: u32| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.push_at_most(job, NonZeroU32::new(most)).await })
    };
    let done = push("again", 0);
    let first = worker.recv().await.unwrap();
    assert_eq!((first.attempt(), first.payload().as_ref()), (1, &b"again"[..]));
    first.nak_after(Duration::from_millis(1));
    let second = worker.recv().await.unwrap();
    assert_eq!(second.attempt(), 2);
    drop(second);
    let third = worker.recv().await.unwrap();
    assert_eq!(third.attempt(), 3);
    third.ack();
    done.await.unwrap().unwrap();
    let refused = push("never", 0);
    worker.recv().await.unwrap().term("it cannot be");
    match refused.await.unwrap() {
        Err(Error::Terminated { reason, payload, .. }) => {
            assert_eq!((&*reason, &*payload), ("it cannot be", &b"never"[..]));
        }
        other => panic!("{other:?}"),
    }
    let exhausted = push("twice", 2);
    for _ in 0..2 {
        worker.recv().await.unwrap().nak();
    }
    assert!(matches!(exhausted.await.unwrap(), Err(Error::Exhausted(job)) if job == "twice"));
}

#[tokio::test]
async fn a_job_is_cancelled_when_its_pusher_is_gone() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let mut worker = other.queue("q").unwrap().work(count(1)).await.unwrap();
    let push = tokio::spawn({
        let queue = one.queue("q").unwrap();
        async move { queue.push("job").await }
    });
    let job = worker.recv().await.unwrap();
    assert!(!job.is_cancelled());
    let closed = tokio::spawn(async move { one.close().await });
    job.cancelled().await;
    assert!(job.is_cancelled());
    job.ack();
    assert!(push.await.unwrap().is_err());
    assert!(matches!(closed.await.unwrap(), Err(Error::Unfinished)));
}

#[tokio::test]
async fn a_map_is_watched_by_prefix_and_compared_by_revision() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let (here, there) = (one.map("m").unwrap(), other.map("m").unwrap());
    let mut changes = there.watch("a");
    one.map("another").unwrap().set("a", "x").await.unwrap();
    here.set("b", "x").await.unwrap();
    let revision = here.set("a", "1").await.unwrap();
    assert_eq!(changes.recv().await, Some(Change::Key("a".into())));
    assert_eq!(there.entry("a").unwrap().unwrap().revision, revision);
    let expect = Expect::Revision { revision };
    assert!(there.compare_and_set("a", expect.clone(), None, None).await.unwrap());
    assert!(!there.compare_and_set("a", expect, None, None).await.unwrap());
    assert_eq!(changes.recv().await, Some(Change::Key("a".into())));
    assert_eq!(here.get("a").unwrap(), None);
    assert!(!here.delete("a").await.unwrap());
    let keys: Vec<String> = here.entries().unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b"]);
}

#[tokio::test]
async fn one_member_is_called_and_a_deadline_ends_a_call() {
    let place = Place::new();
    let (one, other) = place.two().await;
    let mut requests = one.requests("s").await.unwrap();
    let options = CallOptions::default().within(Duration::from_millis(50));
    let late = other.call_member(one.id(), "s", "late", options);
    assert!(matches!(late.await, Err(Error::TimedOut)));
    let request = requests.recv().await.unwrap();
    request.cancelled().await;
    assert!(request.answer("too late").is_err());
    let call = other.call_member(other.id(), "s", "", CallOptions::default());
    assert!(matches!(call.await, Err(Error::NoSuchService)));
}

#[test]
fn threads_have_the_same_faces() {
    let place = Arc::new(Place::new());
    let one = blocking::Group::join_with(place.builder()).unwrap();
    let other = blocking::Group::join_with(place.builder()).unwrap();
    assert_eq!(other.members().members.len(), 2);
    let mut subscription = other.subscribe("a.>").unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| one.publish("a.b", "c").unwrap());
        let message = subscription.next().unwrap();
        assert_eq!((message.topic(), &*message), ("a.b", &b"c"[..]));
    });
    let service = one
        .serve("double", |call| {
            let number: i64 = String::from_utf8_lossy(&call.payload).parse()?;
            Ok::<_, std::num::ParseIntError>((number * 2).to_string())
        })
        .unwrap();
    assert_eq!(other.call("double", "21").unwrap(), "42");
    assert!(matches!(other.call("double", "x").unwrap_err(), Error::Failed(_)));
    drop(service);
    let guard = one.lock("l").unwrap();
    assert!(other.try_lock("l").unwrap().is_none());
    drop(guard);
    drop(other.lead("cron").unwrap());
    let mut worker = one.queue("q").unwrap().work(count(1)).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| other.queue("q").unwrap().push("job").unwrap());
        worker.next().unwrap().ack();
    });
    let map = one.map("m").unwrap();
    let mut changes = other.map("m").unwrap().watch("");
    assert_eq!(map.increment("n", 2).unwrap(), 2);
    assert_eq!(changes.next(), Some(Change::Key("n".into())));
    drop((subscription, worker));
    other.close().unwrap();
    one.close().unwrap();
    assert_eq!(changes.next(), None);
}
