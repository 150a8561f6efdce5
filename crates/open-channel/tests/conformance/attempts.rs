//! Promise 9: attempts are counted, and a message after its last one comes back to its sender.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use open_channel::{Builder, Channel, Error, GivenUp, Message, Socket, TryRecvError, ffi};
use tokio::sync::mpsc;

use crate::world::{World, next, until};

on_every_link!(
    a_first_attempt_is_the_first,
    each_host_that_may_have_seen_a_message_is_an_attempt,
    what_no_host_has_taken_is_no_attempt,
    a_message_that_kills_every_host_comes_back_and_those_behind_it_go_on,
    messages_that_were_sent_together_are_counted_one_by_one,
    with_one_attempt_nothing_is_delivered_twice,
    flush_tells_of_what_came_back_once,
    what_came_back_and_is_not_fetched_is_bounded,
    a_limit_that_no_link_can_count_to_is_refused,
    what_is_given_back_comes_again_before_what_was_sent_after_it,
    what_is_given_back_for_a_while_lets_others_pass,
    what_was_received_together_is_given_back_one_by_one,
    what_is_read_in_place_is_given_back_whole,
    what_is_dropped_comes_again_after_a_pause_that_grows,
    what_is_given_back_too_often_comes_back_to_its_sender,
    the_next_host_goes_on_counting,
    what_is_rejected_comes_back_with_its_reason,
    messages_of_the_host_are_given_back_alike,
    what_is_given_back_waits_for_nobody_when_its_host_goes,
    the_end_comes_after_what_was_given_back,
);

/// Tests that the end does not come first: the handler would return with a message unhandled.
async fn the_end_comes_after_what_was_given_back(world: World) {
    let mut hosted = world.hosted().await;
    let ways: [fn(Message); 3] =
        [drop, Message::nack, |message| message.nack_after(Duration::from_millis(50))];
    for turn in 0..2 {
        for (way, lose) in ways.into_iter().enumerate() {
            let (near, far) = hosted.connect().await;
            let (from, to) = if turn == 0 { (near, far) } else { (far, near) };
            from.send("first").await.expect("accepted");
            from.send("second").await.expect("accepted");
            from.finish().expect("open");
            lose(to.recv().await.expect("a message").expect("not the end"));
            let mut attempts = Vec::new();
            while let Some(message) = to.recv().await.expect("no error") {
                attempts.push((message.attempt(), message.into_bytes()));
            }
            attempts.sort();
            assert_eq!(attempts, [(1, "second".into()), (2, "first".into())], "way {way}");
            from.flush().await.expect("handled");
        }
    }
}

/// Hosts that come one after the other, and one socket of another channel.
struct Succession {
    world: World,
    socket: Socket,
    _peer: Channel,
    hosts: Vec<(Channel, mpsc::UnboundedReceiver<Socket>)>,
}

impl Succession {
    async fn new(world: World, tune: impl Fn(Builder) -> Builder) -> Self {
        let first = host(&world).await;
        let peer = tune(world.builder()).build_peer().expect("a peer's channel");
        let socket = peer.connect();
        until(|| socket.connected()).await;
        Self { world, socket, _peer: peer, hosts: vec![first] }
    }

    /// The present host's end of the socket.
    async fn far(&mut self) -> Socket {
        let (_, accepted) = self.hosts.last_mut().expect("there is always one");
        accepted.recv().await.expect("the listener lives")
    }

    /// The present host ends as if it had been killed, and another takes over: its end of the
    /// socket.
    async fn next_host(&mut self) -> Socket {
        let (dead, _) = self.hosts.last().expect("there is always one");
        ffi::abandon(dead);
        self.hosts.push(host(&self.world).await);
        self.far().await
    }
}

async fn host(world: &World) -> (Channel, mpsc::UnboundedReceiver<Socket>) {
    let (tell, accepted) = mpsc::unbounded_channel();
    let listener = move |socket| {
        let tell = tell.clone();
        async move { drop(tell.send(socket)) }
    };
    let channel = world.builder().build(listener).expect("a channel");
    channel.join().await.expect("hosting");
    (channel, accepted)
}

