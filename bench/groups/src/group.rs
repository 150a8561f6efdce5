//! A group of open-channel, with its defaults.

use std::convert::Infallible;
use std::num::NonZeroU32;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use open_channel_group::Group;

use crate::control::{self, Results};
use crate::task::{PACE, Received, Role, Task, WINDOW, message, read};

const CAPACITY: NonZeroU32 = NonZeroU32::new(16).expect("is not zero");

pub(crate) async fn work(task: &Task) -> Result<Results> {
    let group = Group::builder("bench").runtime_dir(&task.place).join().await?;
    let results = act(&group, task).await?;
    if task.role.serves() { Ok(results) } else { leave(&group, results).await }
}

async fn leave(group: &Group, results: Results) -> Result<Results> {
    group.close().await?;
    Ok(results)
}

async fn act(group: &Group, task: &Task) -> Result<Results> {
    match task.role {
        Role::Publisher => publish(group, task).await,
        Role::Subscriber => subscribe(group, task).await,
        Role::Caller => call(group, task).await,
        Role::Server => {
            let _service = group
                .serve("echo", |call| async move { Ok::<_, Infallible>(call.payload) })
                .await?;
            serve().await
        }
        Role::Locker => lock(group, task).await,
        Role::Pusher => push(group, task).await,
        Role::QueueWorker => {
            let done = |job: open_channel_group::Task| async move { read(&job.payload).map(drop) };
            let _worker = group.queue("jobs")?.process(CAPACITY, done).await?;
            serve().await
        }
        Role::Incrementer => increment(group, task).await,
    }
}

/// Until this process is killed.
async fn serve() -> Result<Results> {
    tokio::task::spawn_blocking(control::ready).await??;
    std::future::pending().await
}

async fn publish(group: &Group, task: &Task) -> Result<Results> {
    control::ready()?;
    if task.is_paced() {
        for number in 0..task.count {
            tokio::time::sleep(PACE).await;
            group.publish("news", message(number)).await?;
        }
        return Ok(Results::of(Vec::new()));
    }
    let mut under_way = FuturesOrdered::new();
    for number in 0..task.count {
        if under_way.len() == WINDOW {
            under_way.next().await.context("there are some")??;
        }
        under_way.push_back(group.publish("news", message(number)));
    }
    while let Some(published) = under_way.next().await {
        published?;
    }
    Ok(Results::of(Vec::new()))
}

async fn subscribe(group: &Group, task: &Task) -> Result<Results> {
    let mut news = group.subscribe("news").await?;
    control::ready()?;
    let mut received = Received::default();
    while let Some(publication) = news.recv().await {
        if received.take(publication.payload(), task)? {
            return Ok(received.results());
        }
    }
    bail!("the group ended")
}

async fn call(group: &Group, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut times = Vec::new();
    for number in 0..task.count {
        let begin = control::now();
        let answer = group.call("echo", message(number)).await?;
        times.push((control::now() - begin).try_into().unwrap_or(u32::MAX));
        if read(&answer)?.0 != number {
            bail!("the answer to another call");
        }
    }
    Ok(Results::of(times))
}

async fn lock(group: &Group, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut last = None;
    for _ in 0..task.count {
        let guard = group.lock("one").await?;
        let token = Some(guard.token());
        if token <= last {
            bail!("a token that did not grow");
        }
        last = token;
    }
    Ok(Results::of(Vec::new()))
}

async fn push(group: &Group, task: &Task) -> Result<Results> {
    control::ready()?;
    let queue = group.queue("jobs")?;
    let mut under_way = FuturesOrdered::new();
    for number in 0..task.count {
        if under_way.len() == WINDOW {
            under_way.next().await.context("there are some")??;
        }
        under_way.push_back(queue.push(message(number)));
    }
    while let Some(done) = under_way.next().await {
        done?;
    }
    Ok(Results::of(Vec::new()))
}

async fn increment(group: &Group, task: &Task) -> Result<Results> {
    let map = group.map("numbers")?;
    control::ready()?;
    let mut last = 0;
    for _ in 0..task.count {
        let value = map.increment("hits", 1).await?;
        if value <= last {
            bail!("a number that did not grow");
        }
        last = value;
    }
    let most = i64::try_from(task.count * task.alike)?;
    if last > most {
        bail!("{last} of {most} increments");
    }
    Ok(Results::of(Vec::new()))
}
