//! The order of the measurements: by rounds, all subjects in each, so that whatever else the
//! machine does meets all of them alike.

use crate::measure::{connect, failover, fan_in, idle, limits, pair, syscalls};
use crate::plan::Plan;
use crate::procfs;
use crate::results::{Measure, Results};
use anyhow::Result;

/// A load average that leaves each process of a pair a core to itself, most of the time.
const QUIET: f64 = 0.5;

/// Measures everything that the plan asks for.
pub(crate) fn run(plan: &Plan) -> Results {
    let mut results = Results::default();
    let load = procfs::load().unwrap_or_default();
    if load > QUIET {
        results.doubtful = true;
        results.caveat(format!(
            "Something else kept this machine busy when the run began (load average {load:.1}): nothing here is \
             certain, least of all what is said of spinning subjects."
        ));
    }
    for round in 0..plan.rounds {
        for &measure in plan.measures() {
            // Some answers hardly vary, and take long: the first rounds are enough, three of them,
            // so that one does not count.
            let rare = matches!(measure, Measure::Memory | Measure::Idle | Measure::Limits);
            if rare && round >= 3 {
                continue;
            }
            eprintln!("round {}/{}: {}", round + 1, plan.rounds, measure.title());
            ask(plan, measure, round, &mut results);
        }
    }
    results
}

fn ask(plan: &Plan, measure: Measure, round: usize, results: &mut Results) {
    if measure == Measure::Limits {
        note(limits::measure(plan, results), "limits", results);
        return;
    }
    if measure == Measure::Syscalls
        && let Some(obstacle) = syscalls::obstacle()
    {
        results.caveat(obstacle);
        return;
    }
    let ask = match measure {
        Measure::Rtt => pair::round_trip,
        Measure::Asleep => pair::asleep,
        Measure::OneWay => pair::one_way,
        Measure::FanIn => fan_in::measure,
        Measure::Syscalls => syscalls::measure,
        Measure::Connect => connect::measure,
        Measure::Failover => failover::measure,
        Measure::Memory => idle::memory,
        Measure::Idle | Measure::Limits => idle::processor,
    };
    // Another one begins each round: none is always the first after a pause.
    for at in 0..plan.subjects().len() {
        let subject = plan.subjects()[(at + round) % plan.subjects().len()];
        note(ask(plan, subject, results), &format!("{subject}, {}", measure.title()), results);
    }
}

/// A subject that fails is reported, and does not end the run of the others.
fn note(outcome: Result<()>, what: &str, results: &mut Results) {
    if let Err(error) = outcome {
        let failure = format!("{what}: {error:#}");
        eprintln!("  {failure}");
        results.fail(failure);
    }
}