fn at_most(attempts: u32) -> impl Fn(Builder) -> Builder {
    move |builder| builder.max_attempts(NonZeroU32::new(attempts))
}

async fn take(socket: &Socket) -> Message {
    socket.recv().await.expect("a message").expect("not the end")
}

async fn a_first_attempt_is_the_first(world: World) {
    let pair = world.pair().await;
    pair.near.send("one").await.expect("sent");
    let message = take(&pair.far).await;
    assert_eq!((message.attempt(), message.redelivered()), (1, false));
    message.ack();
    pair.near.send("two").await.expect("sent");
    let reader = pair.far.recv_reader().await.expect("a message").expect("not the end");
    assert_eq!(reader.attempt(), 1);
    reader.ack();
    pair.near.send("three").await.expect("sent");
    let messages = pair.far.recv_many().await.expect("messages").expect("not the end");
    assert_eq!(messages.attempt(), 1);
    messages.ack();
}

async fn each_host_that_may_have_seen_a_message_is_an_attempt(world: World) {
    let mut hosts = Succession::new(world, |builder| builder).await;
    let id = hosts.socket.send("again and again").await.expect("sent");
    let mut far = hosts.far().await;
    for attempt in 1..=5 {
        let message = take(&far).await;
        assert_eq!((message.id(), message.attempt()), (id, attempt));
        assert_eq!(message.redelivered(), attempt > 1);
        far = hosts.next_host().await;
    }
    next(&far).await;
    hosts.socket.flush().await.expect("flushed");
    assert!(matches!(hosts.socket.try_undeliverable(), Err(TryRecvError::Empty)));
}

/// Through shared memory the count is exact; elsewhere a sent message may have been seen.
async fn what_no_host_has_taken_is_no_attempt(world: World) {
    let mut hosts = Succession::new(world, |builder| builder).await;
    let first = hosts.far().await;
    hosts.socket.send("taken").await.expect("sent");
    let _taken = take(&first).await;
    hosts.socket.send("not taken").await.expect("sent");
    let on_a_ring = hosts.socket.link() == Some(open_channel::LinkKind::Ring);
    let far = hosts.next_host().await;
    assert_eq!(take(&far).await.attempt(), 2);
    let message = take(&far).await;
    assert_eq!(&message[..], b"not taken");
    assert_eq!(message.attempt(), if on_a_ring { 1 } else { 2 });
}

async fn a_message_that_kills_every_host_comes_back_and_those_behind_it_go_on(world: World) {
    let mut hosts = Succession::new(world, at_most(3)).await;
    let mut far = hosts.far().await;
    hosts.socket.send("before").await.expect("sent");
    let mut handled = vec![next(&far).await];
    let mut killed = Vec::new();
    hosts.socket.flush().await.expect("flushed");
    for message in ["poison", "behind 1", "behind 2"] {
        hosts.socket.send(message).await.expect("sent");
    }
    for attempt in 1..=3 {
        loop {
            let message = take(&far).await;
            if &message[..] == b"poison" {
                assert_eq!(message.attempt(), attempt);
                // A killed process gives nothing back.
                killed.push(message);
                break;
            }
            handled.push(message.into_bytes());
        }
        far = hosts.next_host().await;
    }
    let returned = hosts.socket.undeliverable().await.expect("it comes back");
    assert_eq!((&returned.message[..], returned.attempts), (&b"poison"[..], 3));
    assert_eq!((returned.id.seq, returned.reason), (2, GivenUp::MaxAttempts));
    while handled.len() < 3 {
        let message = take(&far).await;
        // Each message behind it was under way once at most.
        assert!(message.attempt() <= 2, "{message:?}");
        handled.push(message.into_bytes());
    }
    assert_eq!(handled, ["before", "behind 1", "behind 2"]);
    let flushed = hosts.socket.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 1, .. })), "{flushed:?}");
}

