//! The blocking interface holds the same promises.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use open_channel::blocking::{Channel, Socket};
use open_channel::{Batch, Error, Event, LinkKind, ResetCode, Role, State, TryRecvError};

use crate::world::{World, pattern};

on_every_link!(blocking:
    messages_go_there_and_back,
    batches_go_there_and_back,
    messages_can_be_written_and_read_in_place,
    two_threads_share_a_socket,
    what_waits_in_the_outbox_goes_out_while_a_thread_waits_for_messages,
    recv_timeout_gives_up_and_loses_nothing,
    flush_waits_while_a_message_is_held,
    a_full_outbox_makes_send_wait_and_try_send_say_full,
    a_message_that_nobody_has_taken_is_taken_back,
    close_waits_until_everything_is_handled,
    destroy_and_finish_end_the_socket,
    each_listener_has_its_thread,
    a_panicking_listener_takes_down_its_connection_only,
    a_panic_in_the_sending_half_is_no_orderly_end,
    a_channel_that_nobody_hosts_times_out,
    a_blocked_recv_ends_when_the_socket_is_destroyed_by_another_thread,
    channels_join_close_and_report,
    a_listener_that_loops_for_ever_is_seen_at_both_ends,
    a_flush_with_a_limit_gives_up_and_loses_nothing,
);

fn serve(world: &World, listener: impl Fn(Socket) + Send + Sync + 'static) -> (Channel, Channel) {
    let host = Channel::build(world.builder(), listener).expect("a channel");
    if !world.joins_as_peer() {
        return (host.clone(), host);
    }
    host.join().expect("hosting");
    let peer = world.builder().build_peer().expect("a peer's channel").into();
    (host, peer)
}

fn echo(socket: Socket) {
    while let Ok(Some(message)) = socket.recv() {
        let _ = socket.send(message.into_bytes());
    }
}

/// Both ends of a socket; the listener's thread has ended.
fn pair(world: &World, outbox: usize) -> (Socket, Socket, (Channel, Channel)) {
    let (accept, accepted) = std::sync::mpsc::channel();
    let accept = std::sync::Mutex::new(accept);
    let builder = || world.builder().outbox_bytes(outbox).receive_window(outbox);
    let listener =
        move |socket| accept.lock().expect("no panic").send(socket).expect("the test waits");
    let host = Channel::build(builder(), listener).expect("a channel");
    let peer = if world.joins_as_peer() {
        host.join().expect("hosting");
        builder().build_peer().expect("a peer's channel").into()
    } else {
        host.clone()
    };
    let near = peer.connect();
    let far = accepted.recv().expect("accepted");
    (near, far, (host, peer))
}

fn messages_go_there_and_back(world: World) {
    let (_host, channel) = serve(&world, echo);
    let socket = channel.connect();
    for (seed, len) in [0, 1, 1000, 65_537, 5 << 20].into_iter().enumerate() {
        socket.send(pattern(len, seed)).expect("accepted");
        socket.send_copy(&pattern(len, seed + 1)).expect("accepted");
        for seed in [seed, seed + 1] {
            let message = socket.recv().expect("a message").expect("not the end").into_bytes();
            assert!(message[..] == pattern(len, seed)[..]);
        }
    }
    socket.flush().expect("handled");
    assert_eq!(socket.link(), Some(world.link()));
    assert_eq!(socket.peer().expect("connected").process_id(), Some(std::process::id()));
    socket.close().expect("closed");
}

fn batches_go_there_and_back(world: World) {
    const MESSAGES: usize = 100_000;
    let (near, far, _channels) = pair(&world, 64 << 10);
    let sending = std::thread::spawn(move || {
        let mut batch = Batch::new();
        for number in 0..MESSAGES {
            batch.push(number.to_le_bytes());
            if batch.is_full() {
                near.send_many(&mut batch).expect("accepted");
            }
        }
        near.send_many(&mut batch).expect("accepted");
        near.close().expect("all handled");
    });
    let mut next = 0_usize;
    while let Some(messages) = far.recv_many().expect("messages") {
        for message in &messages {
            assert_eq!(message[..], next.to_le_bytes());
            next += 1;
        }
        messages.ack();
    }
    assert_eq!(next, MESSAGES);
    sending.join().expect("sent");
}

