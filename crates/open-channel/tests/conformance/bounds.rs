//! Every queue has a limit, nothing accepted is lost at it, and no limit is a deadlock.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use open_channel::{Error, MESSAGE_OVERHEAD, Message, Socket, TryRecvError};

use crate::world::{Pair, World, next, pattern, poll_and_drop, poll_once, until};

on_every_link!(
    a_receiver_that_keeps_most_of_what_fits_gets_what_fits_besides,
    a_receiver_that_keeps_half_of_what_fits_gets_the_next_message,
    what_another_task_drops_makes_room_for_the_message_that_is_waited_for,
    who_looks_again_and_again_gets_what_fits_besides_what_it_keeps,
    a_full_outbox_makes_send_wait_and_try_send_say_full,
    try_send_accepts_no_more_than_the_outbox_holds,
    a_side_that_never_reads_does_not_stop_the_acknowledgements_of_the_other_direction,
    both_sides_send_more_than_every_limit_and_read,
    a_message_larger_than_outbox_and_window_passes,
    a_message_that_is_too_large_comes_back,
    a_message_that_is_too_large_comes_back_even_when_the_outbox_is_full,
    the_limit_of_the_other_side_counts_once_it_is_known,
    messages_flow_while_a_recv_is_waiting_and_not_polled,
    held_messages_hold_the_sender_back_and_nothing_else,
    a_receiver_holds_no_more_than_its_window,
);

const SMALL: usize = 64 * 1024;

/// Sends until the outbox is full; returns how many messages were accepted.
fn fill(socket: &Socket, len: usize) -> usize {
    for number in 0.. {
        match socket.try_send(pattern(len, number)) {
            Ok(_) => {}
            Err(refused) => {
                assert!(matches!(refused.error, Error::Full), "{refused}");
                assert!(refused.message == pattern(len, number), "another message came back");
                return number;
            }
        }
    }
    unreachable!("an outbox has a limit")
}

async fn a_full_outbox_makes_send_wait_and_try_send_say_full(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(SMALL).receive_window(SMALL)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let accepted = fill(from, 1000);
        assert!(accepted > 1);
        let mut send = pin!(from.send(pattern(1000, accepted)));
        assert!(poll_once(send.as_mut()).await.is_pending());
        for number in 0..accepted {
            assert!(next(to).await == pattern(1000, number));
        }
        send.await.expect("room again");
        assert!(next(to).await == pattern(1000, accepted));
        from.flush().await.expect("handled");
        assert!(fill(from, 1000) >= accepted, "the outbox has shrunk");
        while let Ok(Some(message)) = to.try_recv() {
            message.ack();
        }
        let flush = from.flush();
        let drain = async {
            loop {
                next(to).await;
            }
        };
        tokio::select! { flushed = flush => flushed.expect("handled"), () = drain => {} }
    }
}

async fn try_send_accepts_no_more_than_the_outbox_holds(world: World) {
    let peer = world.builder().outbox_bytes(SMALL).build_peer().expect("a peer's channel");
    let socket = peer.connect();
    let accepted = fill(&socket, 1000);
    assert_eq!(accepted, SMALL / (1000 + MESSAGE_OVERHEAD));
    socket.destroy();
}

async fn a_side_that_never_reads_does_not_stop_the_acknowledgements_of_the_other_direction(
    world: World,
) {
    const MESSAGES: usize = 300;
    let pair = world.pair_with(|builder| builder.outbox_bytes(SMALL).receive_window(SMALL)).await;
    for (deaf, reader) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        // Its window is full, and so is the outbox of the other.
        let unread = fill(reader, 1000);
        let sending = async {
            for number in 0..MESSAGES {
                deaf.send(pattern(10_000, number)).await.expect("accepted");
            }
            deaf.flush().await.expect("handled");
        };
        let reading = async {
            for number in 0..MESSAGES {
                assert!(next(reader).await == pattern(10_000, number));
            }
        };
        tokio::join!(sending, reading);
        for number in 0..unread {
            assert!(next(deaf).await == pattern(1000, number));
        }
        reader.flush().await.expect("handled");
    }
}

async fn both_sides_send_more_than_every_limit_and_read(world: World) {
    const MESSAGES: usize = 200;
    let pair = world.pair_with(|builder| builder.outbox_bytes(SMALL).receive_window(SMALL)).await;
    let send = async |socket: &Socket| {
        for number in 0..MESSAGES {
            socket.send(pattern(20_000, number)).await.expect("accepted");
        }
        socket.flush().await.expect("handled");
    };
    let receive = async |socket: &Socket| {
        for number in 0..MESSAGES {
            assert!(next(socket).await == pattern(20_000, number));
        }
    };
    tokio::join!(send(&pair.near), send(&pair.far), receive(&pair.near), receive(&pair.far));
}

