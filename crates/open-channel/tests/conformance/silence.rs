//! Silence is visible: a sender can learn that its messages are not acknowledged, and for how long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use open_channel::{
    Builder, Error, Event, Events, MESSAGE_OVERHEAD, Message, Role, Socket, Stall, StallEnd, State,
};

use crate::world::{Hosted, Pair, World, next, poll_once, until};

on_every_link!(
    a_message_that_is_held_stalls_its_socket_until_it_is_handled,
    a_message_that_nobody_takes_stalls_its_socket,
    answers_that_nobody_takes_stall_the_hosts_end,
    an_idle_socket_never_stalls,
    what_was_taken_back_stalls_nothing,
    what_was_taken_back_is_in_no_statistic_of_what_waits,
    a_stall_ends_with_its_socket,
    a_stall_of_the_hosts_end_ends_with_its_peer,
    a_wait_for_a_stall_ends_when_the_socket_is_over,
    ages_grow_at_both_ends_until_the_message_is_handled,
    statistics_show_what_went_through_and_what_waits,
    a_flush_can_be_given_up_and_repeated,
);

const SOON: Duration = Duration::from_millis(40);

fn soon(builder: Builder) -> Builder {
    builder.stall_after(SOON)
}

async fn receive(socket: &Socket) -> Message {
    socket.recv().await.expect("a message").expect("not the end")
}

/// The next stall of that end of a socket.
async fn stalled(events: &mut Events, socket: &Socket, accepted: bool) -> Stall {
    loop {
        if let Event::Stalled(stall) = events.recv().await.expect("the channel is open")
            && (stall.socket, stall.accepted) == (socket.id(), accepted)
        {
            return stall;
        }
    }
}

/// The next event of a stall, which has to be its end.
async fn over(events: &mut Events, socket: &Socket) -> StallEnd {
    loop {
        match events.recv().await.expect("the channel is open") {
            Event::StallEnded(end) if end.socket == socket.id() => return end,
            Event::Stalled(stall) => panic!("{stall:?}"),
            _ => {}
        }
    }
}

async fn a_message_that_is_held_stalls_its_socket_until_it_is_handled(world: World) {
    let Pair { near, far, hosted } = world.pair_with(soon).await;
    let mut events = hosted.channel.events();
    for round in 1..=3 {
        near.send("held").await.expect("accepted");
        let held = receive(&far).await;
        near.send("behind it").await.expect("accepted");
        let behind = receive(&far).await;
        let stall = near.stalled().await.expect("the socket goes on");
        assert_eq!(
            (stall.socket, stall.accepted, stall.generation),
            (near.id(), false, 1),
            "{round}"
        );
        assert!(stall.messages >= 1 && stall.oldest >= SOON, "{stall:?}");
        assert!(stall.bytes >= MESSAGE_OVERHEAD + 4, "{stall:?}");
        assert_eq!(stalled(&mut events, &near, false).await, stall);
        assert!(near.stats().stalled.expect("it is") >= SOON);
        assert_eq!(near.stalled().await.expect("it still is"), stall);
        assert!(near.connected(), "and nothing else has happened");
        // The message that is handled first is not the oldest one.
        behind.ack();
        assert_eq!(near.stalled().await.expect("it still is"), stall);
        held.ack();
        near.flush().await.expect("handled");
        let end = over(&mut events, &near).await;
        assert!(end.acknowledged && !end.accepted && end.lasted >= SOON, "{end:?}");
        assert_eq!(near.stats().stalled, None);
    }
}

async fn a_message_that_nobody_takes_stalls_its_socket(world: World) {
    let Pair { near, far, hosted } = world.pair_with(soon).await;
    let mut events = hosted.channel.events();
    near.send("left lying").await.expect("accepted");
    assert_eq!(stalled(&mut events, &near, false).await.messages, 1);
    until(|| far.stats().oldest_unhandled.is_some_and(|age| age >= SOON)).await;
    assert_eq!(far.stats().held, 0);
    assert_eq!(next(&far).await, "left lying");
    assert!(over(&mut events, &near).await.acknowledged);
    // One that nobody hosts does so, too.
    let lonely = world.builder().runtime_dir(world.path().join("elsewhere"));
    let lonely = lonely.connect_timeout(Duration::from_secs(60));
    let socket = soon(lonely).build_peer().expect("a channel").connect();
    socket.send("to nobody").await.expect("accepted");
    let stall = socket.stalled().await.expect("it goes on");
    assert_eq!((stall.generation, stall.messages), (0, 1));
    assert!(!socket.connected());
}

async fn answers_that_nobody_takes_stall_the_hosts_end(world: World) {
    let Pair { near, far, hosted } = world.pair_with(soon).await;
    let mut events = hosted.host.events();
    far.send("an answer").await.expect("accepted");
    let stall = stalled(&mut events, &far, true).await;
    assert_eq!(far.stalled().await.expect("it goes on"), stall);
    let stats = hosted.host.stats();
    assert_eq!(stats.hosted.iter().filter(|socket| socket.stalled.is_some()).count(), 1);
    assert_eq!(stats.totals().stalled, 1);
    assert_eq!(next(&near).await, "an answer");
    let end = over(&mut events, &far).await;
    assert!(end.acknowledged && end.accepted, "{end:?}");
}

