//! Messages that are read piece by piece, on a ring in place: the same promises as for `recv`.

use std::io::Read;

use open_channel::{Batch, LinkKind, MessageReader, Socket};

use crate::world::{World, next, pattern, poll_and_drop, until};

on_every_link!(
    a_message_can_be_read_in_pieces_of_any_length,
    a_message_can_be_written_and_read_in_blocks,
    a_message_of_any_length_can_be_read,
    readers_and_messages_come_in_the_order_of_sending,
    a_reader_acknowledges_by_ack_alone,
    what_is_held_stays_as_it_is_while_the_ring_goes_on,
    a_reader_outlives_its_connection,
    the_end_comes_after_the_last_message,
    messages_written_in_place_and_read_in_place_go_around_the_ring,
);

async fn reader(socket: &Socket) -> MessageReader {
    socket.recv_reader().await.expect("a message").expect("not the end")
}

fn rest_of(reader: &mut MessageReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("it is here");
    bytes
}

/// The whole message, acknowledged.
fn handled(mut reader: MessageReader) -> Vec<u8> {
    let bytes = rest_of(&mut reader);
    reader.ack();
    bytes
}

async fn a_message_can_be_read_in_pieces_of_any_length(world: World) {
    let pair = world.pair().await;
    let message = pattern(1000, 5);
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for piece in (1..20).chain([63, 64, 65, 500, 999, 1000, 2000]) {
            let id = from.send(message.clone()).await.expect("accepted");
            let mut reader = reader(to).await;
            assert_eq!((reader.id(), reader.len(), reader.redelivered()), (id, 1000, false));
            assert_eq!(reader.is_in_place(), world.link() == LinkKind::Ring);
            let mut got = Vec::new();
            let mut buffer = vec![0; piece];
            loop {
                let len = reader.read(&mut buffer).expect("it is here");
                assert_eq!(len, piece.min(message.len() - got.len()));
                got.extend_from_slice(&buffer[..len]);
                assert_eq!(reader.remaining(), message.len() - got.len());
                if len == 0 {
                    break;
                }
            }
            assert!(got == message, "in pieces of {piece} bytes");
            reader.ack();
        }
        from.flush().await.expect("handled");
    }
}

async fn a_message_can_be_written_and_read_in_blocks(world: World) {
    let pair = world.pair().await;
    for (before, count) in [(0, 0), (0, 1), (0, 15), (8, 3), (5, 3), (64, 1), (100, 200)] {
        let message = pattern(before + count * 64 + 20, count);
        let (first, rest) = message.split_at(before);
        let (blocks, last) = rest.split_at(count * 64);
        let mut reservation = pair.near.reserve(message.len()).await.expect("room");
        reservation.append(first);
        reservation.append_blocks(
            blocks.chunks_exact(64).map(|block| block.try_into().expect("64 bytes")),
        );
        reservation.append(last);
        reservation.commit().expect("accepted");

        let mut reader = reader(&pair.far).await;
        let mut got = vec![0; before];
        reader.read_exact(&mut got).expect("it is here");
        reader.blocks().for_each(|block| got.extend_from_slice(&block));
        assert_eq!(reader.remaining(), 20);
        got.extend(rest_of(&mut reader));
        assert!(got == message, "{before} bytes, {count} blocks");
        reader.ack();
    }
    // One by one, and not to the end.
    pair.near.send(pattern(640, 1)).await.expect("accepted");
    let mut reader = reader(&pair.far).await;
    let two: Vec<_> = reader.blocks().take(2).collect();
    assert_eq!(two.concat(), pattern(640, 1)[..128]);
    assert_eq!(reader.remaining(), 0, "the others are skipped");
}

async fn a_message_of_any_length_can_be_read(world: World) {
    let pair = world.pair().await;
    for len in [0, 1, 7, 8, 9, 1000, 31_000, 33_000, 100_000, 1_000_000] {
        let message = pattern(len, len);
        let sending = async { pair.near.send(message.clone()).await.expect("accepted") };
        let receiving = async {
            let mut reader = reader(&pair.far).await;
            assert_eq!((reader.len(), reader.is_empty()), (len, len == 0));
            assert!(rest_of(&mut reader) == message, "{len} bytes");
            reader.ack();
        };
        tokio::join!(sending, receiving);
    }
    pair.near.flush().await.expect("handled");
}

