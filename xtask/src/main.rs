//! The project's own commands: `cargo xtask <command>`.
//!
//! `test` is the one that a change has to pass. Each further command is a file of its own.

mod bench;
mod circles;
mod dist;
mod rights;
mod screens;
mod soak;
mod step;
mod systems;
mod test;
mod totals;
mod windows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything: format, lints, tests, doc tests, documentation.
    Test(test::Args),
    /// Measure beside other ways to carry messages, with a report.
    Bench(bench::Args),
    /// Make what people install: a static program, an archive, a Debian package; and try it.
    Dist(dist::Args),
    /// Look for files that import each other in a loop.
    Circles,
    /// Take the animated pictures of the README from the program in a terminal.
    Screens(screens::Args),
    /// Kill and close hosts under numbered traffic, a thousand times and more, and count what was
    /// lost.
    Soak(soak::Args),
    /// Run the tests for Windows under Wine, which is installed if it is missing.
    TestWindows,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Circles => circles::run().map(|()| ExitCode::SUCCESS),
        Command::Screens(args) => screens::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::TestWindows => windows::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
