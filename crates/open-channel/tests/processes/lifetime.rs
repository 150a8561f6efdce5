//! Sockets and channels end anywhere: inside, outside and after their runtime.

use std::sync::Arc;
use std::time::Duration;

use open_channel::{Channel, Error, Event, Socket};
use tokio::runtime::{Builder, Runtime};

use crate::actor::panicking::AskedTo;
use crate::actor::report::say;
use crate::actor::variables::{RUNTIME, SIGPIPE, TASK};
use crate::failover::connected;
use crate::stage::{Stage, now};

/// The longest time in which a finished process may take to end.
const PROMPT: Duration = Duration::from_secs(5);

/// The scenes that a process of its own performs, from start to orderly exit.
const SCENES: &[(&str, fn())] = &[
    ("everything is dropped inside the runtime", dropped_inside),
    ("everything is dropped outside of a living runtime", dropped_outside),
    ("everything is dropped after the runtime", dropped_after),
    ("everything is dropped on a plain thread", dropped_on_a_thread),
    ("sockets outlive their channel", sockets_outlive_their_channel),
    ("messages outlive everything", messages_outlive_everything),
    ("a socket moves to another runtime", moves_to_another_runtime),
    ("a socket survives the runtimes that poll it", polled_by_a_runtime_that_is_gone),
    ("a runtime that runs in slices", a_runtime_in_slices),
    ("the runtime of the listeners goes first", the_listeners_runtime_goes_first),
    ("everything is dropped in a panic", dropped_in_a_panic),
    ("what is closed twice and used afterwards says so", closed_twice),
    ("futures are dropped half-way", futures_dropped_half_way),
    ("a channel was never connected", never_connected),
    ("there is no runtime at all", no_runtime),
    ("the main function returns while connected", returns_while_connected),
];

pub(crate) fn perform(scene: &str) {
    let perform = SCENES.iter().find(|(name, _)| *name == scene).unwrap().1;
    perform();
    say!("done");
}

/// A test of each scene.
pub(crate) fn scenes() -> impl Iterator<Item = (String, impl FnOnce(&mut Stage) + Send)> {
    SCENES.iter().map(|(scene, _)| {
        (format!("lifetime::{}", scene.replace([' ', '-'], "_")), |stage: &mut Stage| {
            play(stage, scene)
        })
    })
}

fn play(stage: &Stage, scene: &str) {
    for runtime in ["current", "multi"] {
        let dir = stage.path().join(runtime);
        let environment =
            [(TASK, scene), (RUNTIME, runtime), ("OPEN_CHANNEL_DIR", dir.to_str().unwrap())];
        let actor = stage.actor_with(runtime, &environment);
        let done = actor.wait("done").at;
        let status = actor.exit_status();
        assert!(status.success(), "{runtime}: {status}");
        let took = Duration::from_nanos(now() - done);
        assert!(took < PROMPT, "{runtime}: {took:?} to exit");
    }
}

pub(crate) fn a_process_that_exits_while_connected_is_missed_at_once(stage: &mut Stage) {
    let host = stage.joined("host", "");
    for (round, how) in ["exit", "return", "kill"].into_iter().enumerate() {
        let peer = stage.joined(format!("peer {round}"), "");
        let socket = peer.ask("connect s", "socket s").word(2).to_owned();
        peer.ask("send s fine", "sent s");
        peer.ask("flush s", "flush s");
        let left = now();
        if how == "kill" {
            peer.kill();
        } else {
            peer.tell(how);
            assert!(peer.exit_status().success(), "{how}");
        }
        let end = host.find(0, "the end of its socket", |line| {
            line.is(&format!("failed {socket}")) || line.is(&format!("ended {socket}"))
        });
        assert!(Duration::from_nanos(end.at.saturating_sub(left)) < PROMPT, "{how}: {end:?}");
    }
    // And the same of a host: its successor is there at once.
    let successor = stage.joined("successor", "");
    let left = now();
    host.tell("exit");
    assert!(host.exit_status().success());
    let hosts = successor.wait("event became-host 2");
    assert!(Duration::from_nanos(hosts.at.saturating_sub(left)) < PROMPT);
}

pub(crate) fn a_write_to_a_process_that_is_gone_raises_no_signal(stage: &mut Stage) {
    for round in 0..10 {
        let settings =
            format!("link=unix dir={}", stage.path().join(format!("round-{round}")).display());
        let host = stage.joined(format!("host {round}"), &settings);
        let peer = stage.actor_with(format!("peer {round}"), &[(SIGPIPE, "1")]);
        peer.open(&format!("{settings} role=peer"));
        peer.ask("join", "joined");
        peer.ask("connect s", "socket s");
        peer.ask("numbers s 1", "streamed s");
        // It writes before it can know that nobody reads any more.
        peer.stop();
        peer.tell("numbers s 10");
        host.kill();
        peer.resume();
        let successor = stage.joined(format!("successor {round}"), &settings);
        assert_eq!(connected(&successor, 2), "host");
        peer.ask("flush s", "flush s");
    }
}

