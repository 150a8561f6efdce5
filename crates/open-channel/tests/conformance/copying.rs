//! Messages that are copied from a slice: the same promises as for `send`.

use open_channel::{Batch, Error, LinkKind};

use crate::world::{World, next, pattern, poll_and_drop};

on_every_link!(
    copies_of_every_length_arrive,
    copies_keep_their_place_among_other_messages,
    a_copy_waits_for_room_and_one_that_is_given_up_was_not_accepted,
    a_copy_waits_for_a_full_ring_where_other_messages_go_to_the_outbox,
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

async fn a_copy_waits_for_a_full_ring_where_other_messages_go_to_the_outbox(world: World) {
    const RING: usize = 1 << 16;
    let pair = world.pair_with(|builder| builder.ring_bytes(RING)).await;
    let mut sent = 0;
    while poll_and_drop(pair.near.send_copy(&pattern(1000, sent))).await.is_ready() {
        sent += 1;
    }
    let on_a_ring = world.link() == LinkKind::Ring;
    assert_eq!(sent * 1000 < RING, on_a_ring, "{sent} messages");
    assert_eq!(pair.near.try_send(pattern(1000, sent)).is_ok(), on_a_ring);
    sent += usize::from(on_a_ring);
    let receiving = async {
        for number in 0..sent + 100 {
            assert!(next(&pair.far).await == pattern(1000, number), "message {number}");
        }
    };
    let sending = async {
        for number in sent..sent + 100 {
            pair.near.send_copy(&pattern(1000, number)).await.expect("accepted");
        }
    };
    tokio::join!(sending, receiving);
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
