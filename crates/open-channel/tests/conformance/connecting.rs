//! From a name to a connection: settings, states, events, and what happens when nobody hosts.

use std::time::Duration;

use open_channel::{Builder, Channel, Error, Event, LinkKind, MAX_NAME, Role, State};

use crate::world::{World, next};

on_every_link!(
    a_channel_that_nobody_hosts_times_out_and_connects_later,
    a_timeout_of_one_connect_may_differ,
    states_roles_and_events_follow_each_other,
    a_channel_that_takes_no_part_is_closed_with_an_event_too,
    an_orderly_close_hands_over_to_a_waiting_peer,
    settings_that_cannot_work_are_refused_by_name,
    settings_without_limits_work,
    names_that_cannot_be_are_refused,
    channels_of_other_names_and_scopes_do_not_meet,
    more_connections_than_allowed_are_refused_clearly,
    a_connection_that_ends_makes_room_for_another,
);

async fn a_channel_that_nobody_hosts_times_out_and_connects_later(world: World) {
    // At last it connects within this, under Wine, too.
    let timeout = Duration::from_millis(if cfg!(windows) { 1000 } else { 60 });
    let peer = world
        .builder()
        .connect_timeout(timeout)
        .outbox_bytes(1000)
        .build_peer()
        .expect("a channel");
    let mut events = peer.events();
    assert_eq!((peer.state(), peer.role()), (State::Initiated, Role::None));
    let socket = peer.connect();
    assert_eq!(peer.state(), State::Connecting);
    socket.send("accepted").await.expect("queued");
    let waiting = "y".repeat(1000);
    let (sent, received, flushed, joined) =
        tokio::join!(socket.send(waiting.clone()), socket.recv(), socket.flush(), peer.join());
    let refused = sent.expect_err("nobody hosts");
    assert_eq!(refused.message, waiting);
    let errors = [
        refused.error,
        received.expect_err("nobody hosts"),
        flushed.expect_err("nobody hosts"),
        joined.expect_err("nobody hosts"),
    ];
    for error in errors {
        match &error {
            Error::Timeout { name, after, .. } => {
                assert_eq!((name.as_str(), *after), ("conformance", timeout))
            }
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains("conformance"), "{error}");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
    assert_eq!((peer.state(), peer.connected()), (State::Closed, false));
    assert!(matches!(
        events.recv().await,
        Some(Event::Closed { error: Some(Error::Timeout { .. }), .. })
    ));
    assert!(matches!(socket.try_send("late").expect_err("over").error, Error::Timeout { .. }));

    let host = world.builder().build(|socket| async move {
        while let Ok(Some(message)) = socket.recv().await {
            let _ = socket.send(message.into_bytes()).await;
        }
    });
    let host = host.expect("a channel");
    host.join().await.expect("hosting");
    let again = peer.connect();
    again.send("hello").await.expect("accepted");
    assert_eq!(next(&again).await, "hello");
    assert_eq!(peer.state(), State::Connected);
}

async fn a_timeout_of_one_connect_may_differ(world: World) {
    let peer = world.builder().build_peer().expect("a channel");
    let socket = peer.connect_within(Duration::from_millis(30));
    assert!(matches!(
        socket.recv().await,
        Err(Error::Timeout { after, .. }) if after == Duration::from_millis(30)
    ));
}

async fn a_channel_that_takes_no_part_is_closed_with_an_event_too(world: World) {
    let unused = world.builder().build_peer().expect("a channel");
    let timed_out =
        world.builder().connect_timeout(Duration::from_millis(20)).build_peer().expect("a channel");
    timed_out.join().await.expect_err("nobody hosts");
    for channel in [unused, timed_out] {
        let mut events = channel.events();
        channel.close().await.expect("closed");
        channel.close().await.expect("closed already");
        assert!(matches!(events.recv().await, Some(Event::Closed { error: None, .. })));
        assert!(events.recv().await.is_none());
        assert!(channel.events().recv().await.is_none(), "it is closed already");
    }
}

async fn states_roles_and_events_follow_each_other(world: World) {
    let host = world
        .builder()
        .build(|socket| async move {
            let _ = socket.recv().await;
        })
        .expect("a channel");
    let mut events = host.events();
    assert_eq!((host.name(), host.state()), ("conformance", State::Initiated));
    assert_eq!((host.role(), host.generation(), host.connected()), (Role::None, 0, false));
    assert_eq!(host.join().await.expect("hosting"), Role::Host);
    assert_eq!((host.state(), host.role(), host.generation()), (State::Connected, Role::Host, 1));
    assert!(matches!(events.recv().await, Some(Event::BecameHost { generation: 1, .. })));
    assert!(matches!(
        events.recv().await,
        Some(Event::Connected { role: Role::Host, generation: 1, .. })
    ));

    let peer = world.builder().build_peer().expect("a channel");
    let mut peer_events = peer.events();
    assert_eq!(peer.join().await.expect("joined"), Role::Peer);
    assert_eq!((peer.state(), peer.role(), peer.generation()), (State::Connected, Role::Peer, 1));
    assert!(matches!(
        peer_events.recv().await,
        Some(Event::Connected { role: Role::Peer, generation: 1, .. })
    ));

    host.close().await.expect("closed");
    assert_eq!((host.state(), host.role(), host.generation()), (State::Closed, Role::None, 0));
    assert!(matches!(events.recv().await, Some(Event::Closed { error: None, .. })));
    assert!(events.recv().await.is_none(), "nothing comes after that");
    assert!(matches!(peer_events.recv().await, Some(Event::HandedOver { generation: 1, .. })));
    assert!(matches!(host.join().await, Err(Error::Closed)));

    let next = world.builder().build(|_| async {}).expect("a channel");
    assert_eq!(next.join().await.expect("hosting"), Role::Host);
    assert!(next.generation() > 1);
    assert!(matches!(
        peer_events.recv().await,
        Some(Event::Connected { role: Role::Peer, generation, .. })
            if generation == next.generation()
    ));
    peer.close().await.expect("closed");
    assert!(matches!(peer_events.recv().await, Some(Event::Closed { error: None, .. })));
}

async fn an_orderly_close_hands_over_to_a_waiting_peer(world: World) {
    if !world.joins_as_peer() {
        return;
    }
    let listener = |who: &'static str| {
        move |socket: open_channel::Socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                let answer = format!("{who}: {}", String::from_utf8_lossy(&message));
                let _ = socket.send(answer).await;
                message.ack();
            }
        }
    };
    let first = world.builder().build(listener("first")).expect("a channel");
    first.join().await.expect("hosting");
    let second = world.builder().build(listener("second")).expect("a channel");
    let mut events = second.events();
    let socket = second.connect();
    socket.send("a").await.expect("accepted");
    assert_eq!(next(&socket).await, "first: a");
    socket.flush().await.expect("handled");
    first.close().await.expect("closed");
    socket.send("b").await.expect("accepted");
    assert_eq!(next(&socket).await, "second: b");
    assert_eq!((second.role(), second.generation()), (Role::Host, 2));
    assert!(matches!(
        events.recv().await,
        Some(Event::Connected { role: Role::Peer, generation: 1, .. })
    ));
    assert!(matches!(events.recv().await, Some(Event::HandedOver { generation: 1, .. })));
    assert!(matches!(events.recv().await, Some(Event::BecameHost { generation: 2, .. })));
    assert!(matches!(
        events.recv().await,
        Some(Event::Connected { role: Role::Host, generation: 2, .. })
    ));
}