async fn messages_that_were_sent_together_are_counted_one_by_one(world: World) {
    let mut hosts = Succession::new(world, at_most(2)).await;
    let mut batch: open_channel::Batch = ["a", "poison", "c", "d"].into_iter().collect();
    hosts.socket.send_many(&mut batch).await.expect("sent");
    let mut far = hosts.far().await;
    let messages = far.recv_many().await.expect("messages").expect("not the end");
    assert_eq!(messages.attempt(), 1);
    far = hosts.next_host().await;
    assert_eq!(next(&far).await, "a");
    let poison = take(&far).await;
    assert_eq!((&poison[..], poison.attempt()), (&b"poison"[..], 2));
    far = hosts.next_host().await;
    assert_eq!(hosts.socket.undeliverable().await.expect("it comes back").message, "poison");
    for innocent in ["c", "d"] {
        let message = take(&far).await;
        assert_eq!((&message[..], message.attempt()), (innocent.as_bytes(), 2));
        message.ack();
    }
    drop(messages);
}

async fn with_one_attempt_nothing_is_delivered_twice(world: World) {
    let mut hosts = Succession::new(world, at_most(1)).await;
    hosts.socket.send("once").await.expect("sent");
    let far = hosts.far().await;
    let _once = take(&far).await;
    let far = hosts.next_host().await;
    let returned = hosts.socket.undeliverable().await.expect("it comes back");
    assert_eq!((&returned.message[..], returned.attempts), (&b"once"[..], 1));
    hosts.socket.send("another").await.expect("sent");
    assert_eq!(next(&far).await, "another");
}

async fn flush_tells_of_what_came_back_once(world: World) {
    let mut hosts = Succession::new(world, at_most(1)).await;
    hosts.socket.send("once").await.expect("sent");
    let far = hosts.far().await;
    let _once = take(&far).await;
    let _far = hosts.next_host().await;
    let flushed = hosts.socket.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 1, .. })), "{flushed:?}");
    hosts.socket.flush().await.expect("reported once");
    hosts.socket.close().await.expect("reported once");
    // Returned messages can be fetched even then.
    assert_eq!(hosts.socket.undeliverable().await.expect("it came back").message, "once");
    assert!(matches!(hosts.socket.undeliverable().await, Err(Error::Closed)));
}

async fn what_came_back_and_is_not_fetched_is_bounded(world: World) {
    let tune = |builder: Builder| at_most(1)(builder).outbox_bytes(4096);
    let mut hosts = Succession::new(world, tune).await;
    let mut far = hosts.far().await;
    for round in 0..6_u8 {
        hosts.socket.send(vec![round; 1500]).await.expect("sent");
        let _taken = take(&far).await;
        far = hosts.next_host().await;
    }
    let flushed = hosts.socket.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 6, .. })), "{flushed:?}");
    for round in 4..6 {
        let returned = hosts.socket.try_undeliverable().expect("the newest are there");
        assert_eq!(returned.message, vec![round; 1500]);
    }
    assert!(matches!(hosts.socket.try_undeliverable(), Err(TryRecvError::Empty)));
}

async fn a_limit_that_no_link_can_count_to_is_refused(world: World) {
    let refused = at_most(open_channel::MAX_ATTEMPTS + 1)(world.builder()).build_peer();
    assert!(
        matches!(refused, Err(Error::InvalidSetting { setting: "max_attempts", .. })),
        "{refused:?}"
    );
    at_most(open_channel::MAX_ATTEMPTS)(world.builder())
        .build_peer()
        .expect("every link counts to it");
}

