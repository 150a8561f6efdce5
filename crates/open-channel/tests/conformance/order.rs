//! Messages arrive in the order sent, each whole.

use crate::world::{World, next, pattern};

on_every_link!(
    messages_arrive_whole_whatever_their_size,
    many_small_messages_keep_their_order_in_both_directions,
    messages_sent_before_the_connection_exists_arrive_in_order,
    sockets_of_one_channel_are_independent,
    a_message_has_the_same_id_at_both_ends,
);

const SIZES: [usize; 9] = [0, 1, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5 << 20, 0];

async fn messages_arrive_whole_whatever_their_size(world: World) {
    let pair = world.pair().await;
    assert_eq!(pair.near.link(), Some(world.link()));
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let sending = async {
            for (seed, len) in SIZES.into_iter().enumerate() {
                from.send(pattern(len, seed)).await.expect("accepted");
            }
            from.flush().await.expect("handled");
        };
        let receiving = async {
            for (seed, len) in SIZES.into_iter().enumerate() {
                let message = next(to).await;
                assert_eq!(message.len(), len);
                assert!(
                    message == pattern(len, seed),
                    "message {seed} of {len} bytes is not what was sent"
                );
            }
        };
        tokio::join!(sending, receiving);
    }
}

async fn many_small_messages_keep_their_order_in_both_directions(world: World) {
    const MESSAGES: u64 = 20_000;
    let pair = world.pair().await;
    let send = async |socket: &open_channel::Socket| {
        for number in 0..MESSAGES {
            socket.send(number.to_le_bytes().to_vec()).await.expect("accepted");
        }
        socket.flush().await.expect("handled");
    };
    let receive = async |socket: &open_channel::Socket| {
        for number in 0..MESSAGES {
            assert_eq!(&next(socket).await[..], number.to_le_bytes());
        }
    };
    tokio::join!(send(&pair.near), send(&pair.far), receive(&pair.near), receive(&pair.far));
}

async fn messages_sent_before_the_connection_exists_arrive_in_order(world: World) {
    const MESSAGES: usize = 100;
    let (accept, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let listener = move |socket: open_channel::Socket| {
        let accept = accept.clone();
        async move { drop(accept.send(socket)) }
    };
    let queue = |channel: &open_channel::Channel| {
        let socket = channel.connect();
        for number in 0..MESSAGES {
            socket.try_send(pattern(1000, number)).expect("room");
        }
        socket
    };
    let (socket, _host, _peer) = if world.joins_as_peer() {
        // There is no host yet.
        let peer = world.builder().build_peer().expect("a peer's channel");
        let socket = queue(&peer);
        assert!(!socket.connected());
        (
            socket,
            world.builder().build(listener).inspect(|host| drop(host.connect())).expect("a host"),
            peer,
        )
    } else {
        let host = world.builder().build(listener).expect("a channel");
        (queue(&host), host.clone(), host)
    };
    let far = loop {
        let far = accepted.recv().await.expect("the listener lives");
        if far.id() == socket.id() {
            break far;
        }
    };
    for number in 0..MESSAGES {
        assert_eq!(next(&far).await, pattern(1000, number));
    }
    socket.flush().await.expect("handled");
}

async fn sockets_of_one_channel_are_independent(world: World) {
    let mut hosted = world.hosted().await;
    let mut pairs = Vec::new();
    for _ in 0..10 {
        pairs.push(hosted.connect().await);
    }
    for (number, (near, _)) in pairs.iter().enumerate() {
        assert!(pairs[..number].iter().all(|(other, _)| other.id() != near.id()));
        near.send(format!("{number}")).await.expect("accepted");
    }
    // The first holds its message, the second is destroyed: the others notice nothing.
    let held = pairs[0].1.recv().await.expect("a message").expect("not the end");
    pairs[1].0.destroy();
    for (number, (near, far)) in pairs.iter().enumerate().skip(2) {
        assert_eq!(next(far).await, format!("{number}"));
        near.flush().await.expect("handled");
        far.send(format!("re {number}")).await.expect("accepted");
        assert_eq!(next(near).await, format!("re {number}"));
    }
    held.ack();
    pairs[0].0.flush().await.expect("handled");
}

async fn a_message_has_the_same_id_at_both_ends(world: World) {
    let pair = world.pair().await;
    for (from, to) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        for seq in 1..=3 {
            let id = from.send("x").await.expect("accepted");
            assert_eq!((id.socket, id.seq), (from.id(), seq));
            let message = to.recv().await.expect("a message").expect("not the end");
            assert_eq!(message.id(), id);
            assert!(!message.redelivered());
            message.ack();
        }
    }
}
