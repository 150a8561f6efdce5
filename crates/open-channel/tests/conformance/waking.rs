//! Nobody sleeps for ever: whatever else waits on a socket, and however it waits, what was sent arrives, and what was
//! handled is acknowledged.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use open_channel::{Batch, Error, Socket};

use crate::world::{World, next, pattern, poll_once};

on_every_link!(
    what_waits_in_the_outbox_goes_out_whoever_else_waits,
    the_end_gets_through_a_full_link_whoever_else_waits,
    a_flush_ends_whoever_else_waits,
);

/// Long enough to be no matter of the machine's speed.
const FOR_EVER: Duration = Duration::from_secs(10);
const ROUNDS: usize = 60;

/// Who else waits on the sending socket.
#[derive(Debug, Clone, Copy)]
enum Other {
    Nobody,
    /// A task that waits for messages.
    Task,
    /// A call that waits for messages, was polled once, and then left alone.
    LeftAlone,
    /// A task that waits for everything to be acknowledged.
    Flush,
}

const OTHERS: [Other; 4] = [Other::Nobody, Other::Task, Other::LeftAlone, Other::Flush];

/// Runs `round` while the other one waits.
async fn beside<F: Future>(other: Other, socket: &Arc<Socket>, round: F) -> F::Output {
    let waiting = Arc::clone(socket);
    match other {
        Other::Nobody => round.await,
        Other::Task => {
            let task = tokio::spawn(async move { waiting.recv().await.map(drop) });
            let output = round.await;
            task.abort();
            // Whether it was cancelled or has seen the end is no matter here.
            drop(task.await);
            output
        }
        Other::LeftAlone => {
            let mut call: Pin<Box<dyn Future<Output = _>>> = Box::pin(waiting.recv());
            assert!(poll_once(call.as_mut()).await.is_pending());
            round.await
        }
        Other::Flush => {
            let task = tokio::spawn(async move { waiting.flush().await });
            let output = round.await;
            task.abort();
            drop(task.await);
            output
        }
    }
}

/// Sends until nothing more is accepted, one by one or in batches; returns how many messages were accepted.
async fn fill(socket: &Socket, round: usize) -> usize {
    let message = bytes::Bytes::from(pattern(200 + 37 * round, round));
    if round.is_multiple_of(2) {
        return (0..).take_while(|_| socket.try_send(message.clone()).is_ok()).count();
    }
    let mut batch: Batch = std::iter::repeat_n(&message, 20_000).collect();
    {
        let mut sending = pin!(socket.send_many(&mut batch));
        assert!(poll_once(sending.as_mut()).await.is_pending());
    }
    20_000 - batch.len()
}

async fn receive(socket: &Socket, count: usize, what: &str) {
    for number in 0..count {
        let message = tokio::time::timeout(FOR_EVER, next(socket)).await;
        assert!(message.is_ok(), "{what}: message {number} of {count} does not come");
    }
}

async fn what_waits_in_the_outbox_goes_out_whoever_else_waits(world: World) {
    let pair = world.pair().await;
    let near = Arc::new(pair.near);
    for round in 0..ROUNDS {
        let other = OTHERS[round % OTHERS.len()];
        beside(other, &near, async {
            let sent = fill(&near, round / OTHERS.len()).await;
            receive(&pair.far, sent, &format!("round {round}, {other:?}")).await;
        })
        .await;
    }
}

async fn the_end_gets_through_a_full_link_whoever_else_waits(world: World) {
    let mut hosted = world.hosted().await;
    for (round, other) in OTHERS.into_iter().cycle().enumerate().take(ROUNDS) {
        let (near, far) = hosted.connect().await;
        let near = Arc::new(near);
        beside(other, &near, async {
            let sent = fill(&near, round / OTHERS.len()).await;
            near.finish().expect("open");
            let what = format!("round {round}, {other:?}");
            receive(&far, sent, &what).await;
            let end = tokio::time::timeout(FOR_EVER, far.recv()).await.expect(&what);
            assert!(end.expect("the end").is_none());
        })
        .await;
    }
}

async fn a_flush_ends_whoever_else_waits(world: World) {
    let pair = world.pair().await;
    let near = Arc::new(pair.near);
    for (round, other) in OTHERS.into_iter().cycle().enumerate().take(ROUNDS) {
        beside(other, &near, async {
            let sent = fill(&near, round / OTHERS.len()).await;
            let flushed = async {
                let flushed = tokio::time::timeout(FOR_EVER, near.flush()).await;
                flushed.unwrap_or_else(|_| panic!("round {round}, {other:?}: the flush does not end"))
            };
            let (flushed, ()): (Result<(), Error>, ()) =
                tokio::join!(flushed, receive(&pair.far, sent, "while flushing"));
            flushed.expect("handled");
        })
        .await;
    }
}
