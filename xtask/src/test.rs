//! `cargo xtask test`: everything a change has to pass, with one closing line.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::totals::Totals;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the tests this many times, stopping at the first run that fails.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
}

/// One thing to run.
struct Step {
    name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// Test programs run in this step: their results are counted, and `--repeat` applies.
    counted: bool,
}

/// In the order of how fast they answer. A package in another language adds its steps here; one whose
/// test runner does not print `test result:` lines also needs a reader in `totals.rs`.
const STEPS: &[Step] = &[
    Step { name: "format", program: "cargo", args: &["fmt", "--all", "--check"], env: &[], counted: false },
    Step {
        name: "clippy",
        program: "cargo",
        args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: &[],
        counted: false,
    },
    Step {
        name: "documentation",
        program: "cargo",
        args: &["doc", "--no-deps", "--workspace"],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        counted: false,
    },
    Step {
        name: "tests",
        program: "cargo",
        args: &["test", "--workspace", "--all-targets", "--no-fail-fast"],
        env: &[],
        counted: true,
    },
    Step {
        name: "doc tests",
        program: "cargo",
        args: &["test", "--workspace", "--doc", "--no-fail-fast"],
        env: &[],
        counted: true,
    },
];

/// Runs every step, even after one failed, so that one run tells all there is to mend.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    require("rustfmt", &["fmt", "--version"])?;
    require("clippy", &["clippy", "--version"])?;

    let mut totals = Totals::default();
    let mut failures = Vec::new();
    for step in STEPS.iter().filter(|step| !step.counted) {
        if !step.run(None)? {
            failures.push(step.name);
        }
    }
    for round in 1..=args.repeat.get() {
        if args.repeat.get() > 1 {
            println!("\n== run {round} of {}", args.repeat);
        }
        let mut passed = true;
        for step in STEPS.iter().filter(|step| step.counted) {
            let mut counted = Totals::default();
            if !step.run(Some(&mut counted))? {
                // A test program that crashed or did not compile reports no failed test of its own.
                counted.failed = counted.failed.max(1);
            }
            if counted.failed > 0 {
                failures.push(step.name);
                passed = false;
            }
            totals += counted;
        }
        if !passed {
            break;
        }
    }

    println!();
    if totals.passed + totals.failed == 0 {
        failures.push("no test ran");
    }
    if !failures.is_empty() {
        println!("failed: {}", failures.join(", "));
    }
    println!("{totals}");
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Step {
    /// Whether the step succeeded. Its output appears as it comes; `totals` takes the results found in it.
    fn run(&self, totals: Option<&mut Totals>) -> Result<bool> {
        println!("\n== {}: {} {}", self.name, self.program, self.args.join(" "));
        let started = Instant::now();
        let mut command = Command::new(self.program);
        command.args(self.args).envs(self.env.iter().copied()).stdin(Stdio::null());
        let status = match totals {
            None => command.status().with_context(|| format!("could not start {}", self.program))?,
            Some(totals) => {
                command.stdout(Stdio::piped());
                let mut child =
                    command.spawn().with_context(|| format!("could not start {}", self.program))?;
                let output = child.stdout.take().context("the child has no standard output")?;
                copy_counting(BufReader::new(output), &mut std::io::stdout().lock(), totals)?;
                child.wait()?
            }
        };
        println!(
            "== {}: {} in {:.1?}",
            self.name,
            if status.success() { "ok" } else { "FAILED" },
            started.elapsed()
        );
        Ok(status.success())
    }
}

/// Passes the output on line by line and sums the results in it. Tests may print any bytes.
fn copy_counting(mut from: impl BufRead, to: &mut impl Write, totals: &mut Totals) -> Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        if let Some(found) = Totals::from_line(&String::from_utf8_lossy(&line)) {
            *totals += found;
        }
        line.clear();
    }
    Ok(())
}

/// Says which tool is missing and how to get it, rather than letting cargo say "no such command".
fn require(component: &str, probe: &[&str]) -> Result<()> {
    let found = Command::new("cargo")
        .args(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("could not start cargo: is Rust installed?")?;
    if !found.success() {
        bail!("{component} is missing: install it with `rustup component add {component}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::copy_counting;
    use crate::totals::Totals;

    #[test]
    fn output_is_passed_on_unchanged_and_summed_over_programs() {
        let output: &[u8] = b"running 2 tests\n\xff\xfe\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            no newline at the end";
        let (mut copied, mut totals) = (Vec::new(), Totals::default());
        copy_counting(output, &mut copied, &mut totals).expect("copying");
        assert_eq!(copied, output);
        assert_eq!(totals, Totals { passed: 3, failed: 3 });
    }
}