async fn a_message_larger_than_outbox_and_window_passes(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(1000).receive_window(1000)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for number in 0..3 {
            let sending = async {
                from.send(pattern(1 << 20, number)).await.expect("accepted");
                from.send("small").await.expect("accepted");
                from.flush().await.expect("handled");
            };
            let receiving = async {
                assert!(next(to).await == pattern(1 << 20, number));
                assert_eq!(next(to).await, "small");
            };
            tokio::join!(sending, receiving);
        }
    }
}

async fn a_message_that_is_too_large_comes_back(world: World) {
    let pair = world.pair_with(|builder| builder.max_message(1000)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let large = pattern(1001, 7);
        for refused in [from.try_send(large.clone()), from.send(large.clone()).await] {
            let refused = refused.expect_err("too large");
            assert!(
                matches!(refused.error, Error::TooLarge { len: 1001, max: 1000, .. }),
                "{refused:?}"
            );
            assert_eq!(refused.message, large);
        }
        from.send(pattern(1000, 8)).await.expect("just fits");
        assert_eq!(next(to).await, pattern(1000, 8));
    }
}

async fn a_message_that_is_too_large_comes_back_even_when_the_outbox_is_full(world: World) {
    let pair = world
        .pair_with(|builder| builder.max_message(1000).outbox_bytes(5000).receive_window(5000))
        .await;
    fill(&pair.near, 1000);
    let refused = pair.near.try_send(pattern(1001, 7)).expect_err("too large");
    assert!(matches!(refused.error, Error::TooLarge { len: 1001, max: 1000, .. }), "{refused}");
    let refused = pair.near.send(pattern(1001, 7)).await.expect_err("too large");
    assert!(matches!(refused.error, Error::TooLarge { len: 1001, max: 1000, .. }), "{refused}");
}

async fn the_limit_of_the_other_side_counts_once_it_is_known(world: World) {
    if !world.joins_as_peer() {
        return;
    }
    let (accept, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let host = world.builder().max_message(1000).build(move |socket| {
        let accept = accept.clone();
        async move { drop(accept.send(socket)) }
    });
    let host = host.expect("a channel");
    let peer = world.builder().max_message(2000).build_peer().expect("a peer's channel");
    let socket = peer.connect();
    assert_eq!(socket.max_message(), 2000, "nobody hosts yet");
    host.join().await.expect("hosting");
    let far = accepted.recv().await.expect("accepted");
    crate::world::until(|| socket.connected()).await;
    assert_eq!((socket.max_message(), far.max_message()), (1000, 1000));
    assert!(matches!(
        socket.try_send(pattern(1001, 0)).expect_err("too large").error,
        Error::TooLarge { .. }
    ));
}

async fn messages_flow_while_a_recv_is_waiting_and_not_polled(world: World) {
    const MESSAGES: usize = 40;
    let pair = world.pair_with(|builder| builder.outbox_bytes(1 << 22).receive_window(SMALL)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        // As in a select loop with another branch that takes long.
        let mut waiting = pin!(from.recv());
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        for number in 0..MESSAGES {
            from.try_send(pattern(30_000, number)).expect("room");
        }
        for number in 0..MESSAGES {
            assert!(next(to).await == pattern(30_000, number));
        }
        to.send("done").await.expect("accepted");
        let done = waiting.await.expect("a message").expect("not the end").into_bytes();
        assert_eq!(&done[..], b"done");
    }
}

async fn held_messages_hold_the_sender_back_and_nothing_else(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(SMALL).receive_window(SMALL)).await;
    let accepted = fill(&pair.near, 1000);
    let mut held = Vec::new();
    for _ in 0..accepted {
        held.push(pair.far.recv().await.expect("a message").expect("not the end"));
    }
    // The window is full of messages that are held: the other direction goes on.
    for number in 0..100 {
        pair.far.send(pattern(5000, number)).await.expect("accepted");
        assert!(next(&pair.near).await == pattern(5000, number));
    }
    pair.far.flush().await.expect("handled");
    assert!(matches!(pair.near.try_send(pattern(1000, 0)).expect_err("full").error, Error::Full));
    held.into_iter().for_each(Message::ack);
    pair.near.send("on").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "on");
}