async fn what_is_given_back_comes_again_before_what_was_sent_after_it(world: World) {
    let pair = world.pair().await;
    for message in ["a", "b", "c"] {
        pair.near.send(message).await.expect("sent");
    }
    let first = take(&pair.far).await;
    let id = first.id();
    first.nack();
    for attempt in 2..100 {
        let again = take(&pair.far).await;
        assert_eq!((&again[..], again.id(), again.attempt()), (&b"a"[..], id, attempt));
        again.nack();
    }
    for message in ["a", "b", "c"] {
        assert_eq!(next(&pair.far).await, message);
    }
    pair.near.flush().await.expect("flushed");
}

async fn what_is_given_back_for_a_while_lets_others_pass(world: World) {
    const PAUSE: Duration = Duration::from_millis(200);
    let pair = world.pair().await;
    pair.near.send("later").await.expect("sent");
    let begun = Instant::now();
    take(&pair.far).await.nack_after(PAUSE);
    pair.near.send("now").await.expect("sent");
    assert_eq!(next(&pair.far).await, "now");
    let again = take(&pair.far).await;
    assert_eq!((&again[..], again.attempt()), (&b"later"[..], 2));
    assert!(begun.elapsed() >= PAUSE, "{:?}", begun.elapsed());
    again.ack();
    pair.near.flush().await.expect("flushed");
}

async fn what_was_received_together_is_given_back_one_by_one(world: World) {
    let pair = world.pair().await;
    let mut batch: open_channel::Batch = ["a", "b", "c"].into_iter().collect();
    pair.near.send_many(&mut batch).await.expect("sent");
    let messages = pair.far.recv_many().await.expect("messages").expect("not the end");
    let count = messages.len();
    messages.nack();
    for message in &["a", "b", "c"][..count] {
        let again = take(&pair.far).await;
        assert_eq!((&again[..], again.attempt()), (message.as_bytes(), 2));
        again.ack();
    }
    for message in &["a", "b", "c"][count..] {
        assert_eq!(next(&pair.far).await, message);
    }
    pair.near.flush().await.expect("flushed");
}

async fn what_is_read_in_place_is_given_back_whole(world: World) {
    let pair = world.pair().await;
    let message = crate::world::pattern(10_000, 3);
    pair.near.send(message.clone()).await.expect("sent");
    let mut reader = pair.far.recv_reader().await.expect("a message").expect("not the end");
    std::io::Read::read_exact(&mut reader, &mut [0; 5000]).expect("it is here");
    drop(reader);
    let reader = pair.far.recv_reader().await.expect("a message").expect("not the end");
    assert_eq!((reader.attempt(), reader.remaining()), (2, 10_000));
    reader.nack();
    assert_eq!(next(&pair.far).await, message);
    pair.near.flush().await.expect("flushed");
}

async fn what_is_dropped_comes_again_after_a_pause_that_grows(world: World) {
    let pair = world.pair().await;
    pair.near.send("again").await.expect("sent");
    for attempt in 1..=5 {
        let begun = Instant::now();
        let message = take(&pair.far).await;
        assert_eq!(message.attempt(), attempt);
        drop(message);
        let again = take(&pair.far).await;
        let pause = Duration::from_millis(10) * (1 << (attempt - 1));
        assert!(begun.elapsed() >= pause, "{:?} after attempt {attempt}", begun.elapsed());
        again.nack();
        let again = take(&pair.far).await;
        assert_eq!(again.attempt(), attempt + 2);
        again.ack();
        pair.near.flush().await.expect("flushed");
        pair.near.send("again").await.expect("sent");
        for _ in 0..attempt {
            take(&pair.far).await.nack();
        }
    }
}

async fn what_is_given_back_too_often_comes_back_to_its_sender(world: World) {
    let pair = world.pair_with(at_most(3)).await;
    let id = pair.near.send("never").await.expect("sent");
    pair.near.send("behind").await.expect("sent");
    for attempt in 1..=3 {
        let message = take(&pair.far).await;
        assert_eq!((&message[..], message.attempt()), (&b"never"[..], attempt));
        message.nack();
    }
    assert_eq!(next(&pair.far).await, "behind");
    let returned = pair.near.undeliverable().await.expect("it comes back");
    assert_eq!((returned.id, &returned.message[..], returned.attempts), (id, &b"never"[..], 3));
    assert_eq!(returned.reason, GivenUp::MaxAttempts);
    let flushed = pair.near.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 1, .. })), "{flushed:?}");
    pair.near.flush().await.expect("reported once");
}