fn messages_can_be_written_and_read_in_place(world: World) {
    let (near, far, _channels) = pair(&world, 64 << 10);
    for (seed, len) in [0, 1, 1000, 20_000].into_iter().enumerate() {
        for (from, to) in [(&near, &far), (&far, &near)] {
            let message = pattern(len, seed);
            let mut reservation = from.reserve(len).expect("room");
            let (first, second) = message.split_at(len / 3);
            reservation.append(first);
            reservation.append(second);
            let id = reservation.commit().expect("accepted");
            let mut reader = to.recv_reader().expect("a message").expect("not the end");
            assert_eq!((reader.id(), reader.len()), (id, len));
            assert_eq!(reader.is_in_place(), world.link() == LinkKind::Ring);
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).expect("it is here");
            assert!(bytes == message[..]);
            reader.ack();
        }
    }
    near.flush().expect("handled");
    let waiting = std::thread::spawn(move || far.recv_reader().expect("the end").is_none());
    near.finish().expect("open");
    assert!(waiting.join().expect("woken"));
}

fn two_threads_share_a_socket(world: World) {
    const MESSAGES: usize = 3000;
    let (_host, channel) = serve(&world, echo);
    let socket = channel.connect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                socket.send(pattern(3000, number)).expect("accepted");
            }
            socket.flush().expect("handled");
            socket.finish().expect("open");
        });
        scope.spawn(|| {
            for number in 0..MESSAGES {
                let message = socket.recv().expect("a message").expect("not the end").into_bytes();
                assert!(message[..] == pattern(3000, number)[..], "message {number}");
            }
            assert!(socket.recv().expect("the end").is_none());
        });
    });
}

/// Neither side calls for it: the sender is done, and the receiver waits for a message that never
/// comes.
fn what_waits_in_the_outbox_goes_out_while_a_thread_waits_for_messages(world: World) {
    // Wine takes a hundred times as long as a kernel to pass bytes on.
    const ROUNDS: usize = if cfg!(windows) { 10 } else { 300 };
    let (near, far, _channels) = pair(&world, 1 << 20);
    std::thread::scope(|scope| {
        scope.spawn(|| while near.recv().expect("nothing").is_some() {});
        for round in 0..ROUNDS {
            let message = bytes::Bytes::from(pattern(1000 + round, round));
            let mut sent = 0;
            while near.try_send(message.clone()).is_ok() {
                sent += 1;
            }
            for number in 0..sent {
                let received = far.recv_timeout(Duration::from_secs(10));
                let received = received
                    .unwrap_or_else(|error| panic!("round {round}, message {number}: {error}"));
                assert!(received.expect("not the end").into_bytes() == message);
            }
        }
        far.finish().expect("open");
    });
}

fn recv_timeout_gives_up_and_loses_nothing(world: World) {
    let (near, far, _channels) = pair(&world, 1 << 20);
    assert!(matches!(near.recv_timeout(Duration::from_millis(5)), Err(TryRecvError::Empty)));
    assert!(matches!(near.try_recv(), Err(TryRecvError::Empty)));
    assert!(matches!(near.recv_timeout(Duration::ZERO), Err(TryRecvError::Empty)));
    far.send("late").expect("accepted");
    let message =
        near.recv_timeout(Duration::from_secs(30)).expect("a message").expect("not the end");
    assert_eq!(&message[..], b"late");
    message.ack();
    for number in 0..200 {
        far.send(format!("{number}")).expect("accepted");
        let message = loop {
            match near.recv_timeout(Duration::from_micros(50)) {
                Ok(message) => break message.expect("not the end"),
                Err(TryRecvError::Empty) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(&message[..], format!("{number}").as_bytes());
        message.ack();
    }
    assert!(near.recv_timeout(Duration::from_millis(1)).is_err());
    drop(far);
    assert!(near.recv_timeout(Duration::from_secs(30)).expect("the end").is_none());
}

fn flush_waits_while_a_message_is_held(world: World) {
    let (near, far, _channels) = pair(&world, 1 << 20);
    near.send("held").expect("accepted");
    let held = far.recv().expect("a message").expect("not the end");
    let flushed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| {
            near.flush().expect("handled");
            flushed.fetch_add(1, Ordering::SeqCst)
        });
        // Everything under way has arrived after this.
        for _ in 0..20 {
            far.send("settle").expect("accepted");
            near.recv().expect("a message").expect("not the end").ack();
        }
        far.flush().expect("handled");
        assert_eq!(flushed.load(Ordering::SeqCst), 0, "acknowledged while it is held");
        held.ack();
        flushing.join().expect("no panic");
    });
}

