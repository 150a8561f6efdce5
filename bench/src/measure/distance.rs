//! How far apart two cores are.
//!
//! A hypervisor moves its virtual processors between real ones every few seconds. On the machine
//! this was written on a cache line takes 32 ns there and back (two threads of one core, it seems),
//! 115 ns, or 480 ns. Round trips of subjects that spin follow it, and so do their rates where the
//! memory between the cores is the limit: medians of a handful of rounds would say who was lucky.
//! So these are measured while the cores are as far apart as at one same time, which is looked for
//! first: the shortest that is not rare and not that of two threads of one core, which is found out
//! by how little of its speed each keeps when both work.

use super::cores;
use crate::clock;
use crate::stats::percentile;
use anyhow::Result;
use std::cell::{Cell, OnceCell};
use std::time::Duration;

/// The distance to measure at: that which so small a share of the first looks at two cores found
/// shorter.
const RARE: f64 = 0.1;
/// Two cores keep more than this of their speed when both work; two threads of one core were seen
/// to keep 0.52.
const TWO_CORES: f64 = 0.75;
/// The same distance is one of up to so many times as much or as little.
const TOLERANCE: f64 = 1.5;
const PROBE_MILLIS: u64 = 2;
const BETWEEN_PROBES: Duration = Duration::from_millis(50);

/// Numbers that follow the distance of the cores are measured for a shorter time: the cores are
/// more likely to stay where they are.
pub(crate) const SHORTER: u64 = 4;

/// How long is looked first, waited for one measurement, and waited in all.
pub(crate) struct Patience {
    pub(crate) first_look: Duration,
    pub(crate) each: Duration,
    pub(crate) all: Duration,
}

/// The distance of host and peer, as far as it is known.
pub(crate) struct Distance {
    cores: (usize, usize),
    patience: Patience,
    chosen: OnceCell<Chosen>,
    waited: Cell<Duration>,
}

struct Chosen {
    /// A cache line there and back.
    nanos: f64,
    /// Hardly any look was at two cores.
    one_core: bool,
}

impl Distance {
    pub(crate) fn new(cores: (usize, usize), patience: Patience) -> Self {
        Distance { cores, patience, chosen: OnceCell::new(), waited: Cell::default() }
    }

    /// Measures until the cores had the chosen distance before it and after it, or for as long as
    /// there is patience; says which.
    pub(crate) fn steady<T>(&self, mut measure: impl FnMut() -> Result<T>) -> Result<(T, bool)> {
        let chosen = self.chosen()?.nanos;
        let is_there = || -> Result<bool> {
            let now = f64::from(self.probe()?);
            Ok(now <= chosen * TOLERANCE && now >= chosen / TOLERANCE)
        };
        let start = clock::now();
        let patience = self.patience.each.min(self.patience.all.saturating_sub(self.waited.get()));
        let is_over = || clock::now() >= start + nanos(patience);
        loop {
            let mut steady = is_there()?;
            while !steady && !is_over() {
                std::thread::sleep(BETWEEN_PROBES);
                steady = is_there()?;
            }
            let attempt = clock::now();
            let measured = measure()?;
            steady &= is_there()?;
            if steady || is_over() {
                self.waited.set(self.waited.get() + Duration::from_nanos(attempt - start));
                return Ok((measured, steady));
            }
        }
    }

    fn chosen(&self) -> Result<&Chosen> {
        if let Some(chosen) = self.chosen.get() {
            return Ok(chosen);
        }
        let end = clock::now() + nanos(self.patience.first_look);
        let (mut looks, mut of_two_cores) = (Vec::new(), Vec::new());
        while looks.is_empty() || clock::now() < end {
            looks.push(self.probe()?);
            if cores::share(PROBE_MILLIS, self.cores)? > TWO_CORES {
                of_two_cores.extend(looks.last());
            }
        }
        // Where two cores are rare, two threads of one are what there is to measure on.
        let one_core = (of_two_cores.len() as f64) < RARE * looks.len() as f64;
        let mut probes = if one_core { looks } else { of_two_cores };
        probes.sort_unstable();
        Ok(self.chosen.get_or_init(|| Chosen { nanos: percentile(&probes, RARE), one_core }))
    }

    /// Whole nanoseconds.
    fn probe(&self) -> Result<u32> {
        Ok(cores::cache_line(PROBE_MILLIS, self.cores)? as u32)
    }

    /// A part of a sentence on the conditions of a run, in which what follows the distance was
    /// measured for so many milliseconds; nothing if nothing was.
    pub(crate) fn describe(&self, millis: u64) -> Option<String> {
        let Chosen { nanos, one_core } = self.chosen.get()?;
        let between = if *one_core { "two threads of one core" } else { "two cores" };
        Some(format!(
            "round trips, and rates from 64 KiB, of those who spin: {millis} ms, while a cache line took {nanos:.0} ns there and \
             back between {between}, within a factor of {TOLERANCE} ({} s waited for that)",
            self.waited.get().as_secs()
        ))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
