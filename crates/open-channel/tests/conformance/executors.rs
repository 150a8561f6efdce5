//! Any executor, several runtimes, and none.

use std::future::Future;

use futures::executor::block_on;
use open_channel::{Channel, Error, Socket};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use crate::world::{World, next};

on_every_link!(blocking:
    a_channel_with_a_listener_needs_a_runtime_and_says_so,
    a_peer_needs_no_runtime,
    a_socket_moves_from_a_runtime_that_is_gone_to_another,
    a_recv_begun_in_a_runtime_that_is_gone_goes_on_in_another,
    a_runtime_that_is_no_longer_driven_does_not_silence_another,
    sockets_and_channels_may_be_dropped_outside_and_after_the_runtime,
);

fn runtime() -> Runtime {
    RuntimeBuilder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn one_thread() -> Runtime {
    RuntimeBuilder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A channel that echoes, and the one to connect from.
fn echo(world: &World, runtime: &Runtime) -> (Channel, Channel) {
    runtime.block_on(world.serve(|socket| async move {
        while let Ok(Some(message)) = socket.recv().await {
            let _ = socket.send(message.into_bytes()).await;
        }
    }))
}

async fn there_and_back(socket: &Socket, rounds: usize) {
    for number in 0..rounds {
        socket.send(format!("{number}")).await.expect("accepted");
        assert_eq!(next(socket).await, format!("{number}"));
    }
    socket.flush().await.expect("handled");
}

fn a_channel_with_a_listener_needs_a_runtime_and_says_so(world: World) {
    assert!(matches!(world.builder().build(|_| async {}), Err(Error::NoRuntime)));
}

fn a_peer_needs_no_runtime(world: World) {
    let runtime = runtime();
    let (_host, channel) = echo(&world, &runtime);
    block_on(async {
        let role = channel.join().await.expect("joined");
        assert_eq!(role == open_channel::Role::Peer, world.joins_as_peer());
        let socket = channel.connect();
        there_and_back(&socket, 200).await;
        let large = vec![7; 5 << 20];
        socket.send(large.clone()).await.expect("accepted");
        assert!(next(&socket).await == large);
        socket.close().await.expect("closed");
        let socket = channel.connect();
        socket.send("last").await.expect("accepted");
        drop(socket);
        channel.close().await.expect("closed");
    });
}

fn a_socket_moves_from_a_runtime_that_is_gone_to_another(world: World) {
    let home = runtime();
    let (_host, channel) = echo(&world, &home);
    for first in [runtime(), one_thread()] {
        let socket = first.block_on(async {
            let socket = channel.connect();
            there_and_back(&socket, 20).await;
            socket
        });
        drop(first);
        runtime().block_on(there_and_back(&socket, 20));
        one_thread().block_on(there_and_back(&socket, 20));
        block_on(there_and_back(&socket, 20));
        home.block_on(there_and_back(&socket, 20));
    }
}

fn a_recv_begun_in_a_runtime_that_is_gone_goes_on_in_another(world: World) {
    let home = runtime();
    let (_host, channel) = echo(&world, &home);
    let socket = channel.connect();
    home.block_on(there_and_back(&socket, 1));
    let first = one_thread();
    let mut waiting = Box::pin(socket.recv());
    first.block_on(async {
        assert!(crate::world::poll_once(waiting.as_mut()).await.is_pending());
    });
    drop(first);
    let second = one_thread();
    second.block_on(async {
        socket.send("ping").await.expect("accepted");
        let message = waiting.await.expect("a message").expect("not the end").into_bytes();
        assert_eq!(&message[..], b"ping");
    });
}

fn a_runtime_that_is_no_longer_driven_does_not_silence_another(world: World) {
    let home = runtime();
    let mut hosted = home.block_on(world.hosted());
    let (near, far) = home.block_on(hosted.connect());
    let near = std::sync::Arc::new(near);
    // One runtime waits for a message ...
    let (waits, waiting) = std::sync::mpsc::channel();
    let receiver = std::thread::spawn({
        let near = near.clone();
        move || {
            one_thread().block_on(async {
                let mut recv = Box::pin(near.recv());
                assert!(crate::world::poll_once(recv.as_mut()).await.is_pending());
                waits.send(()).expect("the test waits");
                recv.await.expect("a message").expect("not the end").into_bytes()
            })
        }
    });
    waiting.recv().expect("it waits");
    // ... while another flushes. It still exists, but is not driven any more.
    let idle = one_thread();
    idle.block_on(async {
        near.send("question").await.expect("accepted");
        let (flushed, question) = tokio::join!(near.flush(), async {
            tokio::task::yield_now().await;
            next(&far).await
        });
        flushed.expect("handled");
        assert_eq!(question, "question");
    });
    home.block_on(async { far.send("answer").await.expect("accepted") });
    assert_eq!(receiver.join().expect("no panic"), "answer");
    drop(idle);
}

fn sockets_and_channels_may_be_dropped_outside_and_after_the_runtime(world: World) {
    let host_runtime = runtime();
    let (host, channel) = echo(&world, &host_runtime);
    let sockets: Vec<_> = (0..3).map(|_| channel.connect()).collect();
    let inside = runtime();
    inside.block_on(async {
        for socket in &sockets {
            there_and_back(socket, 3).await;
        }
    });
    let mut sockets = sockets.into_iter();
    inside.block_on(async { drop(sockets.next()) });
    drop(sockets.next());
    let last = sockets.next().expect("three");
    let mut stream = last.into_stream();
    inside.block_on(async {
        use tokio::io::AsyncWriteExt;
        stream.write_all(b"x").await.expect("written");
    });
    drop(inside);
    drop(stream);
    let unfinished: Vec<_> = (0..3).map(|_| channel.connect()).collect();
    drop(host_runtime);
    drop(unfinished);
    drop(channel);
    drop(host);
    // The same place can be hosted again.
    let again = runtime();
    let (_host, channel) = echo(&world, &again);
    again.block_on(there_and_back(&channel.connect(), 3));
    fn is_send<T: Send>(_: impl Future<Output = T> + Send) {}
    is_send(channel.join());
}
