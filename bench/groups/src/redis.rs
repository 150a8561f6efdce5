//! Redis: PUBLISH and SUBSCRIBE, lists for requests, jobs and a lock's one token, INCR.
//!
//! The lock is the quickest that Redis offers: a list with one token, which BLPOP waits for. It is
//! lost with a holder that dies. The usual way (SET NX with an expiry, tried again after a pause)
//! survives that, and is slower.

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncCommands, Client, Direction};
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;

use crate::control::{self, Results};
use crate::task::{PACE, Received, Role, Task, WINDOW, message, read};

const FOREVER: f64 = 0.0;

pub(crate) async fn work(task: &Task) -> Result<Results> {
    let client = Client::open(format!("redis://{}/", task.place))?;
    let config = ::redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut redis = client.get_multiplexed_async_connection_with_config(&config).await?;
    match task.role {
        Role::Publisher => publish(&mut redis, task).await,
        Role::Subscriber => subscribe(&client, task).await,
        Role::Caller => call(&mut redis, task).await,
        Role::Server => serve(&mut redis).await,
        Role::Locker => lock(&mut redis, task).await,
        Role::Pusher => push(&mut redis, task).await,
        Role::QueueWorker => do_jobs(&mut redis).await,
        Role::Incrementer => increment(&mut redis, task).await,
    }
}

async fn publish(redis: &mut MultiplexedConnection, task: &Task) -> Result<Results> {
    control::ready()?;
    if task.is_paced() {
        for number in 0..task.count {
            tokio::time::sleep(PACE).await;
            redis.publish::<_, _, ()>("news", &message(number)[..]).await?;
        }
        return Ok(Results::of(Vec::new()));
    }
    let mut number = 0;
    while number < task.count {
        let end = task.count.min(number + WINDOW as u64);
        let mut pipeline = ::redis::pipe();
        (number..end).for_each(|number| {
            pipeline.publish("news", &message(number)[..]).ignore();
        });
        pipeline.query_async::<()>(redis).await?;
        number = end;
    }
    Ok(Results::of(Vec::new()))
}

async fn subscribe(client: &Client, task: &Task) -> Result<Results> {
    let mut news = client.get_async_pubsub().await?;
    news.subscribe("news").await?;
    control::ready()?;
    let (mut news, mut received) = (news.into_on_message(), Received::default());
    while let Some(publication) = news.next().await {
        if received.take(publication.get_payload_bytes(), task)? {
            return Ok(received.results());
        }
    }
    bail!("the connection ended")
}

async fn call(redis: &mut MultiplexedConnection, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut times = Vec::new();
    for number in 0..task.count {
        let begin = control::now();
        redis.lpush::<_, _, ()>("calls", &message(number)[..]).await?;
        let (_, answer): (String, Vec<u8>) = redis.blpop("answers", FOREVER).await?;
        times.push((control::now() - begin).try_into().unwrap_or(u32::MAX));
        if read(&answer)?.0 != number {
            bail!("the answer to another call");
        }
    }
    Ok(Results::of(times))
}

async fn serve(redis: &mut MultiplexedConnection) -> Result<Results> {
    tokio::task::spawn_blocking(control::ready).await??;
    loop {
        let (_, call): (String, Vec<u8>) = redis.blpop("calls", FOREVER).await?;
        redis.lpush::<_, _, ()>("answers", call).await?;
    }
}

async fn lock(redis: &mut MultiplexedConnection, task: &Task) -> Result<Results> {
    // The first of these processes makes the token.
    if redis.set_nx("made", 1).await? {
        redis.rpush::<_, _, ()>("lock", "token").await?;
    }
    control::ready()?;
    for _ in 0..task.count {
        let (_, token): (String, String) = redis.blpop("lock", FOREVER).await?;
        redis.rpush::<_, _, ()>("lock", token).await?;
    }
    Ok(Results::of(Vec::new()))
}

async fn push(redis: &mut MultiplexedConnection, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut number = 0;
    while number < task.count {
        let end = task.count.min(number + WINDOW as u64);
        let mut pipeline = ::redis::pipe();
        (number..end).for_each(|number| {
            pipeline.lpush("jobs", &message(number)[..]).ignore();
        });
        pipeline.query_async::<()>(redis).await?;
        number = end;
    }
    // Redis does not tell a pusher that its jobs are done.
    while redis.get::<_, Option<u64>>("done").await?.unwrap_or(0) < task.count {
        tokio::time::sleep(PACE).await;
    }
    Ok(Results::of(Vec::new()))
}

/// With the usual way to lose no job whose worker dies: it waits in a second list meanwhile.
async fn do_jobs(redis: &mut MultiplexedConnection) -> Result<Results> {
    tokio::task::spawn_blocking(control::ready).await??;
    let busy = format!("busy-{}", std::process::id());
    loop {
        let job: Vec<u8> =
            redis.blmove("jobs", &busy, Direction::Right, Direction::Left, FOREVER).await?;
        read(&job)?;
        ::redis::pipe()
            .lrem(&busy, 1, job)
            .ignore()
            .incr("done", 1)
            .ignore()
            .query_async::<()>(redis)
            .await?;
    }
}

async fn increment(redis: &mut MultiplexedConnection, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut last: u64 = 0;
    for _ in 0..task.count {
        last = redis.incr("hits", 1).await.context("no increment")?;
    }
    if last > task.count * task.alike {
        bail!("{last} increments");
    }
    Ok(Results::of(Vec::new()))
}