/// The other socket is the clock.
async fn an_idle_socket_never_stalls(world: World) {
    let mut hosted = world.hosted_with(soon).await;
    let (idle, idle_far) = hosted.connect().await;
    idle.send("before").await.expect("accepted");
    assert_eq!(next(&idle_far).await, "before");
    idle.flush().await.expect("handled");
    idle_far.finish().expect("open");
    let (near, far) = hosted.connect().await;
    let (mut events, mut host_events) = (hosted.channel.events(), hosted.host.events());
    for _ in 0..3 {
        near.send("held").await.expect("accepted");
        let held = receive(&far).await;
        stalled(&mut events, &near, false).await;
        held.ack();
        over(&mut events, &near).await;
    }
    let mut idle_stalls = pin!(async {
        loop {
            match host_events.recv().await {
                Some(Event::Stalled(stall)) if stall.socket == idle.id() => return stall,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    });
    assert!(poll_once(idle_stalls.as_mut()).await.is_pending());
    let mut stalls = pin!(idle.stalled());
    assert!(poll_once(stalls.as_mut()).await.is_pending());
    let stats = idle.stats();
    assert_eq!((stats.stalled, stats.oldest_unacknowledged, stats.unacknowledged), (None, None, 0));
}

async fn a_stall_of_the_hosts_end_ends_with_its_peer(world: World) {
    let Pair { near, far, hosted } = world.pair_with(soon).await;
    let mut events = hosted.host.events();
    far.send("an answer that nobody takes").await.expect("accepted");
    stalled(&mut events, &far, true).await;
    near.destroy();
    // The host forgets the session at once, and still reports the end of its stall.
    assert!(!over(&mut events, &far).await.acknowledged);
}

/// The other socket is the clock.
async fn what_was_taken_back_stalls_nothing(world: World) {
    let lonely = world.builder().connect_timeout(Duration::from_secs(60));
    let channel = soon(lonely).build_peer().expect("a channel");
    let mut events = channel.events();
    let (near, clock) = (channel.connect(), channel.connect());
    let id = near.send("nobody has it").await.expect("accepted");
    assert!(near.take_back(id).await.expect("an answer").is_some());
    for _ in 0..3 {
        let id = clock.send("to nobody").await.expect("accepted");
        stalled(&mut events, &clock, false).await;
        assert!(clock.take_back(id).await.expect("an answer").is_some());
        // Only the other socket's stalls are seen on the way.
        assert!(!over(&mut events, &clock).await.acknowledged, "it was taken back");
        assert_eq!((near.stats().stalled, near.stats().oldest_unacknowledged), (None, None));
    }
}

async fn what_was_taken_back_is_in_no_statistic_of_what_waits(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    near.send("held").await.expect("accepted");
    let held = receive(&far).await;
    let mut back = Vec::new();
    for _ in 0..3 {
        back.push(near.send("taken back").await.expect("accepted"));
    }
    for id in back {
        assert!(near.take_back(id).await.expect("an answer").is_some());
    }
    let stats = near.stats();
    assert_eq!((stats.sent, stats.acknowledged, stats.unacknowledged), (4, 0, 1));
    assert_eq!(stats.outbox_bytes, MESSAGE_OVERHEAD + 4);
    held.ack();
    near.flush().await.expect("handled");
    let stats = near.stats();
    assert_eq!((stats.sent, stats.acknowledged, stats.unacknowledged), (4, 1, 0));
    assert_eq!((stats.outbox_bytes, stats.oldest_unacknowledged), (0, None));
}

async fn a_stall_ends_with_its_socket(world: World) {
    let Pair { near, far, hosted } = world.pair_with(soon).await;
    let mut events = hosted.channel.events();
    near.send("held").await.expect("accepted");
    let held = receive(&far).await;
    stalled(&mut events, &near, false).await;
    far.destroy();
    assert!(!over(&mut events, &near).await.acknowledged);
    assert!(matches!(near.stalled().await, Err(Error::Reset { .. })));
    drop(held);
}

async fn a_wait_for_a_stall_ends_when_the_socket_is_over(world: World) {
    let mut hosted = world.hosted_with(|builder| builder.stall_after(Duration::MAX)).await;
    let ends: [fn(&Socket, &Socket); 3] =
        [|near, _| near.destroy(), |_, far| far.destroy(), |_, _| { /* the channel closes */ }];
    for (number, end) in ends.into_iter().enumerate() {
        let (near, far) = hosted.connect().await;
        let (near, far) = (Arc::new(near), Arc::new(far));
        let waiting = tokio::spawn({
            let near = Arc::clone(&near);
            async move { near.stalled().await }
        });
        end(&near, &far);
        if number == 2 {
            hosted.channel.close().await.expect("nothing was sent");
        }
        assert!(waiting.await.expect("no panic").is_err());
    }
}

async fn ages_grow_at_both_ends_until_the_message_is_handled(world: World) {
    let Pair { near, far, hosted: Hosted { channel: _channel, host, .. } } =
        world.pair_with(soon).await;
    near.send("held").await.expect("accepted");
    let held = receive(&far).await;
    let mut ages = Vec::new();
    for least in [SOON, SOON * 3] {
        until(|| near.stats().oldest_unacknowledged.is_some_and(|age| age >= least)).await;
        until(|| far.stats().oldest_unhandled.is_some_and(|age| age >= least)).await;
        ages.push((near.stats().oldest_unacknowledged, far.stats().oldest_unhandled));
    }
    assert!(ages[0].0 < ages[1].0 && ages[0].1 < ages[1].1, "{ages:?}");
    let host = host.stats().totals();
    assert_eq!(host.held, 1);
    assert!(host.oldest_unhandled >= ages[1].1);
    // Younger messages make it no younger.
    near.send("behind it").await.expect("accepted");
    assert!(near.stats().oldest_unacknowledged >= ages[1].0);
    held.ack();
    next(&far).await;
    near.flush().await.expect("handled");
    assert_eq!((near.stats().oldest_unacknowledged, far.stats().oldest_unhandled), (None, None));
    assert_eq!((near.stats().unacknowledged, far.stats().held), (0, 0));
}

async fn statistics_show_what_went_through_and_what_waits(world: World) {
    let Pair { near, far, hosted } = world.pair_with(|builder| builder.outbox_bytes(1 << 19)).await;
    let mut batch: open_channel::Batch = (0..10).map(|_| [7_u8; 100]).collect();
    near.send_many(&mut batch).await.expect("accepted");
    far.recv_many().await.expect("messages").expect("not the end").ack();
    while far.stats().received < 10 {
        far.recv_many().await.expect("messages").expect("not the end").ack();
    }
    near.flush().await.expect("handled");
    for _ in 0..5 {
        near.send(vec![7; 1000]).await.expect("accepted");
    }
    let held = [receive(&far).await, receive(&far).await];
    far.send("one answer").await.expect("accepted");
    next(&near).await;
    far.flush().await.expect("handled");

    let stats = near.stats();
    assert_eq!((stats.id, stats.accepted, stats.link), (near.id(), false, Some(world.link())));
    assert_eq!((stats.generation, stats.links), (1, 1));
    assert_eq!((stats.sent, stats.acknowledged, stats.unacknowledged), (15, 10, 5));
    assert_eq!((stats.outbox_bytes, stats.outbox_limit), (5 * (1000 + MESSAGE_OVERHEAD), 1 << 19));
    assert_eq!((stats.received, stats.handled, stats.held, stats.redelivered), (1, 1, 0, 0));
    assert_eq!((stats.sent_bytes, stats.received_bytes, stats.highest_attempt), (6000, 10, 0));
    assert_eq!(stats.peer.expect("connected").process_id(), Some(std::process::id()));
    let stats = far.stats();
    assert!(stats.accepted);
    assert_eq!((stats.sent_bytes, stats.received_bytes), (10, 3000));
    assert_eq!(
        (stats.sent, stats.acknowledged, stats.unacknowledged, stats.outbox_bytes),
        (1, 1, 0, 0)
    );
    assert_eq!((stats.handled, stats.held), (10, 2));
    assert!((12..=15).contains(&stats.received), "{stats:?}");
    assert!(stats.inbox_bytes >= 2 * (1000 + MESSAGE_OVERHEAD), "{stats:?}");

    let stats = hosted.channel.stats();
    assert_eq!((&*stats.name, stats.state, stats.generation), ("conformance", State::Connected, 1));
    assert_eq!(
        (stats.role, stats.hosting.is_some()),
        (hosted.channel.role(), stats.role == Role::Host)
    );
    assert_eq!(stats.sockets.len(), 1);
    assert_eq!(stats.hosted.len(), usize::from(stats.role == Role::Host));
    let host = hosted.host.stats();
    assert_eq!((host.role, host.hosted.len(), host.hosted[0].id), (Role::Host, 1, near.id()));
    assert_eq!(host.totals().held, 2);

    // The end of a direction is no message.
    held.into_iter().for_each(Message::ack);
    for _ in 0..3 {
        next(&far).await;
    }
    near.flush().await.expect("handled");
    near.finish().expect("open");
    assert!(far.recv().await.expect("the end").is_none());
    let stats = far.stats();
    assert_eq!((stats.received, stats.handled, stats.inbox_bytes), (15, 15, 0));
    assert_eq!((near.stats().sent, near.stats().acknowledged), (15, 15));
    near.destroy();
    until(|| hosted.host.stats().hosted.is_empty() && hosted.channel.stats().sockets.is_empty())
        .await;
}

async fn a_flush_can_be_given_up_and_repeated(world: World) {
    let pair = world.pair().await;
    pair.near.send("held").await.expect("accepted");
    let held = receive(&pair.far).await;
    for _ in 0..3 {
        let flush = tokio::time::timeout(Duration::from_millis(1), pair.near.flush());
        assert!(flush.await.is_err(), "acknowledged while it is held");
    }
    held.ack();
    pair.near.flush().await.expect("handled");
}
