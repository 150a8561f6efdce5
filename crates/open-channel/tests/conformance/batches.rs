//! Many messages at once: the same promises as for single ones.

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use open_channel::{Batch, Error, MESSAGE_OVERHEAD, Messages, Socket};

use crate::world::{World, next, pattern, poll_once};

on_every_link!(
    a_batch_arrives_as_the_messages_that_it_was_made_of,
    messages_of_a_batch_can_be_received_one_by_one,
    messages_sent_one_by_one_can_be_received_together,
    batches_and_single_messages_keep_their_order,
    each_message_of_a_batch_has_its_own_id,
    a_batch_is_acknowledged_when_all_its_messages_are_handled,
    messages_dropped_together_in_a_panic_stay_unhandled,
    messages_taken_by_value_are_acknowledged_each_for_itself,
    a_batch_waits_for_room_and_keeps_what_was_not_accepted,
    a_full_outbox_is_as_full_for_batches,
    a_message_that_is_too_large_stays_in_its_batch,
    what_comes_before_the_end_is_received_before_it,
    nothing_of_a_batch_is_accepted_by_a_socket_that_is_over,
    a_batch_sent_before_the_connection_arrives,
);

async fn many(socket: &Socket) -> Messages {
    socket.recv_many().await.expect("messages").expect("not the end")
}

/// Receives this many messages, in as many calls as necessary.
async fn receive(socket: &Socket, count: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < count {
        let messages = many(socket).await;
        all.extend(messages.iter().map(|message| message.to_vec()));
        messages.ack();
    }
    all
}

fn mixture(count: usize) -> Vec<Vec<u8>> {
    let sizes = [0, 1, 7, 8, 64, 65, 300, 5000, 40_000];
    (0..count).map(|number| pattern(sizes[number * 7 % sizes.len()], number)).collect()
}

async fn a_batch_arrives_as_the_messages_that_it_was_made_of(world: World) {
    let pair = world.pair().await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for count in [0, 1, 2, 3, 1000] {
            let messages = mixture(count);
            let mut batch: Batch = messages.iter().collect();
            assert_eq!(batch.len(), count);
            let (sent, received) = tokio::join!(from.send_many(&mut batch), receive(to, count));
            sent.expect("accepted");
            assert!(batch.is_empty());
            assert!(received == messages, "{count} messages");
        }
        from.flush().await.expect("handled");
    }
}

async fn messages_taken_by_value_are_acknowledged_each_for_itself(world: World) {
    const COUNT: usize = 5;
    let pair = world.pair().await;
    let mut batch: Batch = (0..COUNT).map(|number| pattern(40, number)).collect();
    pair.near.send_many(&mut batch).await.expect("accepted");
    let (mut taken, mut given_back) = (Vec::new(), Vec::new());
    while taken.len() < COUNT {
        taken.extend(many(&pair.far).await);
    }
    for (number, message) in taken.into_iter().enumerate() {
        assert!(message[..] == pattern(40, number)[..]);
        if number % 2 == 0 {
            message.ack();
        } else {
            given_back.push(message.id());
            message.nack();
        }
    }
    for id in given_back {
        let again = pair.far.recv().await.expect("a message").expect("not the end");
        assert_eq!((again.id(), again.attempt()), (id, 2), "only what was given back comes again");
        again.ack();
    }
    pair.near.flush().await.expect("handled");
}

async fn messages_of_a_batch_can_be_received_one_by_one(world: World) {
    let pair = world.pair().await;
    let messages = mixture(200);
    let mut batch: Batch = messages.iter().collect();
    let receiving = async {
        for message in &messages {
            assert!(next(&pair.far).await == *message);
        }
    };
    tokio::join!(async { pair.near.send_many(&mut batch).await.expect("accepted") }, receiving);
    pair.near.flush().await.expect("handled");
}

async fn messages_sent_one_by_one_can_be_received_together(world: World) {
    let pair = world.pair().await;
    let messages = mixture(200);
    let sending = async {
        for message in &messages {
            pair.near.send(message.clone()).await.expect("accepted");
        }
    };
    let ((), received) = tokio::join!(sending, receive(&pair.far, messages.len()));
    assert!(received == messages);
    pair.near.flush().await.expect("handled");
}

async fn batches_and_single_messages_keep_their_order(world: World) {
    const ROUNDS: usize = 100;
    let pair = world.pair().await;
    let sending = async {
        let mut batch = Batch::new();
        for round in 0..ROUNDS {
            pair.near.send(format!("{round} alone")).await.expect("accepted");
            batch.extend((0..round).map(|number| format!("{round} with {number}")));
            pair.near.send_many(&mut batch).await.expect("accepted");
        }
    };
    let receiving = async {
        let mut expected = Vec::new();
        for round in 0..ROUNDS {
            expected.push(format!("{round} alone"));
            expected.extend((0..round).map(|number| format!("{round} with {number}")));
        }
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.push(next(&pair.far).await.to_vec());
            if got.len() % 3 == 0 && got.len() < expected.len() {
                let messages = many(&pair.far).await;
                got.extend(messages.iter().map(|message| message.to_vec()));
                messages.ack();
            }
        }
        assert!(got.iter().zip(&expected).all(|(got, expected)| got == expected.as_bytes()));
    };
    tokio::join!(sending, receiving);
}

