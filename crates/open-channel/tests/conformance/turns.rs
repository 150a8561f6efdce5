//! A socket that always has a message lets the other tasks of its thread run.

use open_channel::{Batch, Builder, Socket};

use crate::world::World;

/// More messages than a task's budget pays for.
const MANY: usize = 30_000;
/// The same in batches of a thousand.
const BATCHES: usize = 200;

on_every_link!(
    who_receives_lets_others_go_on,
    who_receives_batches_lets_others_go_on,
    who_sends_lets_others_go_on,
    who_sends_batches_lets_others_go_on,
    who_reserves_lets_others_go_on,
);

/// Everything fits, so that no call has to wait.
fn roomy(builder: Builder) -> Builder {
    builder.ring_bytes(16 << 20).outbox_bytes(128 << 20).receive_window(128 << 20)
}

fn thousand() -> Batch {
    std::iter::repeat_n(b"message", 1000).collect()
}

/// Runs both on one thread: whether a task that yields once runs again before `busy` is done.
async fn turn_beside<F: Future<Output = Socket> + 'static>(
    busy: impl FnOnce() -> F + Send + 'static,
) -> bool {
    let side_by_side = move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let busy = tokio::task::spawn_local(busy());
            tokio::task::yield_now().await;
            let early = !busy.is_finished();
            drop(busy.await.expect("no panic"));
            early
        })
    };
    tokio::task::spawn_blocking(side_by_side).await.expect("no panic")
}

async fn who_receives_lets_others_go_on(world: World) {
    let pair = world.pair_with(roomy).await;
    for _ in 0..MANY {
        pair.near.send_copy(b"message").await.expect("accepted");
    }
    let far = pair.far;
    let busy = move || async move {
        for _ in 0..MANY {
            far.recv().await.expect("open").expect("more").ack();
        }
        far
    };
    assert!(turn_beside(busy).await, "the others waited until there was nothing to receive");
}

async fn who_receives_batches_lets_others_go_on(world: World) {
    let pair = world.pair_with(roomy).await;
    for _ in 0..BATCHES {
        pair.near.send_many(&mut thousand()).await.expect("accepted");
    }
    let far = pair.far;
    let busy = move || async move {
        let mut received = 0;
        while received < BATCHES * 1000 {
            let messages = far.recv_many().await.expect("open").expect("more");
            received += messages.len();
            messages.ack();
        }
        far
    };
    assert!(turn_beside(busy).await, "the others waited until there was nothing to receive");
}

async fn who_sends_lets_others_go_on(world: World) {
    let pair = world.pair_with(roomy).await;
    let busy = move || async move {
        for _ in 0..MANY {
            pair.near.send_copy(b"message").await.expect("accepted");
        }
        pair.near
    };
    assert!(turn_beside(busy).await, "the others waited until there was nothing to send");
}

async fn who_sends_batches_lets_others_go_on(world: World) {
    let pair = world.pair_with(roomy).await;
    let busy = move || async move {
        for _ in 0..BATCHES {
            pair.near.send_many(&mut thousand()).await.expect("accepted");
        }
        pair.near
    };
    assert!(turn_beside(busy).await, "the others waited until there was nothing to send");
}

async fn who_reserves_lets_others_go_on(world: World) {
    let pair = world.pair_with(roomy).await;
    let busy = move || async move {
        for _ in 0..MANY {
            let mut reservation = pair.near.reserve(7).await.expect("room");
            reservation.append(b"message");
            reservation.commit().expect("accepted");
        }
        pair.near
    };
    assert!(turn_beside(busy).await, "the others waited until there was nothing to send");
}
