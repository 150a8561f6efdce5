//! The loops that host and peer run, the same for every subject.

use crate::clock;
use crate::control::{self, say};
use crate::job::{Job, Line, Side, Task};
use crate::payload::Payload;
use crate::stats::percentile;
use crate::tally::Tally;
use crate::transport::{Endpoint, Runtime, Transport, ready};
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::time::Duration;

/// The clock is looked at once per this many bytes or messages, so that it costs nothing.
const BYTES_PER_LOOK: usize = 64 * 1024;
/// One of many peers may not send much more than what is counted from one look to the next.
const BYTES_PER_LOOK_OF_MANY: usize = 4 * 1024;

/// Before a paced round trip: many times longer than anything spins before it goes to sleep.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn tokio_runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

pub(crate) fn run<T: Transport + 'static>(job: &Job) -> Result<()> {
    match (T::RUNTIME, job.task) {
        (Runtime::Blocking, _) => ready(work::<T>(job))?,
        // Two ends that talk: no set of local tasks between them and the runtime.
        (Runtime::Tokio, task) if task.is_of_a_pair() => tokio_runtime()?.block_on(work::<T>(job)),
        // As servers are run: a worker for each core.
        (Runtime::Tokio, Task::FanIn) if job.side == Side::Host => {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(work::<T>(job))
        }
        (Runtime::Tokio, _) => {
            tokio::task::LocalSet::new().block_on(&tokio_runtime()?, work::<T>(job))
        }
    }
}

async fn work<T: Transport>(job: &Job) -> Result<()> {
    match (job.task, job.side) {
        (task, Side::Host) if task.is_of_a_pair() => serve::<T>(job).await?,
        (Task::OneWay, Side::Peer) => pour::<T>(job).await?,
        (task, Side::Peer) if task.is_of_a_pair() => ask::<T>(job).await?,
        (Task::Connect, Side::Host) => {
            let mut host = T::host(job).await?;
            say(&Line::Ready);
            echo(&mut host.accept().await?).await?;
        }
        (Task::Connect, Side::Peer) => {
            let start = clock::now();
            let mut endpoint = T::connect(job).await?;
            endpoint.confirmed(Payload::new(job.len, 0).last()).await?;
            say(&Line::Connected { nanos: clock::now() - start });
        }
        (Task::ConnectFirst, _) => {
            let start = clock::now();
            T::connect_first(job).await?;
            say(&Line::Connected { nanos: clock::now() - start });
        }
        (Task::FanIn | Task::Hold, Side::Host) => {
            let host = T::host(job).await?;
            say(&Line::Ready);
            host.receive_all(Arc::new(Tally::new(job.connections))).await?;
        }
        (Task::FanIn, Side::Peer) => return join_in::<T>(job).await,
        (Task::Hold, Side::Peer) => {
            let mut endpoints = T::connect_many(job, job.connections).await?;
            for (from, endpoint) in (job.index..).zip(&mut endpoints) {
                endpoint.send(Payload::new(job.len, 0).from(from)).await?;
            }
            return hold::<T>(endpoints).await;
        }
        (task, _) => anyhow::bail!("{task:?} is not measured with these loops"),
    }
    // The last message may still be on its way out: the controller says when to go.
    hold::<T>(()).await
}

async fn hold<T: Transport>(_kept: impl Sized) -> Result<()> {
    match T::RUNTIME {
        Runtime::Tokio => std::future::pending().await,
        Runtime::Blocking => loop {
            std::thread::park();
        },
    }
}

/// Host of the two-process measurements. Three phases, each ended by a message that says so: one
/// message to get acquainted (some subjects drop what is sent before), one to warm up, one that
/// counts.
async fn serve<T: Transport>(job: &Job) -> Result<()> {
    let mut host = T::host(job).await?;
    say(&Line::Ready);
    let mut endpoint = host.accept().await?;
    let mut served = None;
    for _phase in 0..3 {
        let cpu = clock::cpu();
        let messages = match job.task {
            Task::OneWay => sink(&mut endpoint).await?,
            _ => echo(&mut endpoint).await?,
        };
        served = Some(Line::Served { messages, cpu_nanos: clock::cpu() - cpu });
    }
    served.iter().for_each(say);
    // Not dropped before the controller says so: what was sent last may still lie in a buffer.
    hold::<T>((host, endpoint)).await
}

/// Answers every message with its like until the last one.
pub(crate) async fn echo<E: Endpoint>(endpoint: &mut E) -> Result<u64> {
    for number in 0.. {
        let payload = endpoint.answer().await?;
        ensure!(
            payload.number() == number,
            "message {} came when {number} was due",
            payload.number()
        );
        if payload.is_last() {
            return Ok(number + 1);
        }
    }
    Ok(0)
}

/// Receives in order and answers only the last message.
async fn sink<E: Endpoint>(endpoint: &mut E) -> Result<u64> {
    let (mut number, mut last) = (0, None);
    loop {
        let take = |payload: Payload| {
            ensure!(
                payload.number() == number,
                "message {} came when {number} was due",
                payload.number()
            );
            ensure!(last.is_none(), "message {number} came after the last");
            number += 1;
            last = payload.is_last().then_some(payload);
            Ok(())
        };
        endpoint.recv_some(take).await?;
        if let Some(payload) = last {
            endpoint.send(payload).await?;
            return Ok(number);
        }
    }
}

