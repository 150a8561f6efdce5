//! Promise 9: a message that no handler has taken comes back to its sender on request, and is never
//! delivered.

use std::task::Poll;
use std::time::Duration;

use open_channel::{Batch, Channel, Error, GivenUp, Message, MessageId, Socket, TryRecvError, ffi};

use crate::world::{Hosted, Pair, World, next, poll_and_drop, poll_once, until};

on_every_link!(
    what_waits_for_a_connection_comes_back_at_once_and_is_never_delivered,
    what_is_sent_and_not_taken_comes_back_and_is_never_delivered,
    what_was_taken_does_not_come_back,
    what_waits_for_the_window_comes_back_at_once,
    one_of_several_that_were_sent_together_comes_back_and_the_others_do_not,
    a_message_comes_back_once,
    messages_of_the_host_come_back_alike,
    what_was_taken_back_holds_no_flush_up,
    what_was_taken_back_makes_room,
    many_calls_at_a_time_get_each_its_own,
    a_call_that_is_dropped_loses_no_message,
    a_socket_that_is_over_takes_nothing_back,
    the_next_host_gets_what_the_last_one_had_taken_and_nothing_that_came_back,
    a_host_that_has_gone_answers_nothing_and_the_next_one_gets_the_message,
);

/// A host that is there before the first connection.
async fn host(world: &World) -> Hosted {
    let hosted = world.hosted().await;
    hosted.host.join().await.expect("hosting");
    hosted
}

async fn take(socket: &Socket) -> Message {
    socket.recv().await.expect("a message").expect("not the end")
}

async fn send(socket: &Socket, message: &'static str) -> MessageId {
    socket.send(message).await.expect("accepted")
}

async fn take_back(socket: &Socket, id: MessageId) -> Option<String> {
    let back = socket.take_back(id).await.expect("an answer");
    back.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Whether everything is handled, and nothing more is delivered.
async fn nothing_is_left(Pair { near, far, .. }: &Pair) {
    near.flush().await.expect("flushed");
    send(near, "last").await;
    assert_eq!(next(far).await, "last");
    near.flush().await.expect("flushed");
    assert!(matches!(near.try_undeliverable(), Err(TryRecvError::Empty)));
}

async fn what_waits_for_a_connection_comes_back_at_once_and_is_never_delivered(world: World) {
    let near = world.builder().build_peer().expect("a peer's channel").connect();
    send(&near, "a").await;
    let b = send(&near, "b").await;
    let c = send(&near, "c").await;
    assert_eq!(take_back(&near, b).await.as_deref(), Some("b"));
    assert_eq!(take_back(&near, b).await, None);
    let mut hosted = host(&world).await;
    let far = hosted.accept().await;
    assert_eq!(next(&far).await, "a");
    let message = take(&far).await;
    assert_eq!((&message[..], message.id()), (&b"c"[..], c));
    message.ack();
    near.flush().await.expect("flushed");
}

async fn what_is_sent_and_not_taken_comes_back_and_is_never_delivered(world: World) {
    let pair = world.pair().await;
    let mut ids = Vec::new();
    for message in ["a", "b", "c"] {
        ids.push(send(&pair.near, message).await);
    }
    let a = take(&pair.far).await;
    assert_eq!(take_back(&pair.near, ids[1]).await.as_deref(), Some("b"));
    assert_eq!(take_back(&pair.near, ids[0]).await, None, "it was taken");
    assert_eq!(next(&pair.far).await, "c");
    a.ack();
    nothing_is_left(&pair).await;
}

async fn what_was_taken_does_not_come_back(world: World) {
    let pair = world.pair().await;
    let id = send(&pair.near, "work").await;
    let message = take(&pair.far).await;
    assert_eq!(take_back(&pair.near, id).await, None);
    message.nack();
    let again = take(&pair.far).await;
    assert_eq!(take_back(&pair.near, id).await, None, "it had been taken before");
    again.reject("bad");
    assert_eq!(pair.near.undeliverable().await.expect("it comes back").id, id);
    assert_eq!(take_back(&pair.near, id).await, None);
    let handled = send(&pair.near, "handled").await;
    assert_eq!(next(&pair.far).await, "handled");
    let flushed = pair.near.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 1, .. })), "{flushed:?}");
    assert_eq!(take_back(&pair.near, handled).await, None);
    let other = MessageId { socket: open_channel::SocketId(7), seq: handled.seq + 1 };
    send(&pair.near, "mine").await;
    assert_eq!(take_back(&pair.near, other).await, None, "it is of another socket");
    assert_eq!(next(&pair.far).await, "mine");
    nothing_is_left(&pair).await;
}

