//! Ends: in order, at once, by dropping, by returning.

use std::pin::pin;
use std::time::{Duration, Instant};

use open_channel::{Error, ResetCode};

use crate::world::{Pair, World, next, pattern, poll_once};

on_every_link!(
    finish_ends_one_direction_and_the_other_goes_on,
    nothing_can_be_sent_after_finish,
    both_sides_may_finish,
    close_waits_until_everything_is_handled,
    both_sides_may_close_at_once,
    destroy_does_not_wait_and_the_other_side_gets_a_reset,
    a_dropped_socket_still_delivers_what_was_sent,
    a_listener_that_returns_ends_its_peers_socket_clearly,
    a_listener_that_returns_at_once_leaves_nothing_hanging,
    what_arrived_before_the_end_is_still_received,
    a_channel_may_be_dropped_before_its_sockets,
    closing_the_channel_flushes_its_sockets,
    closing_the_channel_waits_for_all_its_sockets_at_once,
    a_channel_may_be_closed_while_it_connects,
    calls_after_the_end_fail_and_do_not_hang,
);

async fn finish_ends_one_direction_and_the_other_goes_on(world: World) {
    let mut hosted = world.hosted().await;
    for turn in 0..2 {
        let (near, far) = hosted.connect().await;
        let (from, to) = if turn == 0 { (near, far) } else { (far, near) };
        from.send("question").await.expect("accepted");
        from.finish().expect("open");
        assert_eq!(next(&to).await, "question");
        assert!(to.recv().await.expect("the end").is_none());
        assert!(to.recv().await.expect("still the end").is_none());
        for number in 0..100 {
            to.send(pattern(10_000, number)).await.expect("accepted");
            assert!(next(&from).await == pattern(10_000, number));
        }
        to.flush().await.expect("handled");
        from.flush().await.expect("handled");
        to.close().await.expect("closed");
        assert!(from.recv().await.expect("the end").is_none());
    }
}

async fn nothing_can_be_sent_after_finish(world: World) {
    let pair = world.pair().await;
    for socket in [&pair.near, &pair.far] {
        socket.finish().expect("open");
        for refused in [socket.try_send("late"), socket.send("late").await] {
            let refused = refused.expect_err("finished");
            assert!(matches!(refused.error, Error::Finished | Error::Closed), "{refused:?}");
            assert_eq!(refused.message, "late");
        }
        if let Err(error) = socket.finish() {
            assert!(matches!(error, Error::Closed | Error::Finished), "{error:?}");
        }
    }
}

async fn both_sides_may_finish(world: World) {
    let pair = world.pair().await;
    pair.near.send("a").await.expect("accepted");
    pair.far.send("b").await.expect("accepted");
    pair.near.finish().expect("open");
    pair.far.finish().expect("open");
    assert_eq!(next(&pair.near).await, "b");
    assert_eq!(next(&pair.far).await, "a");
    assert!(pair.near.recv().await.expect("the end").is_none());
    assert!(pair.far.recv().await.expect("the end").is_none());
    pair.near.close().await.expect("everything was handled");
    pair.far.close().await.expect("everything was handled");
}

async fn close_waits_until_everything_is_handled(world: World) {
    let mut hosted = world.hosted().await;
    for turn in 0..2 {
        let (near, far) = hosted.connect().await;
        let (from, to) = if turn == 0 { (near, far) } else { (far, near) };
        for number in 0..10 {
            from.send(pattern(100_000, number)).await.expect("accepted");
        }
        let mut close = pin!(from.close());
        for number in 0..9 {
            assert!(poll_once(close.as_mut()).await.is_pending());
            assert!(next(&to).await == pattern(100_000, number));
        }
        let last = to.recv().await.expect("a message").expect("not the end");
        assert!(poll_once(close.as_mut()).await.is_pending(), "closed while a message is held");
        last.ack();
        close.await.expect("everything was handled");
        assert!(to.recv().await.expect("the end").is_none());
        assert!(matches!(from.try_send("late").expect_err("closed").error, Error::Closed));
    }
}

