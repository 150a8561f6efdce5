//! The limits of the machine itself: nothing that carries messages can be faster.

use super::cores::{self, SLEEPING};
use super::pair::size;
use crate::clock;
use crate::plan::Plan;
use crate::results::{Measure, Metric, Results};
use anyhow::Result;
use std::hint::black_box;

const BLOCKS: [usize; 2] = [1 << 20, 64 << 20];
pub(crate) fn measure(plan: &Plan, results: &mut Results) -> Result<()> {
    let pinned = plan.pin.unwrap_or((0, 1 % clock::cores()));
    let spun = match &plan.distance {
        Some(distance) => {
            let (spun, steady) = distance.steady(|| cores::cache_line(plan.millis, pinned))?;
            if !steady {
                results.caveat("Not all limits were measured at the chosen distance.".into());
            }
            spun
        }
        None => cores::cache_line(plan.millis, pinned)?,
    };
    add(results, "cache line, there and back", Metric::Nanos, spun);
    let slept = cores::ping_pong(plan.millis, &SLEEPING, pinned)?;
    add(results, "futex wake, there and back", Metric::Nanos, slept);
    for len in BLOCKS {
        let row = format!("memcpy of {}", size(len));
        add(results, &row, Metric::BytesPerSecond, copy(plan.millis, len));
    }
    Ok(())
}

fn add(results: &mut Results, row: &str, metric: Metric, value: f64) {
    let case = if metric == Metric::Nanos { "two cores" } else { "one core" };
    results.add(Measure::Limits, case, metric, row, value);
}

/// Bytes copied in a second.
fn copy(millis: u64, len: usize) -> f64 {
    // Not zeros: those would be pages that the kernel has yet to hand out.
    let (from, mut to) = (vec![1_u8; len], vec![2_u8; len]);
    let (start, mut copies) = (clock::now(), 0_u64);
    loop {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        copies += 1;
        let elapsed = clock::now() - start;
        if elapsed >= millis * 1_000_000 {
            return copies as f64 * len as f64 * 1e9 / elapsed as f64;
        }
    }
}
