//! Halves in different tasks, and the `Stream` and `Sink` of a socket.

use ::bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt};
use open_channel::{Error, ResetCode};

use crate::world::{Pair, World, next, pattern, poll_and_drop};

on_every_link!(
    halves_work_in_different_tasks,
    dropping_the_sending_half_ends_that_direction_only,
    dropping_both_halves_closes_the_socket,
    a_panic_in_the_sending_half_is_no_orderly_end,
    several_tasks_share_a_socket,
    a_socket_is_a_stream_and_a_sink,
    a_sink_waits_when_the_outbox_is_full,
    a_stream_ends_after_an_error,
    a_stream_polled_once_and_left_loses_nothing,
);

async fn halves_work_in_different_tasks(world: World) {
    const MESSAGES: usize = 1000;
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let echo = tokio::spawn(async move {
        while let Ok(Some(message)) = far.recv().await {
            far.send(message.into_bytes()).await.expect("accepted");
        }
        far.close().await.expect("closed");
    });
    let (sender, receiver) = near.split();
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.send(pattern(5000, number)).await.expect("accepted");
        }
        sender.flush().await.expect("handled");
    });
    let receiving = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let message =
                receiver.recv().await.expect("a message").expect("not the end").into_bytes();
            assert!(message[..] == pattern(5000, number)[..]);
        }
        assert!(receiver.recv().await.expect("the end").is_none());
    });
    sending.await.expect("sent");
    receiving.await.expect("received");
    echo.await.expect("echoed");
}

async fn dropping_the_sending_half_ends_that_direction_only(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let (sender, receiver) = near.split();
    sender.send("last").await.expect("accepted");
    drop(sender);
    assert_eq!(next(&far).await, "last");
    assert!(far.recv().await.expect("the end").is_none());
    far.send("answer").await.expect("accepted");
    assert_eq!(
        receiver.recv().await.expect("a message").expect("not the end").into_bytes(),
        "answer"
    );
    far.flush().await.expect("handled");
}

async fn dropping_both_halves_closes_the_socket(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let (sender, receiver) = near.split();
    sender.send("last").await.expect("accepted");
    drop(receiver);
    drop(sender);
    assert_eq!(next(&far).await, "last");
    assert!(far.recv().await.expect("the end").is_none());
    crate::world::until(|| !far.connected()).await;
    assert!(far.send("unheard").await.is_err());
}

async fn a_panic_in_the_sending_half_is_no_orderly_end(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let (sender, _receiver) = near.split();
    let task = tokio::spawn(async move {
        sender.send("the first half of an answer").await.expect("accepted");
        sender.flush().await.expect("handled");
        panic!("as an application may");
    });
    assert_eq!(next(&far).await, "the first half of an answer");
    assert!(task.await.expect_err("it panicked").is_panic());
    let end = far.recv().await;
    assert!(matches!(end, Err(Error::Reset { code: ResetCode::ListenerFailed, .. })), "{end:?}");
}

async fn several_tasks_share_a_socket(world: World) {
    const TASKS: usize = 8;
    const MESSAGES: usize = 200;
    let Pair { near, far, hosted: _hosted } =
        world.pair_with(|builder| builder.outbox_bytes(1 << 16)).await;
    let (near, far) = (std::sync::Arc::new(near), std::sync::Arc::new(far));
    let mut senders = tokio::task::JoinSet::new();
    let mut receivers = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let near = near.clone();
        senders.spawn(async move {
            for number in 0..MESSAGES {
                near.send(format!("{task} {number} {}", "x".repeat(1000))).await.expect("accepted");
            }
            near.flush().await.expect("handled");
        });
        let far = far.clone();
        receivers.spawn(async move {
            let mut received = Vec::new();
            while let Some(message) = far.recv().await.expect("no error") {
                received.push((message.id().seq, message.into_bytes()));
            }
            received
        });
    }
    while let Some(done) = senders.join_next().await {
        done.expect("sent");
    }
    near.finish().expect("open");
    let mut all: Vec<_> = receivers.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all.len(), TASKS * MESSAGES);
    assert!(all.iter().map(|(seq, _)| *seq).eq(1..=(TASKS * MESSAGES) as u64), "each exactly once");
    let mut next = [0; TASKS];
    for (_, bytes) in all {
        let text = std::str::from_utf8(&bytes).expect("text");
        let mut words = text.split(' ').map(|word| word.parse::<usize>());
        let (Some(Ok(task)), Some(Ok(number))) = (words.next(), words.next()) else {
            panic!("{text}")
        };
        assert_eq!(number, next[task], "the order of one task is kept");
        next[task] += 1;
    }
}

async fn a_socket_is_a_stream_and_a_sink(world: World) {
    let Pair { mut near, mut far, hosted: _hosted } = world.pair().await;
    for number in 0..50 {
        near.feed(Bytes::from(pattern(1000, number))).await.expect("accepted");
    }
    let far_side = async {
        for number in 0..50 {
            let message = far.try_next().await.expect("a message").expect("not the end");
            assert!(message.into_bytes() == pattern(1000, number));
        }
    };
    let (flushed, ()) = tokio::join!(SinkExt::flush(&mut near), far_side);
    flushed.expect("handled");
    SinkExt::<Bytes>::close(&mut near).await.expect("handled");
    assert!(far.next().await.is_none());
    // A sink's `send` waits until the message is handled.
    let answering = SinkExt::send(&mut far, Bytes::from("re"));
    let (answered, answer) = tokio::join!(answering, next(&near));
    answered.expect("handled");
    assert_eq!(answer, "re");
    assert!(matches!(near.feed(Bytes::from("late")).await, Err(Error::Finished | Error::Closed)));
}

async fn a_sink_waits_when_the_outbox_is_full(world: World) {
    const MESSAGES: usize = 500;
    let Pair { near, far, hosted: _hosted } =
        world.pair_with(|builder| builder.outbox_bytes(20_000).receive_window(20_000)).await;
    let messages =
        futures::stream::iter((0..MESSAGES).map(|number| Ok(Bytes::from(pattern(3000, number)))));
    let receiving = async {
        let mut number = 0;
        let mut far = std::pin::pin!(far);
        while let Some(message) = far.next().await {
            assert!(message.expect("a message").into_bytes() == pattern(3000, number));
            number += 1;
        }
        assert_eq!(number, MESSAGES);
    };
    let (forwarded, ()) = tokio::join!(messages.forward(near), receiving);
    forwarded.expect("everything was handled");
}

async fn a_stream_ends_after_an_error(world: World) {
    let Pair { near, mut far, hosted: _hosted } = world.pair().await;
    near.destroy();
    assert!(matches!(far.next().await, Some(Err(Error::Reset { .. }))));
    assert!(far.next().await.is_none());
    assert!(far.next().await.is_none());
    assert!(matches!(far.recv().await, Err(Error::Reset { .. })), "a call still tells why");
}

async fn a_stream_polled_once_and_left_loses_nothing(world: World) {
    const MESSAGES: usize = 40;
    let Pair { mut near, far, hosted: _hosted } =
        world.pair_with(|builder| builder.outbox_bytes(1 << 22).receive_window(1 << 16)).await;
    assert!(poll_and_drop(near.next()).await.is_pending());
    for number in 0..MESSAGES {
        near.try_send(pattern(30_000, number)).expect("room");
    }
    for number in 0..MESSAGES {
        assert!(next(&far).await == pattern(30_000, number));
    }
    far.send("done").await.expect("accepted");
    assert_eq!(&near.next().await.expect("not the end").expect("a message")[..], b"done");
}