async fn each_message_of_a_batch_has_its_own_id(world: World) {
    let pair = world.pair().await;
    let before = pair.near.send("before").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "before");
    pair.near.send_many(&mut ["a", "b", "c"].iter().collect()).await.expect("accepted");
    let mut seqs = Vec::new();
    while seqs.len() < 3 {
        let messages = many(&pair.far).await;
        assert!(!messages.redelivered());
        assert_eq!(messages.iter().len(), messages.len());
        assert!(messages.iter().all(|message| message.id().socket == pair.near.id()));
        seqs.extend(messages.iter().map(|message| message.id().seq));
        messages.ack();
    }
    assert_eq!(seqs, [before.seq + 1, before.seq + 2, before.seq + 3]);
    let after = pair.near.send("after").await.expect("accepted");
    assert_eq!(after.seq, before.seq + 4);
}

async fn a_batch_is_acknowledged_when_all_its_messages_are_handled(world: World) {
    let pair = world.pair().await;
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        pair.near.send_many(&mut ["a", "b", "c"].iter().collect()).await.expect("accepted");
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(pair.far.recv().await.expect("a message"));
        }
        let mut flush = pin!(pair.near.flush());
        for which in order {
            assert!(poll_once(flush.as_mut()).await.is_pending(), "one of them is still held");
            held[which].take().expect("held once").ack();
        }
        flush.await.expect("handled");
    }
}

async fn messages_dropped_together_in_a_panic_stay_unhandled(world: World) {
    let pair = world.pair().await;
    pair.near.send_many(&mut ["a", "b", "c"].iter().collect()).await.expect("accepted");
    let messages = many(&pair.far).await;
    let caught = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _messages = messages;
        panic!("as the test wants it");
    }));
    assert!(caught.is_err());
    let mut flush = pin!(pair.near.flush());
    assert!(poll_once(flush.as_mut()).await.is_pending());
    drop(pair.far);
    assert!(matches!(flush.await, Err(Error::Reset { .. })));
}

async fn a_batch_waits_for_room_and_keeps_what_was_not_accepted(world: World) {
    const MESSAGES: usize = 10_000;
    let pair =
        world.pair_with(|builder| builder.outbox_bytes(100_000).receive_window(100_000)).await;
    let mut batch: Batch = (0..MESSAGES).map(|number| number.to_le_bytes()).collect();
    {
        let mut sending = pin!(pair.near.send_many(&mut batch));
        for _ in 0..5 {
            assert!(poll_once(sending.as_mut()).await.is_pending());
        }
    }
    let accepted = MESSAGES - batch.len();
    assert!(accepted > 0 && accepted <= 100_000 / MESSAGE_OVERHEAD, "{accepted} accepted");
    let sending = async { pair.near.send_many(&mut batch).await.expect("accepted") };
    let receiving = async {
        let received = receive(&pair.far, MESSAGES).await;
        assert!(
            received
                .iter()
                .zip(0..)
                .all(|(message, number): (_, usize)| message[..] == number.to_le_bytes())
        );
    };
    tokio::join!(sending, receiving);
    pair.near.flush().await.expect("handled");
}

async fn a_full_outbox_is_as_full_for_batches(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(4096).receive_window(4096)).await;
    pair.near.send(pattern(4000, 0)).await.expect("accepted");
    let mut batch: Batch = [pattern(4000, 1)].iter().collect();
    let mut sending = pin!(pair.near.send_many(&mut batch));
    assert!(poll_once(sending.as_mut()).await.is_pending());
    assert!(next(&pair.far).await == pattern(4000, 0));
    sending.await.expect("there is room now");
    assert!(next(&pair.far).await == pattern(4000, 1));
}

async fn a_message_that_is_too_large_stays_in_its_batch(world: World) {
    let pair = world.pair_with(|builder| builder.max_message(1000)).await;
    let mut batch: Batch = [pattern(1000, 0), pattern(1001, 1)].iter().collect();
    let error = pair.near.send_many(&mut batch).await.expect_err("too large");
    assert!(matches!(error, Error::TooLarge { len: 1001, max: 1000, .. }), "{error}");
    assert!(!batch.is_empty());
    batch.clear();
    let mut draft = batch.draft();
    draft.append(&pattern(1000, 2));
    draft.commit();
    pair.near.send_many(&mut batch).await.expect("accepted");
    assert!(next(&pair.far).await == pattern(1000, 2));
}

async fn what_comes_before_the_end_is_received_before_it(world: World) {
    let pair = world.pair().await;
    pair.near.send_many(&mut ["a", "b"].iter().collect()).await.expect("accepted");
    pair.near.send("c").await.expect("accepted");
    pair.near.finish().expect("open");
    assert_eq!(receive(&pair.far, 3).await, [b"a", b"b", b"c"]);
    assert!(pair.far.recv_many().await.expect("the end").is_none());
    assert!(pair.far.recv_many().await.expect("the end").is_none());
    let error = pair.near.send_many(&mut ["d"].iter().collect()).await.expect_err("finished");
    assert!(matches!(error, Error::Finished), "{error}");
}

async fn nothing_of_a_batch_is_accepted_by_a_socket_that_is_over(world: World) {
    let pair = world.pair().await;
    pair.near.destroy();
    let mut batch: Batch = ["a", "b"].iter().collect();
    assert!(matches!(pair.near.send_many(&mut batch).await, Err(Error::Closed)));
    assert_eq!(batch.len(), 2);
    assert!(matches!(pair.near.recv_many().await, Err(Error::Closed)));
    assert!(matches!(pair.far.recv_many().await, Err(Error::Reset { .. })));
}

async fn a_batch_sent_before_the_connection_arrives(world: World) {
    let mut hosted = world.hosted().await;
    let near = hosted.channel.connect();
    let messages = mixture(100);
    near.send_many(&mut messages.iter().collect()).await.expect("accepted");
    let far = hosted.accept().await;
    assert!(receive(&far, 100).await == messages);
    near.flush().await.expect("handled");
}
