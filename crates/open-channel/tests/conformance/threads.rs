//! Halves and the byte-stream interface, for threads.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use open_channel::Error;
use open_channel::blocking::{Channel, Socket};

use crate::world::{World, pattern};

on_every_link!(blocking:
    halves_work_in_different_threads,
    dropping_the_sending_half_ends_that_direction_only,
    a_mebibyte_is_copied_in_both_directions_at_once,
    lines_are_read_from_writes_of_any_size,
    a_stream_reads_to_the_end_and_is_broken_by_a_reset,
    a_channel_that_nobody_hosts_times_out_when_it_was_set_to,
);

/// Both ends of a socket.
fn pair(world: &World) -> (Socket, Socket, (Channel, Channel)) {
    let (accept, accepted) = std::sync::mpsc::sync_channel(1);
    let listener = move |socket| accept.send(socket).expect("the test waits");
    let host = Channel::build(world.builder(), listener).expect("a channel");
    let peer = if world.joins_as_peer() {
        host.join().expect("hosting");
        world.builder().build_peer().expect("a peer's channel").into()
    } else {
        host.clone()
    };
    let near = peer.connect();
    (near, accepted.recv().expect("accepted"), (host, peer))
}

fn halves_work_in_different_threads(world: World) {
    const MESSAGES: usize = 1000;
    let (near, far, _channels) = pair(&world);
    let echo = std::thread::spawn(move || {
        while let Ok(Some(message)) = far.recv() {
            far.send(message.into_bytes()).expect("accepted");
        }
        far.close().expect("closed");
    });
    let (sender, receiver) = near.split();
    let sending = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            sender.send(pattern(5000, number)).expect("accepted");
        }
    });
    for number in 0..MESSAGES {
        let message = receiver.recv().expect("a message").expect("not the end").into_bytes();
        assert!(message[..] == pattern(5000, number)[..]);
    }
    assert!(receiver.recv().expect("the end").is_none());
    sending.join().expect("sent");
    echo.join().expect("echoed");
}

fn dropping_the_sending_half_ends_that_direction_only(world: World) {
    let (near, far, _channels) = pair(&world);
    let (sender, receiver) = near.split();
    sender.send("last").expect("accepted");
    drop(sender);
    assert_eq!(far.recv().expect("a message").expect("not the end").into_bytes(), "last");
    assert!(far.recv().expect("the end").is_none());
    far.send("answer").expect("accepted");
    assert_eq!(receiver.recv().expect("a message").expect("not the end").into_bytes(), "answer");
}

fn a_mebibyte_is_copied_in_both_directions_at_once(world: World) {
    let (near, far, _channels) = pair(&world);
    let data = pattern(1 << 20, 3);
    let (near, far) = (near.into_stream(), far.into_stream());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let copied = std::io::copy(&mut &far, &mut &far).expect("copied");
            assert_eq!(copied, data.len() as u64);
            far.shutdown_write().expect("open");
        });
        scope.spawn(|| {
            (&near).write_all(&data).expect("written");
            near.shutdown_write().expect("open");
        });
        let mut back = Vec::new();
        (&near).read_to_end(&mut back).expect("read to the end");
        assert!(back == data, "other bytes came back");
    });
}

fn lines_are_read_from_writes_of_any_size(world: World) {
    let (near, far, _channels) = pair(&world);
    let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    let mut near = near.into_stream();
    for piece in text.as_bytes().chunks(13) {
        near.write_all(piece).expect("written");
        near.socket().send("").expect("accepted");
    }
    near.flush().expect("written");
    near.shutdown_write().expect("open");
    let lines = BufReader::new(far.into_stream()).lines();
    let read: Vec<String> = lines.map(|line| line.expect("read")).collect();
    assert!(
        read.iter().map(|line| format!("{line}\n")).eq((0..1000).map(|n| format!("line {n}\n")))
    );
}

fn a_stream_reads_to_the_end_and_is_broken_by_a_reset(world: World) {
    let (near, far, _channels) = pair(&world);
    let near = Arc::new(near.into_stream());
    far.send("hello").expect("accepted");
    let mut read = [0; 3];
    (&*near).read_exact(&mut read).expect("read");
    assert_eq!(&read, b"hel");
    (&*near).read_exact(&mut read[..2]).expect("read");
    assert_eq!((&*near).read(&mut []).expect("nothing asked for"), 0);
    let reader = Arc::clone(&near);
    let blocked = std::thread::spawn(move || (&*reader).read(&mut [0; 8]));
    far.destroy();
    let error = blocked.join().expect("no panic").expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn a_channel_that_nobody_hosts_times_out_when_it_was_set_to(world: World) {
    let peer: Channel = world.builder().build_peer().expect("a peer's channel").into();
    let socket = peer.connect_within(Duration::from_millis(50));
    assert!(matches!(socket.recv(), Err(Error::Timeout { .. })));
    assert!(socket.max_message() > 0);
}
