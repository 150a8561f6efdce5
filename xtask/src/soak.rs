//! `cargo xtask soak`: hosts are killed or leave, a thousand times and more, under numbered traffic
//! in Rust and Node.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// How long, and with whom.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many hosts are killed with SIGKILL.
    #[arg(long, default_value = "1000")]
    kills: u32,
    /// How many hosts leave in an orderly way.
    #[arg(long, default_value = "500")]
    closes: u32,
    /// How many processes take part at a time, half of them in Rust.
    #[arg(long, default_value = "6")]
    members: u32,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let package =
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crates").join("open-channel-node");
    if !package.join("node_modules").exists() {
        succeed(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&package))?;
    }
    succeed(Command::new("npm").args(["run", "build"]).current_dir(&package))?;
    let status = Command::new("node")
        .arg("scripts/soak.mjs")
        .args(["--kills", &args.kills.to_string()])
        .args(["--closes", &args.closes.to_string()])
        .args(["--members", &args.members.to_string()])
        .current_dir(&package)
        .status()
        .context("could not start node: is Node.js installed?")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