async fn settings_that_cannot_work_are_refused_by_name(world: World) {
    const OTHER_SYSTEMS: LinkKind = if cfg!(windows) { LinkKind::Unix } else { LinkKind::Pipe };
    type Spoil = fn(Builder) -> Builder;
    let wrong: [(&str, Spoil); 6] = [
        ("max_message", |builder| builder.max_message(0)),
        ("max_connections", |builder| builder.max_connections(0)),
        ("host_timeout", |builder| builder.host_timeout(Duration::from_millis(99))),
        ("connect_timeout", |builder| builder.connect_timeout(Duration::ZERO)),
        ("stall_after", |builder| builder.stall_after(Duration::ZERO)),
        ("link", |builder| builder.link(OTHER_SYSTEMS)),
    ];
    for (name, spoil) in wrong {
        for built in
            [spoil(world.builder()).build_peer(), spoil(world.builder()).build(|_| async {})]
        {
            match built {
                Err(Error::InvalidSetting { setting, .. }) => assert_eq!(setting, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    let tiny = world.builder().outbox_bytes(0).receive_window(0);
    let host = tiny.build(|socket| async move {
        while let Ok(Some(message)) = socket.recv().await {
            let _ = socket.send(message.into_bytes()).await;
        }
    });
    // No room for more than one message at a time, and still a channel.
    let socket = host.expect("a channel").connect();
    for number in 0..20 {
        socket.send(format!("{number}")).await.expect("accepted");
        assert_eq!(next(&socket).await, format!("{number}"));
    }
}

async fn settings_without_limits_work(world: World) {
    let endless = |builder: Builder| {
        builder
            .connect_timeout(Duration::MAX)
            .host_timeout(Duration::MAX)
            .resume_timeout(Duration::MAX)
            .outbox_bytes(usize::MAX)
            .receive_window(usize::MAX)
            .max_message(usize::MAX)
            .max_connections(usize::MAX)
    };
    let mut hosted = world.hosted_with(endless).await;
    for number in 0..3 {
        let (near, far) = hosted.connect().await;
        for (from, to) in [(&near, &far), (&far, &near)] {
            from.send(format!("{number}")).await.expect("accepted");
            assert_eq!(next(to).await, format!("{number}"));
            from.flush().await.expect("handled");
        }
        near.close().await.expect("closed");
    }
    hosted.channel.close().await.expect("closed");
}

async fn names_that_cannot_be_are_refused(_: World) {
    for name in [String::new(), "x".repeat(MAX_NAME + 1)] {
        match Channel::peer(name.clone()) {
            Err(Error::InvalidName { len, max, .. }) => {
                assert_eq!((len, max), (name.len(), MAX_NAME))
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn channels_of_other_names_and_scopes_do_not_meet(world: World) {
    let dir = tempfile::tempdir().expect("a directory");
    let build = |name: &str, scope: open_channel::Scope| {
        let builder = Channel::builder(name).runtime_dir(dir.path().join("run")).scope(scope);
        builder.link(world.link()).build(|_| async {}).expect("a channel")
    };
    let channels = [
        build("a", open_channel::Scope::User),
        build("b", open_channel::Scope::User),
        build("a", open_channel::Scope::App("one".into())),
        build("a", open_channel::Scope::App("two".into())),
    ];
    for channel in &channels {
        assert_eq!(channel.join().await.expect("hosting"), Role::Host);
    }
    let keys: std::collections::HashSet<_> = channels.iter().map(Channel::key).collect();
    assert_eq!(keys.len(), channels.len(), "what tells them apart");
    assert_eq!(*channels[2].scope(), open_channel::Scope::App("one".into()));
    let peer = build("a", open_channel::Scope::User);
    assert_eq!(peer.join().await.expect("joined"), Role::Peer);
    assert_eq!(peer.key(), channels[0].key());
}

async fn more_connections_than_allowed_are_refused_clearly(world: World) {
    let mut hosted = world.hosted_with(|builder| builder.max_connections(3)).await;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(hosted.connect().await);
    }
    let refused = hosted.channel.connect();
    for error in
        [refused.recv().await.err(), refused.send("unheard").await.err().map(|back| back.error)]
    {
        match error {
            Some(Error::Refused(reason)) => {
                assert!(reason.contains("max_connections") && reason.contains('3'), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    // No other socket has noticed.
    for (near, far) in &pairs {
        near.send("on").await.expect("accepted");
        assert_eq!(next(far).await, "on");
    }
    assert_eq!(hosted.channel.state(), State::Connected);
}

async fn a_connection_that_ends_makes_room_for_another(world: World) {
    let (_host, channel) = world
        .serve_with(
            |builder| builder.max_connections(1),
            |socket| async move {
                while let Ok(Some(message)) = socket.recv().await {
                    let _ = socket.send(message.into_bytes()).await;
                }
            },
        )
        .await;
    for number in 0..20 {
        // The host learns a moment later that the one before has ended.
        let socket = loop {
            let socket = channel.connect();
            if let Err(refused) = socket.try_send(format!("{number}")) {
                assert!(matches!(refused.error, Error::Refused(_)), "{refused:?}");
            }
            match socket.recv().await {
                Ok(answer) => {
                    assert_eq!(answer.expect("not the end").into_bytes(), format!("{number}"));
                    break socket;
                }
                Err(Error::Refused(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error:?}"),
            }
        };
        socket.close().await.expect("closed");
    }
}
