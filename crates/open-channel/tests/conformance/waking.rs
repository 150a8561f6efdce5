//! No call sleeps for ever, with any other waiter on its socket and any kind of wait: sent messages
//! arrive, and handled ones are acknowledged.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use open_channel::{Batch, Error, Socket};

use crate::world::{World, next, pattern, poll_once};

on_every_link!(
    what_waits_in_the_outbox_goes_out_whoever_else_waits,
    the_end_gets_through_a_full_link_beside_any_waiter,
    a_flush_ends_whoever_else_waits,
    a_flush_ends_behind_a_reservation,
    what_came_together_wakes_everybody_who_waits,
);

/// Long enough not to depend on the machine's speed.
// Wine passes bytes on slowly.
const FOR_EVER: Duration = Duration::from_secs(if cfg!(windows) { 60 } else { 10 });
const ROUNDS: usize = if cfg!(windows) { 20 } else { 60 };

/// The other waiter on the sending socket.
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
            // It may have been cancelled or have seen the end.
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

/// Sends until the outbox is full, one by one or in batches; returns the number of accepted
/// messages.
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

async fn the_end_gets_through_a_full_link_beside_any_waiter(world: World) {
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
                flushed
                    .unwrap_or_else(|_| panic!("round {round}, {other:?}: the flush does not end"))
            };
            let (flushed, ()): (Result<(), Error>, ()) =
                tokio::join!(flushed, receive(&pair.far, sent, "while flushing"));
            flushed.expect("handled");
        })
        .await;
    }
}

async fn a_flush_ends_behind_a_reservation(world: World) {
    let pair = world.pair().await;
    let near = Arc::new(pair.near);
    for _ in 0..ROUNDS {
        let reservation = near.reserve(10).await.expect("room");
        near.send("behind").await.expect("accepted");
        let (parked, mut waits) = tokio::sync::mpsc::unbounded_channel();
        let flushing = Arc::clone(&near);
        let mut flush = Box::pin(async move { flushing.flush().await });
        let flush = tokio::spawn(poll_fn(move |cx| {
            let polled = flush.as_mut().poll(cx);
            parked.send(()).expect("the test goes on");
            polled
        }));
        waits.recv().await.expect("it is polled");
        reservation.commit().expect("accepted");
        receive(&pair.far, 2, "behind a reservation").await;
        let flushed = tokio::time::timeout(FOR_EVER, flush).await;
        flushed.expect("it ends").expect("no panic").expect("handled");
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One call waits on a thread without a runtime, and cannot watch the link. Another takes the first
/// of two messages.
async fn what_came_together_wakes_everybody_who_waits(world: World) {
    let pair = world.pair().await;
    let (near, far) = (pair.near, pair.far);
    let rounds = move || {
        for round in 0..ROUNDS {
            let flag = Arc::new(Flag::default());
            let waker = Waker::from(Arc::clone(&flag));
            let mut waiting = pin!(far.recv());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let mut batch: Batch = ["one", "two"].iter().collect();
            let sent =
                pin!(near.send_many(&mut batch)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(sent.is_ready(), "there is room");
            let first = take(&far);
            let started = Instant::now();
            while !flag.0.load(Ordering::SeqCst) {
                assert!(
                    started.elapsed() < FOR_EVER,
                    "round {round}: nobody is woken for the second message"
                );
                std::thread::yield_now();
            }
            let second = waiting.as_mut().poll(&mut Context::from_waker(&waker));
            let Poll::Ready(Ok(Some(second))) = second else {
                panic!("round {round}: it was woken for nothing")
            };
            first.ack();
            second.ack();
        }
    };
    let thread = std::thread::spawn(rounds);
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    thread.join().expect("every round");
}

/// The first message, as soon as it is there.
fn take(socket: &Socket) -> open_channel::Message {
    let started = Instant::now();
    loop {
        let received = pin!(socket.recv()).poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(message) = received {
            return message.expect("a message").expect("not the end");
        }
        assert!(started.elapsed() < FOR_EVER, "the first message does not come");
    }
}
