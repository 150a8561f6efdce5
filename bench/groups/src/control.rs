//! Between `run` and its processes: lines on their standard input and output.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The report of a process at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// When it was done, by the clock of all processes, in nanoseconds.
    pub(crate) end: u64,
    /// Processor time that it took since "go", in nanoseconds.
    pub(crate) cpu: u64,
    /// Sorted, in nanoseconds.
    pub(crate) latencies: Vec<u32>,
}

impl Results {
    /// Done now.
    pub(crate) fn of(mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        Self { end: now(), cpu: 0, latencies }
    }
}

/// CLOCK_MONOTONIC in nanoseconds, which processes of one machine share.
pub(crate) fn now() -> u64 {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Says that this process is ready, and waits for the word to go. Nothing else runs on its runtime
/// meanwhile; what has to run goes on in the background of a library.
pub(crate) fn ready() -> Result<()> {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no word to go")?;
    *START.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
        read(ClockId::ProcessCPUTime);
    Ok(())
}

static START: std::sync::Mutex<u64> = std::sync::Mutex::new(0);

/// Prints the results.
pub(crate) fn report(mut results: Results) -> Result<()> {
    let start = *START.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.cpu = read(ClockId::ProcessCPUTime) - start;
    println!("{}", serde_json::to_string(&results)?);
    std::io::stdout().flush()?;
    Ok(())
}
