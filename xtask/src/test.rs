//! `cargo xtask test`: everything a change has to pass, with one closing line.

use std::num::NonZeroU32;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::rights::RIGHTS;
use crate::step::{Outcome, Step, minutes, take_steps_along};
use crate::systems::SYSTEMS;
use crate::totals::Totals;

/// The steps to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the tests this many times, stopping at the first run that fails.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
}

/// All steps together, so that a machine which ends its jobs after an hour still prints the closing
/// line. Each further run of `--repeat` has as long again.
const LIMIT: Duration = minutes(50);

const NODE_PACKAGE: &str = "crates/open-channel-node";
/// The oldest Node.js that the npm package supports.
const NODE: u32 = 18;

/// In the order of how fast they answer. A package in another language adds its steps here; one
/// whose test runner does not print `test result:` lines also needs a reader in `totals.rs`.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        program: "cargo",
        args: &["fmt", "--all", "--check"],
        folder: "",
        env: &[],
        counted: false,
        limit: minutes(5),
    },
    Step {
        name: "clippy",
        program: "cargo",
        args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        folder: "",
        env: &[],
        counted: false,
        limit: minutes(20),
    },
    Step {
        name: "fuzz targets",
        program: "cargo",
        // Only checked, which needs no fuzzer: so none is compiled, from C++.
        args: &["check", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz"],
        folder: "",
        env: &[("CUSTOM_LIBFUZZER_PATH", "none/libfuzzer.a"), ("RUSTFLAGS", "-D warnings")],
        counted: false,
        limit: minutes(10),
    },
    Step {
        name: "documentation",
        program: "cargo",
        args: &["doc", "--no-deps", "--workspace"],
        folder: "",
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        counted: false,
        limit: minutes(20),
    },
    Step {
        name: "tests",
        program: "cargo",
        args: &["test", "--workspace", "--all-targets", "--no-fail-fast"],
        folder: "",
        env: &[],
        counted: true,
        limit: minutes(20),
    },
    Step {
        name: "doc tests",
        program: "cargo",
        args: &["test", "--workspace", "--doc", "--no-fail-fast"],
        folder: "",
        env: &[],
        counted: true,
        limit: minutes(20),
    },
    Step {
        name: "metrics",
        program: "cargo",
        args: &["test", "-p", "open-channel", "--features", "metrics", "--test", "metrics"],
        folder: "",
        env: &[],
        counted: true,
        limit: minutes(10),
    },
    Step {
        name: "two versions",
        program: "cargo",
        // A step before has built the ordinary program, which these tests meet.
        args: &[
            "test",
            "-p",
            "open-channel",
            "--test",
            "processes",
            "--target-dir",
            "target/other-version",
            "versions::",
        ],
        folder: "",
        env: &[
            ("RUSTFLAGS", "--cfg open_channel_test_version=\"9\""),
            ("CARGO_PROFILE_DEV_DEBUG", "0"),
        ],
        counted: true,
        limit: minutes(10),
    },
    Step {
        name: "without what only Linux has",
        program: "cargo",
        // A folder of its own: the flag would have everything else built anew.
        args: &[
            "test",
            "-p",
            "open-channel",
            "--lib",
            "--test",
            "conformance",
            "--no-fail-fast",
            "--target-dir",
            "target/portable",
        ],
        folder: "",
        env: &[("RUSTFLAGS", "--cfg open_channel_portable"), ("CARGO_PROFILE_DEV_DEBUG", "0")],
        counted: true,
        limit: minutes(10),
    },
    Step {
        name: "processes without what only Linux has",
        program: "cargo",
        // On TCP everything is as it is with what only Linux has.
        args: &[
            "test",
            "-p",
            "open-channel",
            "--test",
            "processes",
            "--target-dir",
            "target/portable",
            "--",
            "--skip",
            "tcp::",
        ],
        folder: "",
        env: &[("RUSTFLAGS", "--cfg open_channel_portable"), ("CARGO_PROFILE_DEV_DEBUG", "0")],
        counted: true,
        limit: minutes(12),
    },
    Step {
        name: "every interleaving of the ring",
        program: "cargo",
        // A folder of its own: the flag would have everything else built anew.
        args: &[
            "test",
            "-p",
            "open-channel-ring",
            "--release",
            "--lib",
            "--target-dir",
            "target/loom",
        ],
        folder: "",
        env: &[("RUSTFLAGS", "--cfg loom")],
        counted: true,
        limit: minutes(20),
    },
    Step {
        name: "npm packages",
        program: "npm",
        args: &["ci", "--no-audit", "--no-fund"],
        folder: NODE_PACKAGE,
        env: &[],
        counted: false,
        limit: minutes(10),
    },
    Step {
        name: "npm package",
        program: "npm",
        args: &["test"],
        folder: NODE_PACKAGE,
        env: &[],
        counted: true,
        limit: minutes(20),
    },
];

