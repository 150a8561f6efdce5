//! The identity of the other side, and many of them.

use open_channel::{Channel, UserId};

use crate::world::{World, next};

on_every_link!(the_kernel_names_the_process_on_the_other_side, five_hundred_sockets_in_one_process);

async fn the_kernel_names_the_process_on_the_other_side(world: World) {
    let pair = world.pair().await;
    for socket in [&pair.near, &pair.far] {
        let peer = socket.peer().expect("connected");
        assert_eq!(peer.process_id(), Some(std::process::id()));
        assert_eq!(*peer.user(), UserId::current());
        #[cfg(unix)]
        assert_eq!(peer.user().as_uid(), rustix::process::geteuid().as_raw());
        assert_eq!(socket.link(), Some(world.link()));
        assert_eq!(socket.generation(), 1);
    }
    // Nobody hosts there, so that no connection can come in between.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let nobody = Channel::builder("nobody").runtime_dir(elsewhere.path().join("channels"));
    let stranger = nobody.build_peer().expect("a channel").connect();
    assert_eq!((stranger.peer(), stranger.generation()), (None, 0));
    stranger.destroy();
    assert_eq!((stranger.peer(), stranger.generation()), (None, 0));
}

async fn five_hundred_sockets_in_one_process(world: World) {
    // Under Wine, so many connections take longer than the connect timeout.
    const SOCKETS: usize = if cfg!(windows) { 50 } else { 500 };
    let (_host, channel) = world
        .serve(|socket| async move {
            while let Ok(Some(message)) = socket.recv().await {
                let _ = socket.send(message.into_bytes()).await;
            }
        })
        .await;
    let sockets: Vec<_> = (0..SOCKETS).map(|_| channel.connect()).collect();
    for round in 0..3 {
        for (number, socket) in sockets.iter().enumerate() {
            socket.send(format!("{number} {round}")).await.expect("accepted");
        }
        for (number, socket) in sockets.iter().enumerate() {
            assert_eq!(next(socket).await, format!("{number} {round}"));
        }
    }
    futures::future::join_all(sockets.iter().map(|socket| socket.close()))
        .await
        .into_iter()
        .for_each(|closed| closed.expect("everything was handled"));
}