async fn a_receiver_holds_no_more_than_its_window(world: World) {
    let pair =
        world.pair_with(|builder| builder.outbox_bytes(4 * SMALL).receive_window(SMALL)).await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let accepted = fill(from, 1000);
        let within = SMALL / (1000 + MESSAGE_OVERHEAD);
        assert!(accepted > 2 * within);
        let mut held = Vec::new();
        while held.len() < within {
            held.push(to.recv().await.expect("a message").expect("not the end"));
        }
        // Everything under way has arrived when these have been there and back.
        for _ in 0..20 {
            to.send("turn").await.expect("accepted");
            assert_eq!(next(from).await, "turn");
        }
        to.flush().await.expect("handled");
        assert!(matches!(to.try_recv(), Err(TryRecvError::Empty)), "more than the window");
        held.into_iter().for_each(Message::ack);
        for number in within..accepted {
            assert!(next(to).await == pattern(1000, number));
        }
    }
}

/// The sender must not wait for more room than it needs from a receiver that waits for it.
async fn a_receiver_that_keeps_most_of_what_fits_gets_what_fits_besides(world: World) {
    const LEN: usize = 4000;
    let pair =
        world.pair_with(|builder| builder.ring_bytes(64 << 10).receive_window(64 << 10)).await;
    for number in 0..40 {
        pair.near.send(pattern(LEN, number)).await.expect("accepted");
    }
    let mut kept = VecDeque::new();
    for number in 0..40 {
        // All that the ring holds at a time is with the application, before the oldest of it is
        // dropped.
        if kept.len() == 12 {
            kept.pop_front().into_iter().for_each(Message::ack);
        }
        let message = pair.far.recv().await.expect("a message").expect("not the end");
        assert!(message[..] == pattern(LEN, number)[..], "message {number}");
        kept.push_back(message);
    }
    kept.into_iter().for_each(Message::ack);
    pair.near.flush().await.expect("handled");
}

async fn a_receiver_that_keeps_half_of_what_fits_gets_the_next_message(world: World) {
    const RING: usize = 256 << 10;
    let pair = world.pair_with(|builder| builder.ring_bytes(RING)).await;
    // The longest messages that wait for the ring, too; two of them are more than half of it.
    for len in [30_000, 40_000, 43_000, 65_528, 65_536, 70_000, 80_000, 100_000] {
        let sending = async {
            for number in 0..20 {
                let mut reservation = pair.near.reserve(len).await.expect("room");
                reservation.append(&pattern(len, number));
                reservation.commit().expect("accepted");
            }
        };
        let receiving = async {
            let mut kept = VecDeque::new();
            let keeps = (RING / 2 / (len + 8)).max(1);
            for number in 0..20 {
                let message = pair.far.recv().await.expect("a message").expect("not the end");
                assert!(message[..] == pattern(len, number)[..], "message {number} of {len} bytes");
                kept.push_back(message);
                if kept.len() > keeps {
                    kept.pop_front().into_iter().for_each(Message::ack);
                }
            }
            kept.into_iter().for_each(Message::ack);
        };
        tokio::join!(sending, receiving);
        pair.near.flush().await.expect("handled");
    }
}

/// More messages than fit are under way; those that fit are with the application.
async fn full(world: &World) -> (Pair, VecDeque<Message>) {
    const LEN: usize = 4000;
    // As many as go into the window, and into the ring.
    const LIMIT: usize = 64 << 10;
    const FIT: usize = LIMIT / (LEN + MESSAGE_OVERHEAD);
    let pair = world.pair_with(|builder| builder.ring_bytes(LIMIT).receive_window(LIMIT)).await;
    for number in 0..2 * FIT {
        pair.near.send(pattern(LEN, number)).await.expect("accepted");
    }
    let mut kept = VecDeque::new();
    for _ in 0..FIT {
        kept.push_back(pair.far.recv().await.expect("a message").expect("not the end"));
    }
    assert!(poll_and_drop(pair.far.recv()).await.is_pending(), "no more fit");
    (pair, kept)
}

async fn what_another_task_drops_makes_room_for_the_message_that_is_waited_for(world: World) {
    let (pair, mut kept) = full(&world).await;
    let mut waiting = pin!(pair.far.recv());
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    // Until the sender sleeps, too, which cannot be observed. If it sleeps later, the test shows
    // less.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let dropping = async { kept.drain(..2).for_each(Message::ack) };
    let (received, ()) = tokio::join!(waiting, dropping);
    received.expect("a message").expect("not the end").ack();
}

async fn who_looks_again_and_again_gets_what_fits_besides_what_it_keeps(world: World) {
    let (pair, mut kept) = full(&world).await;
    kept.drain(..2).for_each(Message::ack);
    until(|| match pair.far.try_recv() {
        Ok(message) => message.is_some(),
        Err(TryRecvError::Empty) => false,
        Err(error) => panic!("{error}"),
    })
    .await;
}
