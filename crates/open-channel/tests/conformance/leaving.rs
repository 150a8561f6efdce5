//! Leaving with unhandled messages: each interface, and the result for the messages.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use open_channel::{Channel, ConnectOptions, Error, Message, ResetCode, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::world::{Pair, World, poll_once};

on_every_link!(
    what_a_handler_holds_when_its_host_closes_comes_to_the_next_host,
    what_is_acknowledged_while_its_host_closes_is_not_delivered_again,
    a_pause_that_ends_while_its_host_closes_is_no_attempt,
    what_is_held_when_its_socket_ends_is_never_acknowledged,
    what_was_acknowledged_before_its_socket_ends_is_known,
    what_a_stream_has_not_read_comes_to_the_next_host,
    what_a_stream_has_not_read_when_it_is_dropped_is_never_acknowledged,
    an_end_waits_for_what_a_stream_has_not_read,
    a_panic_leaves_what_a_stream_has_not_read_unhandled,
    a_stream_ends_with_its_host_unless_asked_otherwise,
    a_socket_that_does_not_reconnect_fails_with_its_host,
);

/// A channel that may host and soon gives up waiting for handlers.
fn channel(world: &World, tell: mpsc::UnboundedSender<Socket>) -> Channel {
    let builder = world.builder().host_timeout(Duration::from_secs(1));
    let listener = move |socket| {
        let tell = tell.clone();
        async move { drop(tell.send(socket)) }
    };
    builder.build(listener).expect("a channel")
}

/// Two channels, the first of which hosts; a socket of the second one's with `options`, and its
/// other end.
struct Stage {
    first: Channel,
    second: Channel,
    near: Socket,
    far: Socket,
    /// The sockets that connect to the second one when it hosts.
    next: mpsc::UnboundedReceiver<Socket>,
}

async fn stage(world: &World, options: ConnectOptions) -> Stage {
    let (tell, mut accepted) = mpsc::unbounded_channel();
    let first = channel(world, tell);
    first.join().await.expect("hosting");
    let (tell, next) = mpsc::unbounded_channel();
    let second = channel(world, tell);
    let near = second.connect_with(options);
    near.send("first").await.expect("accepted");
    let far = accepted.recv().await.expect("a connection");
    Stage { first, second, near, far, next }
}

async fn receive(socket: &Socket) -> Message {
    socket.recv().await.expect("a message").expect("not the end")
}

async fn what_a_handler_holds_when_its_host_closes_comes_to_the_next_host(world: World) {
    let mut stage = stage(&world, ConnectOptions::new()).await;
    let held = receive(&stage.far).await;
    stage.first.close().await.expect("closed");
    let next = stage.next.recv().await.expect("a connection");
    let again = receive(&next).await;
    assert_eq!((again.id(), again.redelivered()), (held.id(), true));
    // Too late: it is another host's by now.
    held.ack();
    again.ack();
    stage.near.flush().await.expect("handled");
}

async fn what_is_acknowledged_while_its_host_closes_is_not_delivered_again(world: World) {
    let mut stage = stage(&world, ConnectOptions::new()).await;
    let held = receive(&stage.far).await;
    let first = stage.first.clone();
    let closing = tokio::spawn(async move { first.close().await });
    assert!(matches!(stage.far.recv().await, Err(Error::HandedOver)));
    stage.near.send("second").await.expect("accepted");
    stage.far.send("an answer").await.expect("the handler may still answer");
    held.ack();
    let answer = receive(&stage.near).await;
    assert_eq!(answer.into_bytes(), "an answer");
    closing.await.expect("no panic").expect("closed");
    let next = stage.next.recv().await.expect("a connection");
    assert_eq!(receive(&next).await.into_bytes(), "second");
    stage.near.flush().await.expect("handled");
}

async fn a_pause_that_ends_while_its_host_closes_is_no_attempt(world: World) {
    let mut stage = stage(&world, ConnectOptions::new()).await;
    stage.near.send("second").await.expect("accepted");
    let first = receive(&stage.far).await;
    let _held = receive(&stage.far).await;
    // The hand-over waits a second for the held messages, which is twenty times as long.
    first.nack_after(Duration::from_millis(50));
    stage.first.close().await.expect("closed");
    let next = stage.next.recv().await.expect("a connection");
    for payload in ["first", "second"] {
        let message = receive(&next).await;
        assert_eq!(
            (message.attempt(), &message[..]),
            (2, payload.as_bytes()),
            "no host had it twice"
        );
        message.ack();
    }
    stage.near.flush().await.expect("handled");
}

