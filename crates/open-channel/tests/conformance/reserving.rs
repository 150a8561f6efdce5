//! Messages that are written in place: the same promises as for `send`.

use std::io::Write;

use open_channel::{Error, LinkKind};

use crate::world::{World, next, pattern, poll_and_drop};

on_every_link!(
    a_reserved_message_arrives_as_it_was_written,
    a_message_may_be_shorter_than_was_reserved,
    a_reservation_that_is_dropped_sends_nothing,
    messages_sent_while_a_reservation_is_open_come_in_the_order_of_committing,
    a_reservation_of_any_size_within_the_limit_is_possible,
    a_reservation_outlives_its_connection,
    a_reservation_waits_for_room,
    nothing_is_reserved_on_a_socket_that_is_over,
);

async fn a_reserved_message_arrives_as_it_was_written(world: World) {
    let pair = world.pair().await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 1000, 30_000] {
            let message = pattern(len, len);
            let mut reservation = from.reserve(len).await.expect("room");
            assert_eq!(reservation.is_in_place(), world.link() == LinkKind::Ring);
            for piece in message.chunks(13) {
                reservation.append(piece);
            }
            assert_eq!(reservation.remaining(), 0);
            let id = reservation.commit().expect("accepted");
            let got = to.recv().await.expect("a message").expect("not the end");
            assert_eq!(got.id(), id);
            assert!(got[..] == message[..], "{len} bytes");
            got.ack();
        }
        from.flush().await.expect("handled");
    }
}

async fn a_message_may_be_shorter_than_was_reserved(world: World) {
    let pair = world.pair().await;
    for number in 0..1000_u32 {
        let mut reservation = pair.near.reserve(500).await.expect("room");
        write!(reservation, "message {number}").expect("it fits");
        reservation.commit().expect("accepted");
        assert_eq!(next(&pair.far).await, format!("message {number}"));
    }
}

async fn a_reservation_that_is_dropped_sends_nothing(world: World) {
    let pair = world.pair().await;
    pair.near.send("one").await.expect("accepted");
    let mut reservation = pair.near.reserve(10).await.expect("room");
    reservation.append(b"never");
    drop(reservation);
    drop(poll_and_drop(pair.near.reserve(10)).await);
    pair.near.send("two").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "one");
    assert_eq!(next(&pair.far).await, "two");
    pair.near.flush().await.expect("handled");
}

async fn messages_sent_while_a_reservation_is_open_come_in_the_order_of_committing(world: World) {
    let pair = world.pair().await;
    let mut first = pair.near.reserve(10).await.expect("room");
    let mut second = pair.near.reserve(10).await.expect("room");
    first.append(b"third");
    second.append(b"second");
    pair.near.send("first").await.expect("accepted");
    second.commit().expect("accepted");
    first.commit().expect("accepted");
    pair.near.send("fourth").await.expect("accepted");
    for expected in ["first", "second", "third", "fourth"] {
        assert_eq!(next(&pair.far).await, expected);
    }
}

async fn a_reservation_of_any_size_within_the_limit_is_possible(world: World) {
    const LIMIT: usize = 1 << 20;
    let pair = world.pair_with(|builder| builder.max_message(LIMIT)).await;
    let message = pattern(LIMIT, 1);
    let mut reservation = pair.near.reserve(LIMIT).await.expect("room");
    reservation.append(&message);
    reservation.commit().expect("accepted");
    assert!(next(&pair.far).await == message);
    let error = pair.near.reserve(LIMIT + 1).await.expect_err("too large");
    assert!(
        matches!(error, Error::TooLarge { len, max: LIMIT, .. } if len == LIMIT + 1),
        "{error}"
    );
}

async fn a_reservation_outlives_its_connection(world: World) {
    let pair = world.pair().await;
    let mut reservation = pair.near.reserve(10).await.expect("room");
    reservation.append(b"late");
    pair.far.destroy();
    assert!(pair.near.recv().await.is_err());
    let error = reservation.commit().expect_err("it is over");
    assert_eq!(error.message, "late");
}

async fn a_reservation_waits_for_room(world: World) {
    let pair = world.pair_with(|builder| builder.outbox_bytes(4096).receive_window(4096)).await;
    pair.near.send(pattern(4000, 0)).await.expect("accepted");
    assert!(poll_and_drop(pair.near.reserve(1000)).await.is_pending());
    let receiving = async {
        assert_eq!(next(&pair.far).await.len(), 4000);
        assert_eq!(next(&pair.far).await, "room");
    };
    let sending = async {
        let mut reservation = pair.near.reserve(1000).await.expect("room");
        reservation.append(b"room");
        reservation.commit().expect("accepted");
    };
    tokio::join!(sending, receiving);
}

async fn nothing_is_reserved_on_a_socket_that_is_over(world: World) {
    let mut pair = world.pair().await;
    pair.near.destroy();
    assert!(matches!(pair.near.reserve(1).await.expect_err("over"), Error::Closed));
    let (near, _far) = pair.hosted.connect().await;
    near.finish().expect("open");
    let reserved = near.reserve(1).await.map(open_channel::Reservation::commit);
    assert!(matches!(reserved, Err(Error::Finished) | Ok(Err(_))), "{reserved:?}");
}
