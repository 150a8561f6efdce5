//! A tap sees every message, takes no part, and holds nobody up.

use std::time::Duration;

use open_channel::inspect::{self, Found, Tap, TapEvent, TapRequest, Tapped, Unanswered, Why};
use open_channel::{Batch, Builder, Socket};

use crate::world::{World, next, pattern, until};

on_every_link!(
    a_tap_sees_what_every_call_sends_and_receives,
    a_tap_gets_what_it_asked_for_and_nothing_before_it,
    a_tap_that_is_not_read_holds_nobody_up_and_learns_what_it_missed,
    a_tap_ends_with_its_host,
    nobody_taps_a_channel_that_does_not_allow_it,
);

/// Only against hanging.
const LONG: Duration = Duration::from_secs(30);

fn allowed(builder: Builder) -> Builder {
    builder.tap(true)
}

fn found(world: &World) -> Found {
    let mut channels = inspect::channels(Some(&world.path().join("run"))).expect("readable");
    assert_eq!(channels.len(), 1, "{channels:?}");
    channels.remove(0)
}

async fn tap(world: &World, request: TapRequest) -> Result<Tap, Unanswered> {
    found(world).tap(request, LONG).await
}

async fn event(tap: &mut Tap) -> TapEvent {
    let event = tokio::time::timeout(LONG, tap.recv()).await.expect("an event in time");
    event.expect("no nonsense").expect("not the end")
}

async fn message(tap: &mut Tap) -> (Tapped, Vec<u8>) {
    match event(tap).await {
        TapEvent::Message(tapped, bytes) => (tapped, bytes.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// Sends messages by every call that sends; returns them. The first ones find an empty ring.
async fn send_all(socket: &Socket) -> Vec<Vec<u8>> {
    let mut sent = send_batch(socket).await;
    for (number, len) in [0, 1, 700, 200_000].into_iter().enumerate() {
        let message = |call| pattern(len, number * 10 + call);
        socket.send(message(0)).await.expect("accepted");
        socket.try_send(message(1)).expect("accepted");
        socket.send_copy(&message(2)).await.expect("accepted");
        let mut reserved = socket.reserve(len).await.expect("room");
        reserved.append(&message(3));
        reserved.commit().expect("accepted");
        sent.extend((0..4).map(message));
    }
    sent.extend(send_batch(socket).await);
    sent
}

async fn send_batch(socket: &Socket) -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    let several: Vec<Vec<u8>> = (0..9).map(|number| pattern(number * 7, number)).collect();
    several.iter().for_each(|message| batch.push(message));
    socket.send_many(&mut batch).await.expect("accepted");
    several
}

/// Receives so many messages by every call that receives, in turns.
async fn receive_all(socket: &Socket, count: usize) {
    let mut left = count;
    while left > 0 {
        match left % 4 {
            0 => drop(next(socket).await),
            1 => socket.recv_reader().await.expect("a message").expect("not the end").ack(),
            2 => {
                until(|| match socket.try_recv() {
                    Ok(message) => message.map(|message| message.ack()).is_some(),
                    Err(_) => false,
                })
                .await;
            }
            _ => {
                let messages = socket.recv_many().await.expect("messages").expect("not the end");
                left -= messages.len() - 1;
                messages.ack();
            }
        }
        left -= 1;
    }
}

async fn a_tap_sees_what_every_call_sends_and_receives(world: World) {
    let pair = world.pair_with(allowed).await;
    let mut tap = tap(&world, TapRequest::default()).await.expect("it is allowed");
    for (from, to, from_host) in [(&pair.near, &pair.far, false), (&pair.far, &pair.near, true)] {
        let sending = send_all(from);
        let count = 4 * 4 + 2 * 9;
        let (sent, ()) = tokio::join!(sending, receive_all(to, count));
        assert_eq!(sent.len(), count);
        for (number, sent) in sent.iter().enumerate() {
            let (tapped, bytes) = message(&mut tap).await;
            assert!(bytes == *sent, "message {number}, {} bytes: {tapped:?}", sent.len());
            assert_eq!((tapped.socket, tapped.from_host), (pair.near.id(), from_host));
            assert_eq!((tapped.attempt, tapped.pid), (1, std::process::id()));
        }
    }
}

async fn a_tap_gets_what_it_asked_for_and_nothing_before_it(world: World) {
    let pair = world.pair_with(allowed).await;
    pair.near.send("before").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "before");
    let mut request = TapRequest::default();
    (request.to_host, request.shortest, request.carried) = (false, 4, 3);
    let mut tap = tap(&world, request).await.expect("it is allowed");
    pair.near.send("to the host").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "to the host");
    for answer in ["no", "answer"] {
        pair.far.send(answer).await.expect("accepted");
        assert_eq!(next(&pair.near).await, answer);
    }
    let (tapped, bytes) = message(&mut tap).await;
    assert_eq!((tapped.len, tapped.carried, &bytes[..]), (6, 3, &b"ans"[..]));
}

async fn a_tap_that_is_not_read_holds_nobody_up_and_learns_what_it_missed(world: World) {
    const MESSAGES: usize = 400;
    const LEN: usize = 64 << 10;

    let pair = world.pair_with(allowed).await;
    let mut tap = tap(&world, TapRequest::default()).await.expect("it is allowed");
    let sending = async {
        for number in 0..MESSAGES {
            pair.near.send(pattern(LEN, number)).await.expect("accepted");
        }
    };
    let receiving = async {
        for _ in 0..MESSAGES {
            next(&pair.far).await;
        }
    };
    tokio::join!(sending, receiving);
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < MESSAGES {
        match event(&mut tap).await {
            TapEvent::Dropped(dropped) => missed = dropped as usize,
            TapEvent::Message(..) => seen += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen + missed, MESSAGES);
    assert!(seen > 0 && missed > 0, "{seen} seen, {missed} missed");
}

async fn a_tap_ends_with_its_host(world: World) {
    let pair = world.pair_with(allowed).await;
    let mut tap = tap(&world, TapRequest::default()).await.expect("it is allowed");
    pair.hosted.host.close().await.expect("closed");
    let end = tokio::time::timeout(LONG, tap.recv()).await.expect("an end in time");
    assert_eq!(end, Ok(None));
}

async fn nobody_taps_a_channel_that_does_not_allow_it(world: World) {
    let pair = world.pair_with(|builder| builder.tap(false)).await;
    let refused = tap(&world, TapRequest::default()).await.expect_err("it is not allowed");
    assert!(matches!(&refused.why, Why::Refused(why) if why.contains("OPEN_CHANNEL_TAP=1")));
    assert_eq!(refused.pid.unwrap_or(std::process::id()), std::process::id());
    pair.near.send("unharmed").await.expect("accepted");
    assert_eq!(next(&pair.far).await, "unharmed");
}
