//! Every public future may be polled once and dropped: nothing is lost, and nothing happens twice.

use std::task::Poll;
use std::time::Duration;

use open_channel::{Event, Role};

use crate::world::{World, next, pattern, poll_and_drop};

on_every_link!(
    a_cancelled_recv_loses_no_message,
    a_cancelled_send_was_not_accepted,
    a_cancelled_flush_can_be_asked_again,
    a_cancelled_close_goes_on_when_the_socket_is_dropped,
    a_cancelled_join_goes_on,
    a_cancelled_wait_for_an_event_loses_none,
    a_recv_that_loses_a_race_loses_no_message,
    a_cancelled_close_of_the_channel_can_be_asked_again,
);

async fn a_cancelled_recv_loses_no_message(world: World) {
    const MESSAGES: u64 = 2000;
    let pair = world.pair().await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let sending = async {
            for number in 0..MESSAGES {
                from.send(number.to_le_bytes().to_vec()).await.expect("accepted");
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            from.flush().await.expect("handled");
        };
        let receiving = async {
            let mut number = 0;
            while number < MESSAGES {
                match poll_and_drop(to.recv()).await {
                    Poll::Ready(message) => {
                        let message = message.expect("a message").expect("not the end");
                        assert_eq!(message.into_bytes()[..], number.to_le_bytes());
                        number += 1;
                    }
                    Poll::Pending => tokio::task::yield_now().await,
                }
            }
        };
        tokio::join!(sending, receiving);
    }
}

async fn a_cancelled_send_was_not_accepted(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(10_000).receive_window(10_000)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let mut accepted = 0;
        while from.try_send(pattern(1000, accepted)).is_ok() {
            accepted += 1;
        }
        for _ in 0..10 {
            assert!(poll_and_drop(from.send(pattern(1000, 255))).await.is_pending());
        }
        for number in 0..accepted {
            assert!(next(to).await == pattern(1000, number));
        }
        from.send("after").await.expect("accepted");
        assert_eq!(next(to).await, "after");
        from.flush().await.expect("handled");
    }
}

async fn a_cancelled_flush_can_be_asked_again(world: World) {
    let pair = world.pair().await;
    pair.near.send("held").await.expect("accepted");
    let held = pair.far.recv().await.expect("a message").expect("not the end");
    for _ in 0..10 {
        assert!(poll_and_drop(pair.near.flush()).await.is_pending());
    }
    held.ack();
    pair.near.flush().await.expect("handled");
}

async fn a_cancelled_close_goes_on_when_the_socket_is_dropped(world: World) {
    let mut hosted = world.hosted().await;
    let (near, far) = hosted.connect().await;
    near.send("held").await.expect("accepted");
    let held = far.recv().await.expect("a message").expect("not the end");
    assert!(poll_and_drop(near.close()).await.is_pending());
    // It is not closed yet.
    near.send("more").await.expect("accepted");
    drop(near);
    held.ack();
    assert_eq!(next(&far).await, "more");
    assert!(far.recv().await.expect("the end").is_none());
}

async fn a_cancelled_join_goes_on(world: World) {
    let (host, channel) = world.serve(|_| async {}).await;
    if world.joins_as_peer() {
        assert_eq!(host.role(), Role::Host);
    }
    let mut joined = poll_and_drop(channel.join()).await;
    while joined.is_pending() {
        tokio::task::yield_now().await;
        joined = poll_and_drop(channel.join()).await;
    }
    assert!(channel.connected());
}

async fn a_cancelled_wait_for_an_event_loses_none(world: World) {
    let (_host, channel) = world.serve(|_| async {}).await;
    if !world.joins_as_peer() {
        let mut events = channel.events();
        assert!(poll_and_drop(events.recv()).await.is_pending());
        channel.join().await.expect("joined");
        channel.close().await.expect("closed");
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(Event::Closed { .. })) {
            match poll_and_drop(events.recv()).await {
                Poll::Ready(event) => seen.push(event.expect("not the end")),
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
        assert!(
            matches!(
                seen[..],
                [
                    Event::BecameHost { .. },
                    Event::Connected { .. },
                    Event::Closed { error: None, .. }
                ]
            ),
            "{seen:?}"
        );
    }
}

async fn a_recv_that_loses_a_race_loses_no_message(world: World) {
    const MESSAGES: u64 = 300;
    let pair = world.pair().await;
    let sending = async {
        for number in 0..MESSAGES {
            pair.near.send(number.to_le_bytes().to_vec()).await.expect("accepted");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    };
    let receiving = async {
        let mut number = 0_u64;
        while number < MESSAGES {
            tokio::select! {
                message = pair.far.recv() => {
                    let message = message.expect("a message").expect("not the end");
                    assert_eq!(message.into_bytes()[..], number.to_le_bytes());
                    number += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    };
    tokio::join!(sending, receiving);
}

async fn a_cancelled_close_of_the_channel_can_be_asked_again(world: World) {
    let mut hosted = world.hosted().await;
    let (near, far) = hosted.connect().await;
    near.send("held").await.expect("accepted");
    let held = far.recv().await.expect("a message").expect("not the end");
    assert!(poll_and_drop(hosted.channel.close()).await.is_pending());
    held.ack();
    hosted.channel.close().await.expect("closed");
    assert_eq!(hosted.channel.state(), open_channel::State::Closed);
}
