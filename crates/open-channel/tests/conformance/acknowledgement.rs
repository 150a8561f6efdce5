//! Acknowledged means handled: by `ack` or by turning it into bytes, and by nothing else.

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use open_channel::{Error, Message, ResetCode};

use crate::world::{Pair, World, next, poll_once};

on_every_link!(
    flush_waits_while_a_message_is_held,
    a_message_is_acknowledged_by_ack_and_by_into_bytes,
    messages_may_be_handled_in_any_order,
    a_message_that_outlives_its_socket_can_still_be_dropped,
    flush_with_nothing_sent_is_done_at_once,
    a_panicking_listener_acknowledges_nothing_and_takes_down_its_connection_only,
    a_message_dropped_in_a_caught_panic_comes_again,
    a_message_that_is_dropped_stays_unhandled,
    a_message_of_a_cancelled_task_stays_unhandled,
    flush_waits_for_what_was_sent_before_it_only,
);

/// Sends there and back until everything under way has arrived.
async fn settle(pair: &Pair) {
    for _ in 0..20 {
        pair.far.send("settle").await.expect("accepted");
        assert_eq!(next(&pair.near).await, "settle");
        tokio::task::yield_now().await;
    }
    pair.far.flush().await.expect("handled");
}

async fn receive(pair: &Pair) -> Message {
    pair.far.recv().await.expect("a message").expect("not the end")
}

async fn flush_waits_while_a_message_is_held(world: World) {
    let pair = world.pair().await;
    pair.near.send("held").await.expect("accepted");
    let held = receive(&pair).await;
    let mut flush = pin!(pair.near.flush());
    assert!(poll_once(flush.as_mut()).await.is_pending());
    settle(&pair).await;
    assert!(poll_once(flush.as_mut()).await.is_pending(), "acknowledged while it is held");
    held.ack();
    flush.await.expect("handled");
}

async fn a_message_is_acknowledged_by_ack_and_by_into_bytes(world: World) {
    let pair = world.pair().await;
    let ways: [fn(Message); 2] = [Message::ack, |message| assert_eq!(message.into_bytes(), "x")];
    for way in ways {
        pair.near.send("x").await.expect("accepted");
        let message = receive(&pair).await;
        let mut flush = pin!(pair.near.flush());
        settle(&pair).await;
        assert!(poll_once(flush.as_mut()).await.is_pending());
        way(message);
        flush.await.expect("handled");
    }
}

async fn messages_may_be_handled_in_any_order(world: World) {
    const MESSAGES: usize = 100;
    let pair = world.pair().await;
    let mut held = Vec::new();
    for number in 0..MESSAGES {
        pair.near.send(format!("{number}")).await.expect("accepted");
        held.push(receive(&pair).await);
    }
    let mut flush = pin!(pair.near.flush());
    // The last to go is the first that was sent, once every other order was tried.
    while held.len() > 1 {
        held.remove(1 + (held.len() * 7) % (held.len() - 1)).ack();
    }
    settle(&pair).await;
    assert!(poll_once(flush.as_mut()).await.is_pending(), "the first is still held");
    held.into_iter().for_each(Message::ack);
    flush.await.expect("handled");
}

async fn a_message_that_outlives_its_socket_can_still_be_dropped(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    near.send("survivor").await.expect("accepted");
    let message = far.recv().await.expect("a message").expect("not the end");
    drop(far);
    assert!(near.recv().await.expect("the end").is_none());
    assert_eq!(&message[..], b"survivor");
    assert!(matches!(near.flush().await, Err(Error::Reset { code: ResetCode::Closed, .. })));
    drop(message);
}

async fn flush_with_nothing_sent_is_done_at_once(world: World) {
    let pair = world.pair().await;
    pair.near.flush().await.expect("nothing to wait for");
    pair.far.flush().await.expect("nothing to wait for");
}

async fn a_panicking_listener_acknowledges_nothing_and_takes_down_its_connection_only(
    world: World,
) {
    let (_host, channel) = world
        .serve(|socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                assert!(&message[..] != b"die", "as the test wants it");
                message.ack();
            }
        })
        .await;
    let (victim, bystander) = (channel.connect(), channel.connect());
    bystander.send("live").await.expect("accepted");
    victim.send("die").await.expect("accepted");
    match victim.flush().await {
        Err(Error::Reset { code: ResetCode::ListenerFailed, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        victim.recv().await,
        Err(Error::Reset { code: ResetCode::ListenerFailed, .. })
    ));
    bystander.send("on").await.expect("accepted");
    bystander.flush().await.expect("handled");
    let next = channel.connect();
    next.send("live").await.expect("accepted");
    next.flush().await.expect("handled");
}

async fn a_message_dropped_in_a_caught_panic_comes_again(world: World) {
    let pair = world.pair().await;
    pair.near.send("poison").await.expect("accepted");
    let message = receive(&pair).await;
    let caught = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _message = message;
        panic!("as the test wants it");
    }));
    assert!(caught.is_err());
    let mut flush = pin!(pair.near.flush());
    settle(&pair).await;
    assert!(poll_once(flush.as_mut()).await.is_pending());
    // The socket goes on, and its end reports that a message was not handled.
    pair.near.send("next").await.expect("accepted");
    let mut others = [receive(&pair).await, receive(&pair).await];
    others.sort_by_key(Message::id);
    assert_eq!([&others[0][..], &others[1][..]], [&b"poison"[..], b"next"]);
    assert_eq!([others[0].attempt(), others[1].attempt()], [2, 1]);
    drop(pair.far);
    assert!(matches!(flush.await, Err(Error::Reset { .. })));
}

/// A message that `lose` takes and loses is not acknowledged.
async fn stays_unhandled(world: World, lose: impl AsyncFnOnce(Message)) {
    let pair = world.pair().await;
    pair.near.send("unhandled").await.expect("accepted");
    lose(receive(&pair).await).await;
    let mut flush = pin!(pair.near.flush());
    settle(&pair).await;
    assert!(poll_once(flush.as_mut()).await.is_pending(), "acknowledged by nobody");
    drop(pair.far);
    assert!(matches!(flush.await, Err(Error::Reset { .. })));
}

async fn a_message_that_is_dropped_stays_unhandled(world: World) {
    stays_unhandled(world, async |message| drop(message)).await;
}

async fn a_message_of_a_cancelled_task_stays_unhandled(world: World) {
    stays_unhandled(world, async |message: Message| {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let handler = tokio::spawn(async move {
            begun.send(()).expect("the test waits");
            std::future::pending::<()>().await;
            message.ack();
        });
        begins.await.expect("it runs");
        handler.abort();
        assert!(handler.await.expect_err("cancelled").is_cancelled());
    })
    .await;
}

async fn flush_waits_for_what_was_sent_before_it_only(world: World) {
    let pair = world.pair().await;
    pair.near.send("first").await.expect("accepted");
    let mut flush = pin!(pair.near.flush());
    assert!(poll_once(flush.as_mut()).await.is_pending());
    pair.near.send("second").await.expect("accepted");
    receive(&pair).await.ack();
    let second = receive(&pair).await;
    flush.await.expect("the first is handled");
    second.ack();
    pair.near.flush().await.expect("handled");
}
