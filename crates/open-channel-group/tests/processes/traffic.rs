//! What goes on in an actor until it is stopped. Each thing is printed before it is done, so that
//! the test knows of it even if the process dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use open_channel_group::{Error, Group, Published};
use tokio::sync::watch;

use crate::say::say;
use crate::stage::ACTOR;

/// Whether its readers handle nothing, and what they hold then.
#[derive(Default)]
pub(crate) struct Stuck {
    pub(crate) on: AtomicBool,
    pub(crate) held: Mutex<Vec<Published>>,
}

fn label() -> String {
    std::env::var(ACTOR).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message is printed before it is handled.
pub(crate) async fn read(mut subscription: open_channel_group::Subscription, stuck: Arc<Stuck>) {
    while let Some(message) = subscription.recv().await {
        if message.interrupted() {
            say!("gap");
        }
        say!("got {} {}", message.missed(), text(&message));
        let mut held = stuck.held.lock().unwrap();
        if stuck.on.load(Ordering::SeqCst) {
            held.push(message);
        }
    }
    say!("read-all");
}

/// Publishes numbers, several of them under way at a time.
pub(crate) async fn publish(group: Group, topic: String, mut stop: watch::Receiver<bool>) {
    const UNDER_WAY: usize = 32;
    let mut under_way = FuturesOrdered::new();
    let mut number = 0_u64;
    loop {
        if !*stop.borrow() && under_way.len() < UNDER_WAY {
            number += 1;
            let (group, topic, label) = (group.clone(), topic.clone(), label());
            say!("publishing {number}");
            let mut publish = Box::pin(async move {
                (number, group.publish(&topic, format!("{label} {number}")).await)
            });
            // It is accepted in its turn.
            match futures::poll!(&mut publish) {
                std::task::Poll::Ready(published) => {
                    under_way.push_back(Box::pin(std::future::ready(published))
                        as futures::future::BoxFuture<'static, _>);
                }
                std::task::Poll::Pending => under_way.push_back(publish),
            }
            continue;
        }
        tokio::select! {
            Some((number, published)) = under_way.next() => match published {
                Ok(()) => say!("published {number}"),
                Err(Error::Left) => return say!("unpublished {number} Left"),
                Err(error) => say!("unpublished {number} {error:?}"),
            },
            _ = stop.changed(), if !*stop.borrow() => {}
            else => break,
        }
    }
    say!("streamed {number}");
}

pub(crate) async fn calls(group: Group, service: String, stop: watch::Receiver<bool>) {
    let mut number = 0_u64;
    while !*stop.borrow() {
        number += 1;
        let text = format!("{}/{number}", label());
        say!("calling {text}");
        match group.call(&service, text.clone()).await {
            Ok(answer) => {
                assert_eq!(answer, format!("re {text}"));
                say!("answer {text}");
            }
            Err(Error::NoSuchService) => {
                say!("no-answer {text} NoSuchService");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => {
                say!("no-answer {text} {error:?}");
                if matches!(error, Error::Left) {
                    return;
                }
            }
        }
    }
}

pub(crate) async fn locks(group: Group, name: String, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let guard = match group.lock(&name).await {
            Ok(guard) => guard,
            Err(error) => return say!("no-lock {error:?}"),
        };
        say!("held {name} {}", guard.token().number());
        tokio::time::sleep(Duration::from_micros(500)).await;
        say!("free {name} {}", guard.token().number());
        drop(guard);
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn work(mut worker: open_channel_group::Worker, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            job = worker.recv() => {
                let Some(job) = job else { return };
                say!("run {} {}", job.attempt(), text(job.payload()));
                if job.attempt() == 1 && job.number() % 7 == 0 {
                    job.nak_after(Duration::from_millis(3));
                    continue;
                }
                say!("ack {} {}", job.attempt(), text(job.payload()));
                job.ack();
            }
            _ = stop.changed() => return,
        }
    }
}

pub(crate) async fn pushes(group: Group, queue: String, stop: watch::Receiver<bool>) {
    let queue = group.queue(&queue).unwrap();
    let mut number = 0_u64;
    while !*stop.borrow() {
        let mut under_way = Vec::new();
        for _ in 0..4 {
            number += 1;
            let text = format!("{}/{number}", label());
            say!("pushing {text}");
            let queue = queue.clone();
            under_way.push(async move {
                match queue.push(text.clone()).await {
                    Ok(()) => say!("done {text}"),
                    Err(error) => {
                        say!("not-done {text} {error:?}");
                        return matches!(error, Error::Left);
                    }
                }
                false
            });
        }
        if futures::future::join_all(under_way).await.contains(&true) {
            return;
        }
    }
}

pub(crate) async fn counts(group: Group, key: String, stop: watch::Receiver<bool>) {
    let map = group.map("m").unwrap();
    let mut last = 0;
    while !*stop.borrow() {
        say!("counting");
        match map.increment(&key, 1).await {
            Ok(number) => {
                // It may be out of the view by now.
                match map.get(&key) {
                    Err(Error::Out | Error::Left) => {}
                    value => {
                        let read = text(&value.unwrap().unwrap()).parse::<i64>().unwrap();
                        assert!(read >= number && number > last, "{read} {number} {last}");
                    }
                }
                last = number;
                say!("counted {number}");
            }
            Err(Error::Left) => return say!("uncounted"),
            Err(error) => say!("uncounted {error:?}"),
        }
    }
}
