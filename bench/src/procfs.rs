//! The kernel's counts for a process.

use anyhow::{Context, Result};
use std::fs;

#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Bytes in memory, shared pages counted in full.
    pub(crate) rss: u64,
    /// Bytes in memory, shared pages divided among those who share them.
    pub(crate) pss: u64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).context(path)?;
    let kibibytes = |key| number(&text, key).map(|value| value * 1024);
    Ok(Memory { rss: kibibytes("Rss:")?, pss: kibibytes("Pss:")? })
}

#[derive(Clone, Copy)]
pub(crate) struct Activity {
    /// Processor time of all threads, in nanoseconds (utime and stime count in hundredths of a
    /// second).
    pub(crate) cpu_nanos: u64,
    /// How often a thread was put on a processor after having gone to sleep.
    pub(crate) switches: u64,
}

pub(crate) fn activity(pid: u32) -> Result<Activity> {
    let mut activity = Activity { cpu_nanos: 0, switches: 0 };
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        let schedule = fs::read_to_string(task.join("schedstat"))?;
        let cpu = schedule.split_whitespace().next().context("schedstat is empty")?;
        activity.cpu_nanos += cpu.parse::<u64>()?;
        let status = fs::read_to_string(task.join("status"))?;
        activity.switches += number(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(activity)
}

/// Processes that ran or wanted to, on average over the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().context("loadavg is empty")?.parse()?)
}

/// The number after a key at the start of a line.
fn number(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| format!("{key} is missing"))?.parse()?)
}
