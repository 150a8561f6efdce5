//! `cargo xtask bench`: builds the measurements in `bench/` for release, runs them, and leaves a
//! report with plots.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
Examples:
  cargo xtask bench                                    everything, into bench/report
  cargo xtask bench -- --quick                         the same with less patience
  cargo xtask bench -- --only rtt,oneway --pin=0,0     some of it, on one core
  cargo xtask bench --no-default-features              without the libraries to compare with
  cargo xtask bench -- --help                          what can be asked for";

/// The part to build, and the arguments to pass on.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Do not build and measure the other libraries (zeromq, ipc-channel, iceoryx2)
    #[arg(long)]
    no_default_features: bool,
    /// For `oc-bench run`; unless they say otherwise, processes are pinned and the report goes to
    /// bench/report
    #[arg(last = true, value_name = "ARGUMENTS")]
    passed_on: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !args.no_default_features {
        require_compiler()?;
    }
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("bench");
    let mut command = Command::new("cargo");
    // Built where `bench/` is, because it is a workspace of its own; run where the caller is,
    // because paths in the arguments are meant from there.
    command.args(["run", "--release", "--manifest-path"]).arg(bench.join("Cargo.toml"));
    if args.no_default_features {
        command.arg("--no-default-features");
    }
    command.args(["--", "run"]).args(arguments(&args.passed_on, bench.join("report")));
    let status = command.status().context("could not start cargo: is Rust installed?")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The arguments that were given, and the defaults for those that were not.
fn arguments(given: &[String], report: PathBuf) -> Vec<String> {
    let asked = |option: &str| {
        given.iter().any(|arg| {
            arg.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    let mut all = given.to_vec();
    if !asked("--pin") {
        all.push("--pin".into());
    }
    if !asked("--report") {
        all.push(format!("--report={}", report.display()));
    }
    all
}

/// libzmq is built from its C++ source.
fn require_compiler() -> Result<()> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let found = Command::new(&compiler)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        bail!(
            "{compiler} is missing, and zeromq is built with it: install a C++ compiler (`apt install g++`), or \
             measure without the other libraries: `cargo xtask bench --no-default-features`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::arguments;

    fn with_defaults(given: &[&str]) -> Vec<String> {
        arguments(&given.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), "report".into())
    }

    #[test]
    fn an_argument_that_is_not_given_has_a_default() {
        assert_eq!(with_defaults(&["--quick"]), ["--quick", "--pin", "--report=report"]);
    }

    #[test]
    fn arguments_that_are_given_stay() {
        let given = ["--pin=0,0", "--report", "elsewhere"];
        assert_eq!(with_defaults(&given), given);
    }
}