async fn what_is_held_when_its_socket_ends_is_never_acknowledged(world: World) {
    let ends: [fn(Socket); 3] = [
        drop,
        |socket| socket.destroy(),
        |socket| drop(tokio::spawn(async move { socket.close().await })),
    ];
    for end in ends {
        let Pair { near, far, hosted: _hosted } = world.pair().await;
        near.send("held").await.expect("accepted");
        let held = receive(&far).await;
        end(far);
        let code = match near.flush().await {
            Err(Error::Reset { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert!(matches!(code, ResetCode::Closed | ResetCode::Destroyed), "{code:?}");
        held.ack();
    }
}

async fn what_was_acknowledged_before_its_socket_ends_is_known(world: World) {
    let ends: [fn(Socket); 2] = [drop, |socket| socket.destroy()];
    for end in ends {
        let Pair { near, far, hosted: _hosted } = world.pair().await;
        for number in 0..3 {
            near.send(format!("message {number}")).await.expect("accepted");
        }
        for _ in 0..3 {
            receive(&far).await.ack();
        }
        end(far);
        near.flush().await.expect("handled");
    }
}

async fn what_a_stream_has_not_read_comes_to_the_next_host(world: World) {
    let mut stage = stage(&world, ConnectOptions::new()).await;
    let mut far = stage.far.into_stream();
    far.read_exact(&mut [0; 2]).await.expect("a part of it");
    stage.first.close().await.expect("closed");
    let mut next = stage.next.recv().await.expect("a connection").into_stream();
    let mut whole = [0; 5];
    next.read_exact(&mut whole).await.expect("all of it");
    assert_eq!(&whole, b"first");
    stage.near.flush().await.expect("handled");
}

async fn what_a_stream_has_not_read_when_it_is_dropped_is_never_acknowledged(world: World) {
    for destroyed in [false, true] {
        let Pair { near, far, hosted: _hosted } = world.pair().await;
        near.send("message").await.expect("accepted");
        let mut far = far.into_stream();
        far.read_exact(&mut [0; 2]).await.expect("a part of it");
        if destroyed {
            far.socket().destroy();
        }
        drop(far);
        assert!(matches!(near.flush().await, Err(Error::Reset { .. })));
    }
}

async fn an_end_waits_for_what_a_stream_has_not_read(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    near.send("message").await.expect("accepted");
    let mut far = far.into_stream();
    far.read_exact(&mut [0; 2]).await.expect("a part of it");
    let mut close = pin!(near.close());
    assert!(poll_once(close.as_mut()).await.is_pending());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(poll_once(close.as_mut()).await.is_pending(), "a part of it is not read");
    far.read_exact(&mut [0; 5]).await.expect("the rest");
    close.await.expect("handled");
}

async fn a_panic_leaves_what_a_stream_has_not_read_unhandled(world: World) {
    let (_host, channel) = world
        .serve(|socket| async move {
            socket.into_stream().read_exact(&mut [0; 2]).await.expect("a part of it");
            panic!("as the test wants it");
        })
        .await;
    let near = channel.connect();
    near.send("message").await.expect("accepted");
    assert!(matches!(near.flush().await, Err(Error::Reset { .. })));
}

async fn a_stream_ends_with_its_host_unless_asked_otherwise(world: World) {
    for goes_on in [None, Some(true)] {
        let options = goes_on
            .map_or_else(ConnectOptions::new, |asked| ConnectOptions::new().reconnect(asked));
        let mut stage = stage(&world, options).await;
        receive(&stage.far).await.ack();
        let mut stream = stage.near.into_stream();
        stage.first.close().await.expect("closed");
        if goes_on.is_none() {
            let error = stream.read(&mut [0; 8]).await.expect_err("its host is gone");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let error = stream.write(b"more").await.expect_err("its host is gone");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        } else {
            stream.write_all(b"more").await.expect("accepted");
            let next = stage.next.recv().await.expect("a connection");
            assert_eq!(receive(&next).await.into_bytes(), "more");
        }
        stage.second.close().await.expect("closed");
    }
}

async fn a_socket_that_does_not_reconnect_fails_with_its_host(world: World) {
    let mut stage = stage(&world, ConnectOptions::new().reconnect(false)).await;
    let held = receive(&stage.far).await;
    stage.far.send("last words").await.expect("accepted");
    drop(held);
    let first = stage.first.clone();
    let closing = tokio::spawn(async move { first.close().await });
    assert_eq!(receive(&stage.near).await.into_bytes(), "last words");
    assert!(matches!(stage.near.recv().await, Err(Error::HostLost)));
    assert!(matches!(stage.near.flush().await, Err(Error::HostLost)));
    assert!(matches!(stage.near.send("more").await.expect_err("over").error, Error::HostLost));
    closing.await.expect("no panic").expect("closed");
    // The next host hears of the next socket only.
    let other = stage.second.connect();
    other.send("other").await.expect("accepted");
    let accepted = stage.next.recv().await.expect("a connection");
    assert_eq!(accepted.id(), other.id());
}

mod threads {
    //! The same for threads.

    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use open_channel::blocking::{Channel, Socket};

    use super::*;

    on_every_link!(blocking:
        what_a_thread_holds_when_its_host_closes_comes_to_the_next_host,
        what_a_thread_holds_when_its_socket_ends_is_never_acknowledged,
        a_message_that_a_thread_drops_stays_unhandled,
        a_blocking_stream_ends_with_its_host_unless_asked_otherwise,
        a_blocking_socket_that_does_not_reconnect_fails_with_its_host,
    );

    fn hosting(world: &World, tell: Sender<Socket>) -> Channel {
        let builder = world.builder().host_timeout(Duration::from_secs(1));
        Channel::build(builder, move |socket| drop(tell.send(socket))).expect("a channel")
    }

    struct Stage {
        first: Channel,
        second: Channel,
        near: Socket,
        far: Socket,
        next: Receiver<Socket>,
    }

    fn stage(world: &World, options: ConnectOptions) -> Stage {
        let (tell, accepted) = channel();
        let first = hosting(world, tell);
        first.join().expect("hosting");
        let (tell, next) = channel();
        let second = hosting(world, tell);
        let near = second.connect_with(options);
        near.send("first").expect("accepted");
        let far = accepted.recv().expect("a connection");
        Stage { first, second, near, far, next }
    }

    fn receive(socket: &Socket) -> Message {
        socket.recv().expect("a message").expect("not the end")
    }

    fn what_a_thread_holds_when_its_host_closes_comes_to_the_next_host(world: World) {
        let stage = stage(&world, ConnectOptions::new());
        let held = receive(&stage.far);
        stage.first.close().expect("closed");
        let next = stage.next.recv().expect("a connection");
        let again = receive(&next);
        assert_eq!((again.id(), again.redelivered()), (held.id(), true));
        again.ack();
        stage.near.flush().expect("handled");
    }

    fn what_a_thread_holds_when_its_socket_ends_is_never_acknowledged(world: World) {
        let ends: [fn(Socket); 3] =
            [drop, |socket| socket.destroy(), |socket| socket.close().expect("nothing to flush")];
        for end in ends {
            let stage = stage(&world, ConnectOptions::new());
            let held = receive(&stage.far);
            end(stage.far);
            assert!(matches!(stage.near.flush(), Err(Error::Reset { .. })));
            held.ack();
            stage.second.close().expect("closed");
            stage.first.close().expect("closed");
        }
    }

    fn a_message_that_a_thread_drops_stays_unhandled(world: World) {
        let stage = stage(&world, ConnectOptions::new());
        drop(receive(&stage.far));
        stage.near.send("second").expect("accepted");
        receive(&stage.far).ack();
        stage.first.close().expect("closed");
        let next = stage.next.recv().expect("a connection");
        for text in ["first", "second"] {
            assert_eq!(receive(&next).into_bytes(), text);
        }
        stage.near.flush().expect("handled");
    }

    fn a_blocking_stream_ends_with_its_host_unless_asked_otherwise(world: World) {
        for goes_on in [None, Some(true)] {
            let options = goes_on
                .map_or_else(ConnectOptions::new, |asked| ConnectOptions::new().reconnect(asked));
            let stage = stage(&world, options);
            receive(&stage.far).ack();
            let mut stream = stage.near.into_stream();
            stage.first.close().expect("closed");
            if goes_on.is_none() {
                let error = stream.read(&mut [0; 8]).expect_err("its host is gone");
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            } else {
                stream.write_all(b"more").expect("accepted");
                let next = stage.next.recv().expect("a connection");
                assert_eq!(receive(&next).into_bytes(), "more");
            }
            stage.second.close().expect("closed");
        }
    }

    fn a_blocking_socket_that_does_not_reconnect_fails_with_its_host(world: World) {
        let stage = stage(&world, ConnectOptions::new().reconnect(false));
        receive(&stage.far).ack();
        stage.first.close().expect("closed");
        assert!(matches!(stage.near.recv(), Err(Error::HostLost)));
        assert!(matches!(stage.near.flush(), Ok(()) | Err(Error::HostLost)));
    }
}