pub(crate) fn the_last_handle_dropped_hands_over(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let peer = stage.joined("peer", "");
    peer.ask("connect s", "socket s");
    peer.ask("numbers s 10", "streamed s");
    host.ask("connect own", "socket own");
    host.ask("numbers own 10", "streamed own");
    host.tell("drop-channel");
    // A socket of its own holds the channel open.
    peer.ask("numbers s 10", "streamed s");
    assert_eq!(peer.ask("status", "status").number(2), 1);
    host.tell("close own");
    host.wait("closed own");
    host.tell("drop own");
    peer.wait("event handed-over 1");
    peer.wait("event became-host 2");
    peer.ask("numbers s 10", "streamed s");
    assert_eq!(peer.count("error") + peer.count("event host-lost"), 0);
}

fn runtime() -> Runtime {
    match std::env::var(RUNTIME).as_deref() {
        Ok("current") => Builder::new_current_thread().enable_all().build().unwrap(),
        _ => Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    }
}

async fn echo(socket: Socket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message.into_bytes()).await.is_err() {
            return;
        }
    }
}

fn host() -> Channel {
    Channel::new("scene", echo).unwrap()
}

async fn round_trip(socket: &Socket) {
    socket.send("hello").await.unwrap();
    let answer = socket.recv().await.unwrap().unwrap();
    assert_eq!(answer.into_bytes(), "hello");
}

/// A host, a peer in the same process, and a socket of each; all in use.
async fn cast() -> (Channel, Channel, Socket, Socket) {
    let (host, peer) = (host(), Channel::peer("scene").unwrap());
    let (own, other) = (host.connect(), peer.connect());
    round_trip(&own).await;
    round_trip(&other).await;
    (host, peer, own, other)
}

fn dropped_inside() {
    runtime().block_on(async {
        let (host, peer, own, other) = cast().await;
        drop(own);
        drop(peer);
        drop(host);
        drop(other);
        // And in the other order.
        let (host, peer, own, other) = cast().await;
        drop((host, peer));
        round_trip(&own).await;
        drop(other);
        drop(own);
    });
}

fn dropped_outside() {
    let runtime = runtime();
    let cast = runtime.block_on(cast());
    drop(cast);
    let (host, peer, own, other) = runtime.block_on(self::cast());
    drop((host, peer));
    drop((own, other));
    drop(runtime);
}

fn dropped_after() {
    let runtime = runtime();
    let cast = runtime.block_on(cast());
    drop(runtime);
    drop(cast);
}

fn dropped_on_a_thread() {
    let runtime = runtime();
    let cast = runtime.block_on(cast());
    std::thread::spawn(move || drop(cast)).join().unwrap();
    runtime.block_on(async {
        let _again = self::cast().await;
    });
}

fn sockets_outlive_their_channel() {
    let runtime = runtime();
    let (host, peer, own, other) = runtime.block_on(cast());
    drop((host, peer));
    runtime.block_on(async {
        round_trip(&own).await;
        round_trip(&other).await;
    });
}

fn messages_outlive_everything() {
    let runtime = runtime();
    let messages = runtime.block_on(async {
        let (host, peer, own, other) = cast().await;
        let mut messages = Vec::new();
        for socket in [&own, &other] {
            socket.send("keep").await.unwrap();
            messages.push(socket.recv().await.unwrap().unwrap());
        }
        drop((host, peer, own, other));
        messages
    });
    drop(runtime);
    for message in messages {
        assert_eq!(message.into_bytes(), "keep");
    }
}

fn moves_to_another_runtime() {
    let (first, second) = (runtime(), runtime());
    let (host, peer, own, other) = first.block_on(cast());
    // The listener's runtime must run for its echo; the test's own is polled by another.
    std::thread::scope(|scope| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        scope.spawn(|| first.block_on(async { drop(stopped.await) }));
        second.block_on(async {
            for _ in 0..10 {
                round_trip(&own).await;
                round_trip(&other).await;
            }
        });
        drop(stop);
    });
    first.block_on(round_trip(&other));
    drop((own, host));
    drop(second);
    drop((other, peer));
}

fn polled_by_a_runtime_that_is_gone() {
    let listeners = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let host = {
        let _inside = listeners.enter();
        host()
    };
    let peer = Channel::peer("scene").unwrap();
    let (own, other) = (Arc::new(host.connect()), Arc::new(peer.connect()));
    for _ in 0..3 {
        let runtime = runtime();
        for socket in [&own, &other] {
            runtime.block_on(round_trip(socket));
            // A task waits for a message when the runtime goes.
            let waiting = Arc::clone(socket);
            runtime.spawn(async move { waiting.recv().await.is_ok() });
        }
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
    }
    let last = runtime();
    last.block_on(round_trip(&own));
    last.block_on(round_trip(&other));
}

