//! The work of one process.

use anyhow::{Result, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::control::{self, Results};
use crate::row::{Row, Subject};

/// Bytes of every message: its number and the time when it was published come first.
pub(crate) const PAYLOAD: usize = 64;

/// Publications and jobs under way at a time.
pub(crate) const WINDOW: usize = 64;

/// Between two publications whose latency is measured.
pub(crate) const PACE: std::time::Duration = std::time::Duration::from_micros(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
    Caller,
    Server,
    Locker,
    Pusher,
    QueueWorker,
    Incrementer,
}

impl Role {
    /// Whether it works until it is killed.
    pub(crate) fn serves(self) -> bool {
        matches!(self, Self::Server | Self::QueueWorker)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) subject: Subject,
    pub(crate) row: Row,
    pub(crate) role: Role,
    /// The address of a server, or a directory.
    pub(crate) place: String,
    pub(crate) count: u64,
    /// How many processes do the same.
    pub(crate) alike: u64,
}

impl Task {
    pub(crate) fn is_paced(&self) -> bool {
        self.row == Row::Latency
    }
}

/// A message with this number, published now.
pub(crate) fn message(number: u64) -> Bytes {
    let mut bytes = vec![0; PAYLOAD];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&control::now().to_le_bytes());
    bytes.into()
}

/// The number of a message, and when it was published.
pub(crate) fn read(message: &[u8]) -> Result<(u64, u64)> {
    let word = |at: usize| message.get(at..at + 8).and_then(|word| word.try_into().ok());
    match (word(0), word(8)) {
        (Some(number), Some(time)) if message.len() == PAYLOAD => {
            Ok((u64::from_le_bytes(number), u64::from_le_bytes(time)))
        }
        _ => bail!("a message of {} bytes", message.len()),
    }
}

/// The messages that a subscriber has received.
#[derive(Default)]
pub(crate) struct Received {
    next: u64,
    latencies: Vec<u32>,
}

impl Received {
    /// Returns whether it was the last one.
    pub(crate) fn take(&mut self, message: &[u8], task: &Task) -> Result<bool> {
        let (number, published) = read(message)?;
        if number != self.next {
            bail!("message {number} came instead of {}", self.next);
        }
        self.next += 1;
        if task.is_paced() {
            self.latencies.push((control::now() - published).try_into().unwrap_or(u32::MAX));
        }
        Ok(self.next == task.count)
    }

    pub(crate) fn results(self) -> Results {
        Results::of(self.latencies)
    }
}

/// Does what the task says, in a runtime of one thread.
pub(crate) fn work(task: &Task) -> Result<()> {
    #[cfg(feature = "peers")]
    if task.subject == Subject::Zeromq {
        return control::report(crate::zeromq::work(task)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(async {
        match task.subject {
            Subject::Group => crate::group::work(task).await,
            Subject::Channel => crate::raw_channel::work(task).await,
            #[cfg(feature = "peers")]
            Subject::Redis => crate::redis::work(task).await,
            #[cfg(feature = "peers")]
            Subject::Nats => crate::nats::work(task).await,
            #[cfg(not(feature = "peers"))]
            Subject::Redis | Subject::Nats => bail!("built without it"),
            Subject::Zeromq => bail!("works without a runtime"),
        }
    })?;
    control::report(results)
}