async fn what_waits_for_the_window_comes_back_at_once(world: World) {
    let pair = world.pair_with(|builder| builder.receive_window(65_536)).await;
    let first = pair.near.send(vec![1; 65_000]).await.expect("accepted");
    let behind = send(&pair.near, "behind").await;
    let last = send(&pair.near, "last of all").await;
    assert_eq!(take_back(&pair.near, behind).await.as_deref(), Some("behind"));
    let message = take(&pair.far).await;
    assert_eq!(message.id(), first);
    message.ack();
    let message = take(&pair.far).await;
    assert_eq!(message.id(), last);
    message.ack();
    nothing_is_left(&pair).await;
}

async fn one_of_several_that_were_sent_together_comes_back_and_the_others_do_not(world: World) {
    for gone in 0..4 {
        let pair = world.pair().await;
        let texts = ["a", "b", "c", "d"];
        let before = send(&pair.near, "before").await;
        let mut batch: Batch = texts.into_iter().collect();
        pair.near.send_many(&mut batch).await.expect("sent");
        let id = MessageId { seq: before.seq + 1 + gone, ..before };
        let gone = texts[gone as usize];
        assert_eq!(take_back(&pair.near, id).await.as_deref(), Some(gone));
        assert_eq!(next(&pair.far).await, "before");
        for text in texts.into_iter().filter(|text| *text != gone) {
            assert_eq!(next(&pair.far).await, text);
        }
        nothing_is_left(&pair).await;
        pair.near.close().await.expect("closed");
    }
}

async fn a_message_comes_back_once(world: World) {
    let pair = world.pair().await;
    let id = send(&pair.near, "once").await;
    let (one, other) = tokio::join!(take_back(&pair.near, id), take_back(&pair.near, id));
    assert_eq!([one, other].into_iter().flatten().collect::<Vec<_>>(), ["once"]);
    assert_eq!(take_back(&pair.near, id).await, None);
    nothing_is_left(&pair).await;
}

async fn messages_of_the_host_come_back_alike(world: World) {
    let pair = world.pair().await;
    let one = send(&pair.far, "one").await;
    let two = send(&pair.far, "two").await;
    let message = take(&pair.near).await;
    assert_eq!(take_back(&pair.far, two).await.as_deref(), Some("two"));
    assert_eq!(take_back(&pair.far, one).await, None);
    message.ack();
    pair.far.flush().await.expect("flushed");
    send(&pair.far, "three").await;
    assert_eq!(next(&pair.near).await, "three");
}

async fn what_was_taken_back_holds_no_flush_up(world: World) {
    let pair = world.pair().await;
    let id = send(&pair.near, "nobody takes it").await;
    let mut flush = std::pin::pin!(pair.near.flush());
    assert!(poll_once(flush.as_mut()).await.is_pending());
    assert_eq!(take_back(&pair.near, id).await.as_deref(), Some("nobody takes it"));
    flush.await.expect("flushed");
    // Without a host as well.
    let alone = Channel::builder("somewhere else")
        .runtime_dir(world.path().join("run"))
        .build_peer()
        .expect("a peer's channel")
        .connect();
    let id = send(&alone, "early").await;
    assert_eq!(take_back(&alone, id).await.as_deref(), Some("early"));
    alone.flush().await.expect("flushed");
}

async fn what_was_taken_back_makes_room(world: World) {
    let near =
        world.builder().outbox_bytes(65_536).build_peer().expect("a peer's channel").connect();
    let id = near.send(vec![1; 65_000]).await.expect("accepted");
    assert!(matches!(
        near.try_send(vec![2; 60_000]).map_err(|error| error.error),
        Err(Error::Full)
    ));
    let (sent, back) = tokio::join!(near.send(vec![2; 60_000]), near.take_back(id));
    assert_eq!(back.expect("an answer").map(|bytes| bytes.len()), Some(65_000));
    sent.expect("accepted");
}