/// Runs every step, even after one failed, so that one run shows all there is to mend.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    require("rustfmt", &["fmt", "--version"])?;
    require("clippy", &["clippy", "--version"])?;
    require_node()?;
    take_steps_along();

    let mut report = Report::default();
    for step in STEPS.iter().filter(|step| !step.counted) {
        report.run(step, started + LIMIT);
    }
    for system in SYSTEMS {
        match system.prepare() {
            Ok(()) => report.run(&system.step, started + LIMIT),
            Err(why) => report.left_out.push(format!("{}: {why}", system.step.name)),
        }
    }
    let mut able: Vec<&Step> = Vec::new();
    for rights in RIGHTS {
        match rights.check() {
            Ok(()) => able.push(&rights.step),
            Err(why) => report.left_out.push(format!("{}: {why}", rights.step.name)),
        }
    }
    for round in 0..args.repeat.get() {
        if args.repeat.get() > 1 {
            println!("\n== run {} of {}", round + 1, args.repeat);
        }
        let deadline = if round == 0 { started + LIMIT } else { Instant::now() + LIMIT };
        for step in STEPS.iter().filter(|step| step.counted).chain(able.iter().copied()) {
            report.run(step, deadline);
        }
        if report.totals.failed > 0 || report.interrupted {
            break;
        }
    }
    Ok(report.close())
}

#[derive(Default)]
struct Report {
    totals: Totals,
    failures: Vec<String>,
    /// The steps that could not be run here, and why.
    left_out: Vec<String>,
    interrupted: bool,
}

impl Report {
    fn run(&mut self, step: &Step, deadline: Instant) {
        let mut found = Totals::default();
        let outcome = step.run(deadline, &mut found);
        // A test program that crashed, hung or did not compile reports no failed test of its own.
        if step.counted && matches!(outcome, Outcome::Failed | Outcome::TookTooLong) {
            found.failed = found.failed.max(1);
        }
        match outcome {
            Outcome::Passed if found.failed == 0 => {}
            Outcome::Passed | Outcome::Failed => self.failures.push(step.name.into()),
            Outcome::TookTooLong => self.failures.push(format!("{} (took too long)", step.name)),
            Outcome::Interrupted => self.interrupted = true,
        }
        self.totals += found;
    }

    fn close(mut self) -> ExitCode {
        println!();
        for left_out in &self.left_out {
            println!("not checked: {left_out}");
        }
        if self.interrupted {
            self.failures.push("interrupted".into());
        } else if self.totals.passed + self.totals.failed == 0 {
            self.failures.push("no test ran".into());
        }
        if !self.failures.is_empty() {
            println!("failed: {}", self.failures.join(", "));
        }
        println!("{}", self.totals);
        if self.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
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

/// The npm package is built and tested with them.
fn require_node() -> Result<()> {
    let version = |program| {
        let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let answer = asked.ok().filter(|answer| answer.status.success());
        let Some(answer) = answer else {
            bail!("{program} is missing: install Node.js {NODE} or later with npm");
        };
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    let node = version("node")?;
    if major(&node).is_none_or(|major| major < NODE) {
        bail!("node is {node}: install Node.js {NODE} or later");
    }
    version("npm")?;
    Ok(())
}

/// `v18.20.4` is 18.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, RIGHTS, STEPS, SYSTEMS, major};
    use crate::step::minutes;

    #[test]
    fn the_version_of_node_is_understood() {
        assert_eq!(major("v18.20.4"), Some(18));
        assert_eq!(major("v24.0.0-nightly"), Some(24));
        assert_eq!(major("deno"), None);
    }

    #[test]
    fn everything_ends_well_inside_an_hour() {
        assert!(LIMIT <= minutes(55));
        let systems = SYSTEMS.iter().map(|system| &system.step);
        let rights = RIGHTS.iter().map(|rights| &rights.step);
        assert!(STEPS.iter().chain(systems).chain(rights).all(|step| step.limit < LIMIT));
    }
}
