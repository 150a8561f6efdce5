//! `cargo xtask test-windows`: the tests for Windows, run on this machine under Wine.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::step::{Outcome, Step, minutes, take_steps_along};
use crate::systems;
use crate::totals::Totals;

const TARGET: &str = "x86_64-pc-windows-gnu";
const PACKAGES: [&str; 2] = ["wine64", "gcc-mingw-w64-x86-64-win32"];
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Debian's place for it, which no path leads to.
const WINE: &str = "/usr/lib/wine/wine64";
/// For each step, with building. The conformance suite alone takes ten minutes, twenty on a machine
/// that does something else.
const LIMIT: Duration = minutes(40);
/// Everything that is made for these tests.
const FOLDER: &str = "target/wine";
/// Wine 8 lacks it.
const RANDOM: &str = "drive_c/windows/system32/bcryptprimitives.dll";

/// The tests of each part; what takes longest comes last.
const TESTS: [&[&str]; 5] = [
    &["-p", "open-channel-proto", "-p", "open-channel-ring", "--lib"],
    &["-p", "open-channel", "--lib", "--test", "takeover"],
    // Its simulation is the same on every system, and takes an hour there.
    &[
        "-p",
        "open-channel-group",
        "--lib",
        "--test",
        "in_process",
        "--test",
        "hostile",
        "--test",
        "faces",
        "--test",
        "group-processes",
    ],
    &["-p", "open-channel-cli", "--bins", "--test", "cli"],
    &["-p", "open-channel", "--test", "conformance"],
];

pub(crate) fn run() -> Result<ExitCode> {
    let prepared = prepare().context(
        "not tested: nothing was run for Windows (unit tests, the conformance suite on named pipes \
         and TCP, groups, the program, and all tests with several processes)",
    )?;
    take_steps_along();
    let mut totals = Totals::default();
    let mut failed = false;
    for tests in TESTS {
        let outcome = prepared.step(tests).run(Instant::now() + LIMIT, &mut totals);
        failed |= outcome != Outcome::Passed;
    }
    prepared.end();
    println!("\nunder Wine, which is not Windows: see docs/PLATFORMS.md\n{totals}");
    Ok(if failed || totals.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The means to run a program for Windows.
struct Wine {
    program: PathBuf,
    prefix: PathBuf,
}

fn prepare() -> Result<Wine> {
    systems::add_library(TARGET, "Windows").map_err(anyhow::Error::msg)?;
    if wine().is_none() || !answers(COMPILER) {
        install()?;
    }
    let program = wine().context("Wine is installed, and there is no wine64")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let wine = Wine { program, prefix: folder.canonicalize()?.join("prefix") };
    if !wine.prefix.join("system.reg").exists() {
        println!("\n== Wine: a new directory for it in {FOLDER}");
        wine.call("wineboot", &["-i"])?;
    }
    wine.add_random()?;
    Ok(wine)
}

fn wine() -> Option<PathBuf> {
    let known = ["wine64", WINE].into_iter().find(|program| answers(program));
    known.map(PathBuf::from)
}

fn answers(program: &str) -> bool {
    let mut asked = Command::new(program);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// On Debian and what is made of it.
fn install() -> Result<()> {
    println!("\n== Wine: apt-get install {}", PACKAGES.join(" "));
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "--no-install-recommends"]).args(PACKAGES).stdin(Stdio::null());
    let status = apt.status();
    if !status.is_ok_and(|status| status.success()) {
        bail!("install {} (Debian's names), or run this as root", PACKAGES.join(" and "));
    }
    Ok(())
}

impl Wine {
    fn call(&self, program: &str, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg(program).args(args).stdin(Stdio::null());
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        let status = command.status().with_context(|| format!("starting {program}"))?;
        ensure!(status.success(), "{program} under Wine: {status}");
        Ok(())
    }

    fn add_random(&self) -> Result<()> {
        let library = self.prefix.join(RANDOM);
        if library.exists() {
            return Ok(());
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bcryptprimitives.c");
        let mut compiler = Command::new(COMPILER);
        compiler.args(["-O2", "-shared", "-o"]).arg(&library).arg(source).arg("-ladvapi32");
        ensure!(compiler.status()?.success(), "{COMPILER} made no bcryptprimitives.dll");
        Ok(())
    }

    fn step(&self, tests: &[&'static str]) -> Step {
        let mut args = vec!["test", "--target", TARGET, "--no-fail-fast"];
        args.extend(tests);
        // Kept for as long as this program runs, as those that are written down are.
        let kept = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let runner = kept(self.program.display().to_string());
        let prefix = kept(self.prefix.display().to_string());
        let env = vec![
            ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", runner),
            ("WINEPREFIX", prefix),
            ("WINEDEBUG", "-all"),
        ];
        Step {
            name: "Windows, under Wine",
            program: "cargo",
            args: Box::leak(args.into_boxed_slice()),
            folder: "",
            env: Box::leak(env.into_boxed_slice()),
            counted: true,
            limit: LIMIT,
        }
    }

    /// Ends the processes that Wine keeps for this prefix.
    fn end(&self) {
        // They end by themselves after a while, too.
        let _ = self.call("wineboot", &["-k"]);
    }
}