async fn many_calls_at_a_time_get_each_its_own(world: World) {
    let pair = world.pair().await;
    let near = std::sync::Arc::new(pair.near);
    let mut calls = Vec::new();
    for number in 0..200_u32 {
        let id = near.send(number.to_string()).await.expect("accepted");
        let near = std::sync::Arc::clone(&near);
        calls.push(tokio::spawn(async move { take_back(&near, id).await }));
    }
    near.send("last").await.expect("accepted");
    let mut delivered = Vec::new();
    loop {
        let message = next(&pair.far).await;
        if message == "last" {
            break;
        }
        delivered.push(message);
    }
    for (number, call) in calls.into_iter().enumerate() {
        let back = call.await.expect("no panic");
        let number = number.to_string();
        assert_eq!(
            back.is_some(),
            !delivered.iter().any(|message| message == number.as_bytes()),
            "{number} is in one place"
        );
        assert!(back.is_none_or(|back| back == number), "with its own bytes");
    }
    near.flush().await.expect("flushed");
}

async fn a_call_that_is_dropped_loses_no_message(world: World) {
    let pair = world.pair().await;
    for again in [true, false] {
        let id = send(&pair.near, "work").await;
        let polled = poll_and_drop(pair.near.take_back(id)).await;
        if polled.is_ready() {
            // The answer was there before the call could be dropped.
            assert!(matches!(polled, Poll::Ready(Ok(Some(work))) if work == "work"));
        } else if again {
            assert_eq!(take_back(&pair.near, id).await.as_deref(), Some("work"));
        } else {
            let returned = pair.near.undeliverable().await.expect("it comes back");
            assert_eq!((returned.id, returned.reason), (id, GivenUp::TakenBack));
            assert_eq!(returned.message, "work");
            assert_eq!(take_back(&pair.near, id).await, None);
        }
    }
    nothing_is_left(&pair).await;
}

async fn a_socket_that_is_over_takes_nothing_back(world: World) {
    let mut pair = world.pair().await;
    let id = send(&pair.near, "work").await;
    pair.near.destroy();
    assert!(matches!(pair.near.take_back(id).await, Err(Error::Closed)));
    let (near, far) = pair.hosted.connect().await;
    let id = send(&near, "work").await;
    far.destroy();
    until(|| !near.connected()).await;
    assert!(matches!(near.take_back(id).await, Err(Error::Reset { .. })));
}

/// The hosts come one after the other, and a peer of another channel.
async fn the_next_host_gets_what_the_last_one_had_taken_and_nothing_that_came_back(world: World) {
    let mut first = host(&world).await;
    let near = world.builder().build_peer().expect("a peer's channel").connect();
    let far = first.accept().await;
    send(&near, "taken").await;
    let back = send(&near, "back").await;
    send(&near, "not taken").await;
    let taken = take(&far).await;
    assert_eq!(take_back(&near, back).await.as_deref(), Some("back"));
    ffi::abandon(&first.host);
    let mut second = host(&world).await;
    let far = second.accept().await;
    for expected in ["taken", "not taken"] {
        assert_eq!(next(&far).await, expected);
    }
    near.flush().await.expect("flushed");
    drop(taken);
}

async fn a_host_that_has_gone_answers_nothing_and_the_next_one_gets_the_message(world: World) {
    let mut first = host(&world).await;
    let near = world.builder().build_peer().expect("a peer's channel").connect();
    let far = first.accept().await;
    let id = send(&near, "taken").await;
    let taken = take(&far).await;
    ffi::abandon(&first.host);
    until(|| !near.connected()).await;
    let early = send(&near, "early").await;
    assert_eq!(take_back(&near, early).await.as_deref(), Some("early"));
    let waits = tokio::time::timeout(Duration::from_millis(20), near.take_back(id)).await;
    assert!(waits.is_err(), "only the next connection can tell");
    let mut second = host(&world).await;
    let (far, back) = tokio::join!(second.accept(), near.take_back(id));
    assert_eq!(back.expect("an answer"), None);
    let message = take(&far).await;
    assert_eq!((&message[..], message.attempt()), (&b"taken"[..], 2));
    message.ack();
    near.flush().await.expect("flushed");
    drop(taken);
}