fn a_full_outbox_makes_send_wait_and_try_send_say_full(world: World) {
    let (near, far, _channels) = pair(&world, 50_000);
    let mut accepted = 0;
    let refused = loop {
        match near.try_send(pattern(1000, accepted)) {
            Ok(_) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused.error, Error::Full));
    assert_eq!(refused.message, pattern(1000, accepted));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            near.send("late").expect("accepted");
            near.close().expect("handled");
        });
        for number in 0..accepted {
            let message = far.recv().expect("a message").expect("not the end").into_bytes();
            assert!(message[..] == pattern(1000, number)[..]);
        }
        assert_eq!(far.recv().expect("a message").expect("not the end").into_bytes(), "late");
        assert!(far.recv().expect("the end").is_none());
    });
}

fn a_message_that_nobody_has_taken_is_taken_back(world: World) {
    let (near, far, _channels) = pair(&world, 65_536);
    let [one, two, three] =
        ["one", "two", "three"].map(|message| near.send(message).expect("accepted"));
    let taken = far.recv().expect("a message").expect("not the end");
    assert_eq!(near.take_back(two).expect("an answer").as_deref(), Some(&b"two"[..]));
    assert_eq!(near.take_back(one).expect("an answer"), None);
    assert_eq!(near.take_back(three).expect("an answer").as_deref(), Some(&b"three"[..]));
    taken.ack();
    near.flush().expect("flushed");
    near.send("four").expect("accepted");
    assert_eq!(far.recv().expect("a message").expect("not the end").into_bytes(), "four");
}

fn close_waits_until_everything_is_handled(world: World) {
    let handled = Arc::new(AtomicUsize::new(0));
    let (_host, channel) = serve(&world, {
        let handled = handled.clone();
        move |socket| {
            while let Ok(Some(message)) = socket.recv() {
                handled.fetch_add(1, Ordering::SeqCst);
                message.ack();
            }
        }
    });
    for turn in 1..=10 {
        let socket = channel.connect();
        for number in 0..100 {
            socket.send(pattern(1000, number)).expect("accepted");
        }
        socket.close().expect("handled");
        assert_eq!(handled.load(Ordering::SeqCst), turn * 100);
    }
}

fn destroy_and_finish_end_the_socket(world: World) {
    let (near, far, channels) = pair(&world, 1 << 20);
    near.finish().expect("open");
    assert!(far.recv().expect("the end").is_none());
    assert!(matches!(near.send("late").expect_err("finished").error, Error::Finished));
    far.destroy();
    assert!(matches!(near.recv(), Err(Error::Reset { code: ResetCode::Destroyed, .. })));
    assert!(matches!(far.send("late").expect_err("destroyed").error, Error::Closed));
    drop(channels);
}

fn each_listener_has_its_thread(world: World) {
    let (_host, channel) = serve(&world, echo);
    let sockets: Vec<_> = (0..32).map(|_| channel.connect()).collect();
    for (number, socket) in sockets.iter().enumerate() {
        socket.send(format!("{number}")).expect("accepted");
    }
    for (number, socket) in sockets.iter().enumerate().rev() {
        let message = socket.recv().expect("a message").expect("not the end").into_bytes();
        assert_eq!(&message[..], format!("{number}").as_bytes());
    }
}

fn a_panicking_listener_takes_down_its_connection_only(world: World) {
    let (_host, channel) = serve(&world, |socket| {
        while let Ok(Some(message)) = socket.recv() {
            assert!(&message[..] != b"die", "as the test wants it");
            message.ack();
        }
    });
    let (victim, bystander) = (channel.connect(), channel.connect());
    victim.send("die").expect("accepted");
    assert!(matches!(victim.flush(), Err(Error::Reset { code: ResetCode::ListenerFailed, .. })));
    bystander.send("live").expect("accepted");
    bystander.flush().expect("handled");
}

fn a_panic_in_the_sending_half_is_no_orderly_end(world: World) {
    let (near, far, _channels) = pair(&world, 64 << 10);
    let (sender, _receiver) = near.split();
    let thread = std::thread::spawn(move || {
        sender.send("the first half of an answer").expect("accepted");
        sender.flush().expect("handled");
        panic!("as an application may");
    });
    let message = far.recv().expect("a message").expect("not the end");
    assert_eq!(message.into_bytes(), "the first half of an answer");
    thread.join().expect_err("it panicked");
    let end = far.recv();
    assert!(matches!(end, Err(Error::Reset { code: ResetCode::ListenerFailed, .. })), "{end:?}");
}

