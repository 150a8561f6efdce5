//! Messages that are copied from a slice: the same promises as for `send`.

use std::task::Poll;

use open_channel::{Batch, Builder, Error, MESSAGE_OVERHEAD, Socket};

use crate::world::{World, next, pattern, poll_and_drop};

on_every_link!(
    copies_of_every_length_arrive,
    copies_keep_their_place_among_other_messages,
    a_copy_waits_for_room_and_one_that_is_given_up_was_not_accepted,
    every_call_waits_for_the_outbox_alone,
    a_copy_that_is_too_large_is_refused,
    nothing_is_copied_to_a_socket_that_is_over,
);

async fn copies_of_every_length_arrive(world: World) {
    let pair = world.pair().await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for len in (0..200).chain([1000, 4095, 30_000, 33_000, 300_000]) {
            let message = pattern(len, len);
            let id = from.send_copy(&message).await.expect("accepted");
            let got = to.recv().await.expect("a message").expect("not the end");
            assert_eq!(got.id(), id);
            assert!(got[..] == message[..], "{len} bytes");
            got.ack();
        }
        from.flush().await.expect("handled");
    }
}

async fn copies_keep_their_place_among_other_messages(world: World) {
    let pair = world.pair().await;
    let sending = async {
        for round in 0..200 {
            let mut reservation = pair.near.reserve(10).await.expect("room");
            reservation.append(b"reserved");
            pair.near.send_copy(b"copied").await.expect("accepted");
            pair.near.send("sent").await.expect("accepted");
            reservation.commit().expect("accepted");
            pair.near.send_copy(&pattern(round * 300, round)).await.expect("accepted");
            let mut batch: Batch = [&b"in a"[..], b"batch"].into_iter().collect();
            pair.near.send_many(&mut batch).await.expect("accepted");
        }
        pair.near.flush().await.expect("handled");
    };
    let receiving = async {
        for round in 0..200 {
            for expected in [
                &b"copied"[..],
                b"sent",
                b"reserved",
                &pattern(round * 300, round),
                b"in a",
                b"batch",
            ] {
                assert!(next(&pair.far).await == expected, "round {round}");
            }
        }
    };
    tokio::join!(sending, receiving);
}

async fn a_copy_waits_for_room_and_one_that_is_given_up_was_not_accepted(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(4096).receive_window(4096)).await;
    pair.near.send_copy(&pattern(4000, 0)).await.expect("accepted");
    assert!(poll_and_drop(pair.near.send_copy(&pattern(1000, 1))).await.is_pending());
    let receiving = async {
        for (len, seed) in [(4000, 0), (1000, 2), (0, 0)] {
            assert!(next(&pair.far).await == pattern(len, seed));
        }
    };
    let sending = async {
        let second = pair.near.send_copy(&pattern(1000, 2)).await.expect("accepted");
        let third = pair.near.send_copy(b"").await.expect("accepted");
        assert_eq!((second.seq, third.seq), (2, 3));
    };
    tokio::join!(sending, receiving);
}

/// A ring that is smaller than the outbox is as full as any when the first call waits.
async fn every_call_waits_for_the_outbox_alone(world: World) {
    const LEN: usize = 1000;
    const OUTBOX: usize = 1 << 19;
    const FIT: usize = OUTBOX / (LEN + MESSAGE_OVERHEAD);
    for call in ["send", "send_copy", "send_many", "reserve", "try_send"] {
        let tune = |builder: Builder| builder.ring_bytes(1 << 16).outbox_bytes(OUTBOX);
        let pair = world.pair_with(tune).await;
        let mut sent = 0;
        while is_accepted(&pair.near, call, pattern(LEN, sent)).await {
            sent += 1;
        }
        assert_eq!(sent, FIT, "{call}");
        for number in 0..sent {
            assert!(next(&pair.far).await == pattern(LEN, number), "{call}, message {number}");
        }
        pair.near.flush().await.expect("handled");
    }
}

/// Whether this call accepts the message without a wait.
async fn is_accepted(socket: &Socket, call: &str, message: Vec<u8>) -> bool {
    match call {
        "send" => poll_and_drop(socket.send(message)).await.is_ready(),
        "send_copy" => poll_and_drop(socket.send_copy(&message)).await.is_ready(),
        "send_many" => {
            let mut batch = Batch::new();
            batch.push(&message);
            poll_and_drop(socket.send_many(&mut batch)).await.is_ready()
        }
        "reserve" => match poll_and_drop(socket.reserve(message.len())).await {
            Poll::Ready(reservation) => {
                let mut reservation = reservation.expect("room");
                reservation.append(&message);
                reservation.commit().expect("accepted");
                true
            }
            Poll::Pending => false,
        },
        _ => socket.try_send(message).is_ok(),
    }
}

async fn a_copy_that_is_too_large_is_refused(world: World) {
    const LIMIT: usize = 10_000;
    let pair = world.pair_with(|builder| builder.max_message(LIMIT)).await;
    let error = pair.near.send_copy(&[0; LIMIT + 1]).await.expect_err("too large");
    assert!(
        matches!(error, Error::TooLarge { len, max: LIMIT, .. } if len == LIMIT + 1),
        "{error}"
    );
    pair.near.send_copy(&pattern(LIMIT, 1)).await.expect("accepted");
    assert!(next(&pair.far).await == pattern(LIMIT, 1));
}

async fn nothing_is_copied_to_a_socket_that_is_over(world: World) {
    let mut pair = world.pair().await;
    pair.near.destroy();
    assert!(matches!(pair.near.send_copy(b"late").await.expect_err("over"), Error::Closed));
    let (near, _far) = pair.hosted.connect().await;
    near.finish().expect("open");
    assert!(matches!(near.send_copy(b"late").await.expect_err("finished"), Error::Finished));
}
