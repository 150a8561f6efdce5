//! NATS: subjects and requests; a work queue of JetStream; its key-value store for lock and map.
//! All streams are kept in memory.

use anyhow::{Context, Result, bail};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::kv::{CreateErrorKind, Store};
use async_nats::jetstream::stream::{RetentionPolicy, StorageType};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::control::{self, Results};
use crate::task::{PACE, Received, Role, Task, WINDOW, message, read};

pub(crate) async fn work(task: &Task) -> Result<Results> {
    let client = async_nats::connect(&task.place).await?;
    match task.role {
        Role::Publisher => publish(&client, task).await,
        Role::Subscriber => subscribe(&client, task).await,
        Role::Caller => call(&client, task).await,
        Role::Server => serve(&client).await,
        Role::Locker => lock(&store(&client).await?, task).await,
        Role::Pusher => push(&client, task).await,
        Role::QueueWorker => do_jobs(&client).await,
        Role::Incrementer => increment(&store(&client).await?, task).await,
    }
}

async fn publish(client: &Client, task: &Task) -> Result<Results> {
    control::ready()?;
    for number in 0..task.count {
        if task.is_paced() {
            tokio::time::sleep(PACE).await;
        }
        client.publish("news", message(number)).await?;
        if task.is_paced() {
            client.flush().await?;
        }
    }
    client.flush().await?;
    Ok(Results::of(Vec::new()))
}

async fn subscribe(client: &Client, task: &Task) -> Result<Results> {
    let mut news = client.subscribe("news").await?;
    client.flush().await?;
    control::ready()?;
    let mut received = Received::default();
    while let Some(publication) = news.next().await {
        if received.take(&publication.payload, task)? {
            return Ok(received.results());
        }
    }
    bail!("the connection ended")
}

async fn call(client: &Client, task: &Task) -> Result<Results> {
    control::ready()?;
    let mut times = Vec::new();
    for number in 0..task.count {
        let begin = control::now();
        let answer = client.request("echo", message(number)).await?;
        times.push((control::now() - begin).try_into().unwrap_or(u32::MAX));
        if read(&answer.payload)?.0 != number {
            bail!("the answer to another call");
        }
    }
    Ok(Results::of(times))
}

async fn serve(client: &Client) -> Result<Results> {
    let mut calls = client.subscribe("echo").await?;
    client.flush().await?;
    tokio::task::spawn_blocking(control::ready).await??;
    while let Some(call) = calls.next().await {
        let reply = call.reply.context("a call without a place for its answer")?;
        client.publish(reply, call.payload).await?;
    }
    bail!("the connection ended")
}

/// Made as a stream, because this client does not understand what servers before 2.10 answer when
/// it makes a bucket.
async fn store(client: &Client) -> Result<Store> {
    let config = jetstream::stream::Config {
        name: "KV_bench".into(),
        subjects: vec!["$KV.bench.>".into()],
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        discard: jetstream::stream::DiscardPolicy::New,
        storage: StorageType::Memory,
        ..jetstream::stream::Config::default()
    };
    let jetstream = jetstream::new(client.clone());
    jetstream.get_or_create_stream(config).await?;
    Ok(jetstream.get_key_value("bench").await?)
}

/// NATS has no line to wait in: a lock that is taken is tried again.
async fn lock(store: &Store, task: &Task) -> Result<Results> {
    control::ready()?;
    for _ in 0..task.count {
        loop {
            match store.create("lock", "held".into()).await {
                Ok(_) => break,
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                    tokio::time::sleep(PACE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        store.delete("lock").await?;
    }
    Ok(Results::of(Vec::new()))
}

async fn jobs(client: &Client) -> Result<jetstream::stream::Stream> {
    let config = jetstream::stream::Config {
        name: "jobs".into(),
        subjects: vec!["jobs".into()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::Memory,
        ..jetstream::stream::Config::default()
    };
    Ok(jetstream::new(client.clone()).get_or_create_stream(config).await?)
}

async fn push(client: &Client, task: &Task) -> Result<Results> {
    let mut stream = jobs(client).await?;
    let jetstream = jetstream::new(client.clone());
    control::ready()?;
    let mut under_way = FuturesOrdered::new();
    for number in 0..task.count {
        if under_way.len() == WINDOW {
            under_way.next().await.context("there are some")??;
        }
        under_way.push_back(jetstream.publish("jobs", message(number)).await?.into_future());
    }
    while let Some(stored) = under_way.next().await {
        stored?;
    }
    // JetStream does not tell a pusher that its jobs are done.
    while stream.info().await?.state.messages > 0 {
        tokio::time::sleep(PACE).await;
    }
    Ok(Results::of(Vec::new()))
}

async fn do_jobs(client: &Client) -> Result<Results> {
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("workers".into()),
        ..jetstream::consumer::pull::Config::default()
    };
    let consumer = jobs(client).await?.get_or_create_consumer("workers", config).await?;
    let mut messages = consumer.messages().await?;
    tokio::task::spawn_blocking(control::ready).await??;
    while let Some(job) = messages.next().await {
        let job = job?;
        read(&job.payload)?;
        job.ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    bail!("the connection ended")
}

/// NATS has no increment: the value is read, and written if nobody else has written meanwhile.
async fn increment(store: &Store, task: &Task) -> Result<Results> {
    control::ready()?;
    for _ in 0..task.count {
        loop {
            let (value, revision) = match store.entry("hits").await? {
                Some(entry) => (std::str::from_utf8(&entry.value)?.parse()?, entry.revision),
                None => (0_u64, 0),
            };
            let next = (value + 1).to_string();
            if store.update("hits", next.into(), revision).await.is_ok() {
                break;
            }
        }
    }
    Ok(Results::of(Vec::new()))
}