async fn both_sides_may_close_at_once(world: World) {
    let mut hosted = world.hosted().await;
    for _ in 0..20 {
        let (near, far) = hosted.connect().await;
        let (one, other) = tokio::join!(near.close(), far.close());
        one.expect("nothing was unhandled");
        other.expect("nothing was unhandled");
    }
}

async fn destroy_does_not_wait_and_the_other_side_gets_a_reset(world: World) {
    let mut hosted = world.hosted().await;
    for turn in 0..2 {
        let (near, far) = hosted.connect().await;
        let (from, to) = if turn == 0 { (near, far) } else { (far, near) };
        from.send("unhandled").await.expect("accepted");
        to.send("waiting").await.expect("accepted");
        let mut flush = pin!(to.flush());
        assert!(poll_once(flush.as_mut()).await.is_pending());
        from.destroy();
        assert!(matches!(flush.await, Err(Error::Reset { code: ResetCode::Destroyed, .. })));
        assert!(matches!(from.try_send("late").expect_err("destroyed").error, Error::Closed));
        assert!(matches!(from.recv().await, Err(Error::Closed)));
        assert!(matches!(from.flush().await, Err(Error::Closed)));
        loop {
            match to.recv().await {
                Ok(Some(message)) => assert_eq!(message.into_bytes(), "unhandled"),
                Err(Error::Reset { code: ResetCode::Destroyed, .. }) => break,
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn a_dropped_socket_still_delivers_what_was_sent(world: World) {
    const MESSAGES: usize = 100;
    let mut hosted =
        world.hosted_with(|builder| builder.outbox_bytes(8 << 20).receive_window(1 << 16)).await;
    for turn in 0..2 {
        let (near, far) = hosted.connect().await;
        let (from, to) = if turn == 0 { (near, far) } else { (far, near) };
        for number in 0..MESSAGES {
            from.try_send(pattern(50_000, number)).expect("room");
        }
        drop(from);
        for number in 0..MESSAGES {
            assert!(next(&to).await == pattern(50_000, number), "message {number}");
        }
        assert!(to.recv().await.expect("the end").is_none());
    }
}

async fn a_listener_that_returns_ends_its_peers_socket_clearly(world: World) {
    let (_host, channel) = world
        .serve(|socket| async move {
            let first = socket.recv().await;
            assert!(matches!(first, Ok(Some(_))), "{first:?}");
            let _ = socket.send("bye").await;
        })
        .await;
    for _ in 0..20 {
        let socket = channel.connect();
        socket.send("one").await.expect("accepted");
        // The listener never takes the second.
        let second = socket.send("two").await;
        assert_eq!(next(&socket).await, "bye");
        assert!(socket.recv().await.expect("the end").is_none());
        match (second, socket.flush().await) {
            (Ok(_), Err(Error::Reset { code: ResetCode::Closed, .. })) => {}
            // The end came before the second message.
            (Err(refused), Ok(())) => {
                assert!(matches!(refused.error, Error::Reset { .. }), "{refused:?}")
            }
            other => panic!("the second message was not handled: {other:?}"),
        }
        let refused = socket.send("three").await.expect_err("ended");
        assert!(matches!(refused.error, Error::Reset { .. }), "{refused:?}");
        assert_eq!(refused.message, "three");
    }
}

async fn a_listener_that_returns_at_once_leaves_nothing_hanging(world: World) {
    let (_host, channel) = world.serve(|_| async {}).await;
    for _ in 0..50 {
        let socket = channel.connect();
        match socket.try_send("unheard") {
            Ok(_) => {
                let flushed = socket.flush().await;
                assert!(
                    matches!(flushed, Err(Error::Reset { code: ResetCode::Closed, .. })),
                    "{flushed:?}"
                );
            }
            // The end came first.
            Err(refused) => assert!(matches!(refused.error, Error::Reset { .. }), "{refused:?}"),
        }
        assert!(socket.recv().await.expect("the end").is_none());
    }
}

async fn what_arrived_before_the_end_is_still_received(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    for number in 0..100 {
        far.send(format!("{number}")).await.expect("accepted");
    }
    drop(far);
    // Nothing was read before the end came.
    crate::world::until(|| !near.connected()).await;
    for number in 0..100 {
        assert_eq!(next(&near).await, format!("{number}"));
    }
    assert!(near.recv().await.expect("the end").is_none());
}

async fn a_channel_may_be_dropped_before_its_sockets(world: World) {
    let (host, channel) = world
        .serve(|socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                let _ = socket.send(message.into_bytes()).await;
            }
        })
        .await;
    let socket = channel.connect();
    drop(channel);
    if !world.joins_as_peer() {
        drop(host);
    }
    for number in 0..100 {
        socket.send(format!("{number}")).await.expect("accepted");
        assert_eq!(next(&socket).await, format!("{number}"));
    }
    socket.close().await.expect("closed");
}

async fn closing_the_channel_flushes_its_sockets(world: World) {
    let pair = world.pair().await;
    for number in 0..100 {
        pair.near.try_send(pattern(10_000, number)).expect("room");
    }
    let channel = pair.hosted.channel.clone();
    let reading = async {
        for number in 0..100 {
            assert!(next(&pair.far).await == pattern(10_000, number));
        }
        // Either may reach the listener first.
        let end = pair.far.recv().await;
        assert!(matches!(end, Ok(None) | Err(Error::HandedOver)), "{end:?}");
    };
    let (closed, ()) = tokio::join!(channel.close(), reading);
    closed.expect("everything was handled");
    assert_eq!(channel.state(), open_channel::State::Closed);
    assert!(matches!(channel.connect().recv().await, Err(Error::Closed)));
}

async fn closing_the_channel_waits_for_all_its_sockets_at_once(world: World) {
    const SOCKETS: u32 = 20;
    let patience = Duration::from_millis(400);
    let mut hosted = world.hosted_with(|builder| builder.host_timeout(patience)).await;
    let (mut pairs, mut held) = (Vec::new(), Vec::new());
    for _ in 0..SOCKETS {
        let (near, far) = hosted.connect().await;
        near.send("held").await.expect("accepted");
        held.push(far.recv().await.expect("a message").expect("not the end"));
        pairs.push((near, far));
    }
    let started = Instant::now();
    let error = hosted.channel.close().await.expect_err("something is held");
    assert!(matches!(error, Error::Unacknowledged { messages: 1, .. }), "{error}");
    // Flushing and, where it hosts, handing over take at most the host timeout each.
    assert!(
        started.elapsed() < patience * SOCKETS / 2,
        "one after the other: {:?}",
        started.elapsed()
    );
}

async fn a_channel_may_be_closed_while_it_connects(world: World) {
    let patience = Duration::from_millis(200);
    let peer = world.builder().host_timeout(patience).connect_timeout(Duration::from_secs(1000));
    let peer = peer.build_peer().expect("a channel");
    let (waiting, socket) = (peer.connect(), peer.connect());
    socket.send("into the blue").await.expect("queued");
    let (closed, received) = tokio::join!(peer.close(), waiting.recv());
    assert!(matches!(closed, Err(Error::Unacknowledged { messages: 1, .. })), "{closed:?}");
    assert!(matches!(received, Err(Error::Closed)), "{received:?}");
    assert_eq!(peer.state(), open_channel::State::Closed);
    assert!(matches!(socket.try_send("late").expect_err("closed").error, Error::Closed));
    assert!(matches!(peer.join().await, Err(Error::Closed)));
    // With nothing to lose there is nothing to wait for.
    let peer =
        world.builder().connect_timeout(Duration::from_secs(1000)).build_peer().expect("a channel");
    let _socket = peer.connect();
    peer.close().await.expect("closed");
}

async fn calls_after_the_end_fail_and_do_not_hang(world: World) {
    let pair = world.pair().await;
    for socket in [&pair.near, &pair.far] {
        socket.close().await.expect("nothing was unhandled");
        assert!(matches!(socket.send("late").await.expect_err("closed").error, Error::Closed));
        assert!(matches!(socket.recv().await, Ok(None) | Err(Error::Closed)));
        socket.flush().await.expect("nothing was unhandled");
        socket.close().await.expect("closed already");
        socket.destroy();
    }
}