async fn readers_and_messages_come_in_the_order_of_sending(world: World) {
    let pair = world.pair().await;
    for round in 0..50 {
        pair.near.send("one").await.expect("accepted");
        let mut batch: Batch = ["two", "three", "four"].iter().collect();
        pair.near.send_many(&mut batch).await.expect("accepted");
        pair.near.send(pattern(50_000, round)).await.expect("accepted");
        pair.near.send("six").await.expect("accepted");
        assert_eq!(handled(reader(&pair.far).await), b"one");
        assert_eq!(handled(reader(&pair.far).await), b"two");
        assert_eq!(next(&pair.far).await, "three");
        assert_eq!(handled(reader(&pair.far).await), b"four");
        assert!(handled(reader(&pair.far).await) == pattern(50_000, round));
        assert_eq!(next(&pair.far).await, "six");
        pair.near.flush().await.expect("handled");
    }
}

async fn a_reader_acknowledges_by_ack_alone(world: World) {
    let pair = world.pair().await;
    pair.near.send("one").await.expect("accepted");
    pair.near.send("two").await.expect("accepted");
    let mut first = reader(&pair.far).await;
    let second = reader(&pair.far).await;
    assert_eq!(rest_of(&mut first), b"one");
    assert!(poll_and_drop(pair.near.flush()).await.is_pending(), "nothing is handled");
    second.ack();
    assert!(poll_and_drop(pair.near.flush()).await.is_pending(), "the first is not handled");
    first.ack();
    pair.near.flush().await.expect("handled");
    pair.near.send("three").await.expect("accepted");
    assert_eq!(rest_of(&mut reader(&pair.far).await), b"three");
    for _ in 0..20 {
        pair.far.send("turn").await.expect("accepted");
        assert_eq!(next(&pair.near).await, "turn");
    }
    assert!(poll_and_drop(pair.near.flush()).await.is_pending(), "dropping it acknowledged it");
}

async fn what_is_held_stays_as_it_is_while_the_ring_goes_on(world: World) {
    const HELD: usize = 20;
    let pair = world.pair().await;
    let mut held = Vec::new();
    for number in 0..HELD {
        pair.near.send(pattern(5000, number)).await.expect("accepted");
        held.push((number, reader(&pair.far).await));
    }
    // The newest first, so that nothing is released before the last.
    for (number, mut reader) in held.into_iter().rev() {
        assert!(rest_of(&mut reader) == pattern(5000, number), "message {number}");
        reader.ack();
    }
    for number in 0..200 {
        pair.near.send(pattern(5000, number)).await.expect("accepted");
        assert!(handled(reader(&pair.far).await) == pattern(5000, number), "message {number}");
    }
    pair.near.flush().await.expect("handled");
}

async fn a_reader_outlives_its_connection(world: World) {
    let pair = world.pair().await;
    let message = pattern(1000, 9);
    pair.near.send(message.clone()).await.expect("accepted");
    let mut reader = reader(&pair.far).await;
    pair.near.destroy();
    until(|| !pair.far.connected()).await;
    assert!(rest_of(&mut reader) == message);
    drop(pair);
    drop(reader);
}

async fn the_end_comes_after_the_last_message(world: World) {
    let pair = world.pair().await;
    pair.near.send("last").await.expect("accepted");
    pair.near.finish().expect("open");
    assert_eq!(handled(reader(&pair.far).await), b"last");
    for _ in 0..2 {
        assert!(pair.far.recv_reader().await.expect("an end").is_none());
    }
    pair.near.flush().await.expect("handled");
}

async fn messages_written_in_place_and_read_in_place_go_around_the_ring(world: World) {
    const LEN: usize = 60_000;
    const MESSAGES: usize = 100;
    let pair = world.pair_with(|builder| builder.ring_bytes(256 << 10)).await;
    let sending = async {
        for number in 0..MESSAGES {
            let mut reservation = pair.near.reserve(LEN).await.expect("room");
            assert_eq!(
                reservation.is_in_place(),
                world.link() == LinkKind::Ring,
                "message {number}"
            );
            reservation.append(&pattern(LEN, number));
            reservation.commit().expect("accepted");
            if number % 2 == 1 {
                pair.near.flush().await.expect("handled");
            }
        }
    };
    let receiving = async {
        for number in 0..MESSAGES {
            let mut reader = reader(&pair.far).await;
            assert_eq!(reader.is_in_place(), world.link() == LinkKind::Ring, "message {number}");
            assert!(rest_of(&mut reader) == pattern(LEN, number), "message {number}");
            reader.ack();
        }
    };
    tokio::join!(sending, receiving);
    pair.near.flush().await.expect("handled");
}