fn a_runtime_in_slices() {
    let runtime = runtime();
    let (host, peer, own, other) = runtime.block_on(async {
        let host =
            Channel::builder("scene").host_timeout(Duration::from_millis(300)).build(echo).unwrap();
        let peer = Channel::builder("scene")
            .host_timeout(Duration::from_millis(300))
            .build_peer()
            .unwrap();
        let (own, other) = (host.connect(), peer.connect());
        round_trip(&own).await;
        round_trip(&other).await;
        (host, peer, own, other)
    });
    let mut events = peer.events();
    for _ in 0..3 {
        // Nothing of the application runs for longer than the host timeout: this is the condition
        // under test.
        std::thread::sleep(Duration::from_millis(700));
        runtime.block_on(async {
            round_trip(&own).await;
            round_trip(&other).await;
        });
    }
    assert_eq!((host.generation(), peer.generation()), (1, 1));
    drop((own, other, host, peer));
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::HandedOver { .. }
            | Event::Closed { error: None, .. }
            | Event::Connected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn the_listeners_runtime_goes_first() {
    let listeners = runtime();
    let (host, peer, own, other) = listeners.block_on(cast());
    drop(listeners);
    let runtime = runtime();
    // The handlers are gone with their runtime, and so are their sockets.
    runtime.block_on(async {
        for (socket, whose) in [(&own, "own"), (&other, "other")] {
            while let Ok(Some(_)) = socket.recv().await {}
            say!("{whose} socket ended");
        }
        // A new socket finds a host and no handler. It must not be left hanging.
        let socket = peer.connect();
        let _ = socket.send("anybody?").await;
        while let Ok(Some(_)) = socket.recv().await {}
    });
    drop(host);
}

fn dropped_in_a_panic() {
    let runtime = runtime();
    let (host, peer, own, other) = runtime.block_on(cast());
    let panicked = std::thread::spawn(move || {
        let _all = (own, other, peer);
        std::panic::panic_any(AskedTo);
    });
    assert!(panicked.join().is_err());
    runtime.block_on(async {
        let socket = host.connect();
        round_trip(&socket).await;
    });
}

fn closed_twice() {
    runtime().block_on(async {
        let (host, peer, own, other) = cast().await;
        other.close().await.unwrap();
        let _ = other.close().await;
        other.destroy();
        assert!(other.send("late").await.is_err());
        assert!(other.try_send("late").is_err());
        while let Ok(Some(_)) = other.recv().await {}
        peer.close().await.unwrap();
        peer.close().await.unwrap();
        let refused = peer.connect().send("late").await;
        assert!(
            matches!(&refused, Err(error) if matches!(error.error, Error::Closed)),
            "{refused:?}"
        );
        host.close().await.unwrap();
        host.close().await.unwrap();
        assert!(own.send("late").await.is_err());
        assert!(host.join().await.is_err());
    });
}

fn futures_dropped_half_way() {
    use futures::FutureExt;

    runtime().block_on(async {
        let (host, peer, own, other) = cast().await;
        for _ in 0..100 {
            for socket in [&own, &other] {
                assert!(socket.recv().now_or_never().is_none());
                // A spin may have used up this task's budget: then nothing is ready before the next
                // turn.
                while socket.send("once").now_or_never().is_none() {
                    tokio::task::yield_now().await;
                }
                let _ = socket.flush().now_or_never();
                let mut received = socket.recv().now_or_never();
                while received.is_none() {
                    tokio::task::yield_now().await;
                    received = socket.recv().now_or_never();
                }
                assert_eq!(received.unwrap().unwrap().unwrap().into_bytes(), "once");
            }
        }
        let _ = own.close().now_or_never();
        let _ = peer.close().now_or_never();
        let _ = host.close().now_or_never();
    });
}

fn never_connected() {
    let runtime = runtime();
    let channels = runtime.block_on(async {
        let (idle, alone) = (host(), Channel::peer("nobody").unwrap());
        let socket = alone.connect();
        socket.try_send("into the blue").unwrap();
        drop(socket);
        (idle, alone)
    });
    drop(runtime);
    drop(channels);
}

fn no_runtime() {
    assert!(matches!(Channel::new("scene", echo), Err(Error::NoRuntime)));
    let peer = Channel::peer("scene").unwrap();
    let socket = peer.connect();
    socket.try_send("into the blue").unwrap();
    drop(peer);
    drop(socket);
}

fn returns_while_connected() {
    let runtime = runtime();
    let (host, peer, own, other) = runtime.block_on(cast());
    std::mem::forget((host, peer));
    std::mem::forget((own, other));
}