async fn the_next_host_goes_on_counting(world: World) {
    let mut hosts = Succession::new(world, at_most(5)).await;
    let mut batch: open_channel::Batch = ["together", "with it"].into_iter().collect();
    let mut far = hosts.far().await;
    hosts.socket.send("alone").await.expect("sent");
    hosts.socket.send_many(&mut batch).await.expect("sent");
    let mut all = Vec::new();
    while all.len() < 3 {
        all.push(take(&far).await);
    }
    let with_it = all.pop();
    all.into_iter().rev().for_each(Message::nack);
    for message in ["alone", "together"] {
        let again = take(&far).await;
        assert_eq!((&again[..], again.attempt()), (message.as_bytes(), 2));
        std::mem::forget(again);
    }
    // The reports about them have arrived.
    far.send("heard").await.expect("sent");
    assert_eq!(next(&hosts.socket).await, "heard");
    tokio::time::sleep(Duration::from_millis(50)).await;
    far = hosts.next_host().await;
    for (message, attempt) in [("alone", 3), ("together", 3), ("with it", 2)] {
        let again = take(&far).await;
        assert_eq!((&again[..], again.attempt()), (message.as_bytes(), attempt));
        again.ack();
    }
    hosts.socket.flush().await.expect("flushed");
    drop(with_it);
}

async fn what_is_rejected_comes_back_with_its_reason(world: World) {
    let pair = world.pair().await;
    let mut batch: open_channel::Batch = ["a", "bad", "c"].into_iter().collect();
    pair.near.send("worse").await.expect("sent");
    pair.near.send_many(&mut batch).await.expect("sent");
    take(&pair.far).await.reject("");
    assert_eq!(next(&pair.far).await, "a");
    take(&pair.far).await.reject("no such job");
    assert_eq!(next(&pair.far).await, "c");
    for (message, reason) in [("worse", ""), ("bad", "no such job")] {
        let returned = pair.near.undeliverable().await.expect("it comes back");
        assert_eq!((&returned.message[..], returned.attempts), (message.as_bytes(), 1));
        assert_eq!(returned.reason, GivenUp::Rejected(reason.into()));
    }
    let flushed = pair.near.flush().await;
    assert!(matches!(flushed, Err(Error::Undeliverable { messages: 2, .. })), "{flushed:?}");
    pair.near.send("after").await.expect("sent");
    assert_eq!(next(&pair.far).await, "after");
    pair.near.flush().await.expect("flushed");
}

async fn messages_of_the_host_are_given_back_alike(world: World) {
    let pair = world.pair_with(at_most(2)).await;
    pair.far.send("reply").await.expect("sent");
    for attempt in 1..=2 {
        let message = take(&pair.near).await;
        assert_eq!(message.attempt(), attempt);
        message.nack();
    }
    assert_eq!(pair.far.undeliverable().await.expect("it comes back").attempts, 2);
    pair.far.send("bad").await.expect("sent");
    take(&pair.near).await.reject("bad");
    assert_eq!(pair.far.undeliverable().await.expect("it comes back").message, "bad");
}

async fn what_is_given_back_waits_for_nobody_when_its_host_goes(world: World) {
    let mut hosts = Succession::new(world, |builder| builder).await;
    hosts.socket.send("in an hour").await.expect("sent");
    let far = hosts.far().await;
    take(&far).await.nack_after(Duration::from_secs(3600));
    let far = hosts.next_host().await;
    let message = take(&far).await;
    assert_eq!(message.attempt(), 2, "the one that was to come had not begun");
    message.ack();
    hosts.socket.flush().await.expect("flushed");
}