async fn ask<T: Transport>(job: &Job) -> Result<()> {
    let mut endpoint = T::connect(job).await?;
    let pause = if job.task == Task::PacedRoundTrip { PAUSE } else { Duration::ZERO };
    let phase = |millis, trips| Phase { millis, trips, pause };
    round_trips::<T>(&mut endpoint, job.len, phase(0, 0)).await?;
    round_trips::<T>(&mut endpoint, job.len, phase(job.millis / 4, 0)).await?;
    say_link(&endpoint);
    if job.task == Task::CountedRoundTrips {
        say(&Line::Settled);
        control::go().await?;
    }
    let cpu = clock::cpu();
    let mut nanos = round_trips::<T>(&mut endpoint, job.len, phase(job.millis, job.trips)).await?;
    let cpu_nanos = clock::cpu() - cpu;
    nanos.sort_unstable();
    say(&Line::RoundTrip {
        p50: percentile(&nanos, 0.5),
        p99: percentile(&nanos, 0.99),
        p999: percentile(&nanos, 0.999),
        messages: nanos.len() as u64,
        cpu_nanos,
    });
    hold::<T>(endpoint).await
}

/// Round trips until both have passed: so much time, and so many of them.
struct Phase {
    millis: u64,
    trips: u64,
    pause: Duration,
}

async fn round_trips<T: Transport>(
    endpoint: &mut T::Endpoint,
    len: usize,
    phase: Phase,
) -> Result<Vec<u32>> {
    let mut nanos = Vec::with_capacity(1 << 20);
    let mut before = clock::now();
    let deadline = before + phase.millis * 1_000_000;
    for number in 0.. {
        if !phase.pause.is_zero() {
            rest::<T>(phase.pause).await;
            before = clock::now();
        }
        let mut payload = Payload::new(len, number);
        if before >= deadline && number + 1 >= phase.trips {
            payload = payload.last();
        }
        endpoint.send(payload).await?;
        let answer = endpoint.recv().await?;
        ensure!(answer == payload, "sent {payload:?}, got {answer:?} back");
        let after = clock::now();
        nanos.push(u32::try_from(after - before).unwrap_or(u32::MAX));
        before = after;
        if payload.is_last() {
            break;
        }
    }
    Ok(nanos)
}

async fn rest<T: Transport>(pause: Duration) {
    match T::RUNTIME {
        Runtime::Tokio => tokio::time::sleep(pause).await,
        Runtime::Blocking => std::thread::sleep(pause),
    }
}

fn say_link<E: Endpoint>(endpoint: &E) {
    if let Some(name) = endpoint.link() {
        say(&Line::Link { name });
    }
}

async fn pour<T: Transport>(job: &Job) -> Result<()> {
    let mut endpoint = T::connect(job).await?;
    one_way(&mut endpoint, job.len, 0).await?;
    one_way(&mut endpoint, job.len, job.millis / 4).await?;
    say_link(&endpoint);
    let cpu = clock::cpu();
    let (messages, nanos) = one_way(&mut endpoint, job.len, job.millis).await?;
    say(&Line::OneWay { messages, nanos, cpu_nanos: clock::cpu() - cpu });
    hold::<T>(endpoint).await
}

/// From the first message sent until the receiver has answered that it read the last.
async fn one_way<E: Endpoint>(endpoint: &mut E, len: usize, millis: u64) -> Result<(u64, u64)> {
    let start = clock::now();
    let messages =
        feed_until(endpoint, Payload::new(len, 0), start + millis * 1_000_000, BYTES_PER_LOOK)
            .await?;
    let answer = endpoint.recv().await?;
    ensure!(
        answer.is_last() && answer.number() + 1 == messages,
        "{messages} sent, answered {answer:?}"
    );
    Ok((messages, clock::now() - start))
}

/// Messages from `first` on until the deadline, looked for once in so many bytes; the last one says
/// so. The count includes it.
async fn feed_until<E: Endpoint>(
    endpoint: &mut E,
    first: Payload,
    deadline: u64,
    bytes_per_look: usize,
) -> Result<u64> {
    let look = (bytes_per_look / first.len).max(1).next_power_of_two() as u64;
    for number in first.number().. {
        let last = number & (look - 1) == 0 && clock::now() >= deadline;
        // One call for both, so that the compiler makes one loop of it.
        let payload = first.numbered(number);
        endpoint.feed(if last { payload.last() } else { payload }).await?;
        if last {
            endpoint.flush().await?;
            return Ok(number + 1);
        }
    }
    Ok(0)
}

/// One of many peers: says that it is there, waits for "go", then sends.
async fn join_in<T: Transport>(job: &Job) -> Result<()> {
    let mut endpoint = T::connect(job).await?;
    let first = Payload::new(job.len, 0).from(job.index);
    endpoint.send(first).await?;
    control::go().await?;
    let deadline = clock::now() + job.millis * 1_000_000;
    feed_until(&mut endpoint, first.numbered(1), deadline, BYTES_PER_LOOK_OF_MANY).await?;
    hold::<T>(endpoint).await
}
