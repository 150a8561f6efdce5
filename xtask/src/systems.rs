//! Other systems than this one: what cannot be run here is compiled for them as far as a type check
//! goes.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{Step, minutes};

/// A system, as the compiler calls it, and its check.
pub(crate) struct System {
    target: &'static str,
    pub(crate) step: Step,
}

/// Those that `docs/PLATFORMS.md` says are checked.
pub(crate) const SYSTEMS: &[System] = &[
    system("macOS", "aarch64-apple-darwin", &everything("aarch64-apple-darwin")),
    system("FreeBSD", "x86_64-unknown-freebsd", &everything("x86_64-unknown-freebsd")),
    system("NetBSD", "x86_64-unknown-netbsd", &everything("x86_64-unknown-netbsd")),
    system("illumos", "x86_64-unknown-illumos", &everything("x86_64-unknown-illumos")),
    system("Windows", "x86_64-pc-windows-msvc", &everything("x86_64-pc-windows-msvc")),
];

/// All crates but the tools of this project.
const fn everything(target: &'static str) -> [&'static str; 10] {
    [
        "check",
        "--workspace",
        "--exclude",
        "xtask",
        "--exclude",
        "open-channel-simulation",
        "--all-targets",
        "--target",
        target,
        "--quiet",
    ]
}

const fn system(name: &'static str, target: &'static str, args: &'static [&'static str]) -> System {
    let step = Step {
        name,
        program: "cargo",
        args,
        folder: "",
        env: &[("RUSTFLAGS", "-D warnings")],
        counted: false,
        limit: minutes(10),
    };
    System { target, step }
}

impl System {
    /// Gets the system's standard library, if it is missing and rustup is there.
    ///
    /// # Errors
    /// Why the system cannot be checked, and what to do.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        add_library(self.target, self.step.name)
    }
}

/// Gets the standard library of a system, if it is missing and rustup is there.
///
/// # Errors
/// Why it cannot be had, and what to do.
pub(crate) fn add_library(target: &str, name: &str) -> Result<(), String> {
    if has_library(target) {
        return Ok(());
    }
    println!("\n== {name}: rustup target add {target}");
    let added =
        Command::new("rustup").args(["target", "add", target]).stdin(Stdio::null()).status();
    match added {
        Ok(_) if has_library(target) => Ok(()),
        Ok(_) => Err(format!("`rustup target add {target}` has not brought its standard library")),
        Err(_) => {
            Err(format!("it needs Rust's standard library for {target}, and there is no rustup"))
        }
    }
}

fn has_library(target: &str) -> bool {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}