fn a_channel_that_nobody_hosts_times_out(world: World) {
    let builder = world.builder().connect_timeout(Duration::from_millis(50)).outbox_bytes(10);
    let peer = Channel::from(builder.build_peer().expect("a channel"));
    let mut events = peer.events();
    let socket = peer.connect();
    socket.send("queued").expect("accepted");
    assert!(matches!(socket.send("waits").expect_err("nobody hosts").error, Error::Timeout { .. }));
    assert!(matches!(socket.recv(), Err(Error::Timeout { .. })));
    assert!(matches!(socket.flush(), Err(Error::Timeout { .. })));
    assert!(matches!(socket.close(), Err(Error::Timeout { .. })));
    assert_eq!(peer.state(), State::Closed);
    assert!(matches!(
        events.blocking_recv(),
        Some(open_channel::Event::Closed { error: Some(_), .. })
    ));
}

fn a_blocked_recv_ends_when_the_socket_is_destroyed_by_another_thread(world: World) {
    let (near, _far, _channels) = pair(&world, 1 << 20);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| near.recv());
        near.destroy();
        assert!(matches!(receiving.join().expect("no panic"), Err(Error::Closed)));
    });
}

fn channels_join_close_and_report(world: World) {
    let (host, channel) = serve(&world, echo);
    let role = channel.join().expect("joined");
    assert_eq!(role, if world.joins_as_peer() { Role::Peer } else { Role::Host });
    assert_eq!((channel.name(), channel.generation()), ("conformance", 1));
    assert!(channel.connected());
    channel.close().expect("closed");
    assert_eq!((channel.state(), channel.role()), (State::Closed, Role::None));
    host.close().expect("closed");
}

fn a_listener_that_loops_for_ever_is_seen_at_both_ends(world: World) {
    const SOON: Duration = Duration::from_millis(40);
    let give_up = Arc::new(AtomicBool::new(false));
    let looping = Arc::clone(&give_up);
    let listener = move |socket: Socket| {
        let message = socket.recv().expect("a message").expect("not the end");
        while !looping.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        message.ack();
    };
    let builder = || world.builder().stall_after(SOON);
    let host = Channel::build(builder(), listener).expect("a channel");
    host.join().expect("hosting");
    let channel = if world.joins_as_peer() {
        builder().build_peer().expect("a peer's channel").into()
    } else {
        host.clone()
    };
    let mut events = channel.events();
    let socket = channel.connect();
    socket.send("loop").expect("accepted");
    let stall = socket.stalled().expect("it goes on");
    assert_eq!((stall.socket, stall.messages, stall.accepted), (socket.id(), 1, false));
    let event = std::iter::from_fn(|| events.blocking_recv())
        .find_map(|event| if let Event::Stalled(stall) = event { Some(stall) } else { None });
    assert_eq!(event, Some(stall));
    assert!(socket.stats().stalled >= Some(SOON));
    // Any other thread of its process can see it, too.
    let seen = || host.stats().totals();
    while seen().held != 1 || seen().oldest_unhandled < Some(SOON) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((channel.state(), socket.connected()), (State::Connected, true));
    give_up.store(true, Ordering::Relaxed);
    let end = std::iter::from_fn(|| events.blocking_recv())
        .find_map(|event| if let Event::StallEnded(end) = event { Some(end) } else { None });
    assert!(end.expect("reported").acknowledged);
}

fn a_flush_with_a_limit_gives_up_and_loses_nothing(world: World) {
    let (near, far, _channels) = pair(&world, 1 << 20);
    near.flush_timeout(Duration::ZERO).expect("nothing to wait for");
    near.send("held").expect("accepted");
    near.send("waits").expect("accepted");
    let held = far.recv().expect("a message").expect("not the end");
    match near.flush_timeout(Duration::from_millis(5)) {
        Err(Error::FlushTimeout { messages: 2, after, .. }) => {
            assert_eq!(after, Duration::from_millis(5))
        }
        other => panic!("{other:?}"),
    }
    held.ack();
    far.recv().expect("a message").expect("not the end").ack();
    near.flush_timeout(Duration::MAX).expect("handled");
}
