//! `cargo xtask dist`: what people install, made and tried in a root that has nothing else in it.
//!
//! The program is linked statically with musl, so one file runs on every Linux of its processor.
//! An archive has it with its man pages and completions; the Debian package puts them in place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::systems::add_library;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const PACKAGE: &str = "open-channel-cli";
const PROGRAM: &str = "open-channel";

/// What is made.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it is put.
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    to: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    add_library(&target, "dist").map_err(anyhow::Error::msg)?;
    require_tool("dpkg-deb", &["--version"], "apt-get install dpkg")?;
    let to = Path::new(ROOT).join(&args.to);
    let name = format!("{PROGRAM}-{VERSION}-{}-linux", std::env::consts::ARCH);
    let tree = to.join(&name);
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("could not empty {}", to.display()))?;
    }
    fs::create_dir_all(&tree)?;

    command("cargo", &["build", "--release", "-p", PACKAGE, "--target", &target])?;
    let program = target_directory()?.join(&target).join("release").join(PROGRAM);
    let shipped = tree.join(PROGRAM);
    fs::copy(&program, &shipped).context("the build has made no program")?;
    // What a debugger needs is four fifths of it.
    command("strip", &["--strip-debug", text(&shipped)?])?;
    texts(&shipped, &tree)?;
    let archive = to.join(format!("{name}.tar.gz"));
    command("tar", &["-C", text(&to)?, "-czf", text(&archive)?, "--owner=0", "--group=0", &name])?;

    let deb = debian(&tree, &to)?;
    let unpacked = to.join("trial");
    command("dpkg-deb", &["-x", text(&deb)?, text(&unpacked)?])?;
    try_in(&unpacked)?;
    fs::remove_dir_all(&unpacked)?;
    for made in [&archive, &deb] {
        println!("{} ({} KiB)", made.display(), fs::metadata(made)?.len() / 1024);
    }
    Ok(ExitCode::SUCCESS)
}

/// The same files where Debian has them.
fn debian(tree: &Path, to: &Path) -> Result<PathBuf> {
    let root = to.join("debian");
    let architecture = debian_architecture()?;
    let copy = |from: &Path, folder: &str, name: &str| -> Result<()> {
        let folder = root.join(folder);
        fs::create_dir_all(&folder)?;
        fs::copy(from, folder.join(name)).with_context(|| from.display().to_string())?;
        Ok(())
    };
    copy(&tree.join(PROGRAM), "usr/bin", PROGRAM)?;
    for page in fs::read_dir(tree.join("man"))? {
        let page = page?;
        let name = page.file_name();
        copy(&page.path(), "usr/share/man/man1", name.to_str().context("a name of no text")?)?;
    }
    for (file, folder) in [
        (PROGRAM, "usr/share/bash-completion/completions"),
        ("_open-channel", "usr/share/zsh/vendor-completions"),
        ("open-channel.fish", "usr/share/fish/vendor_completions.d"),
    ] {
        copy(&tree.join("completions").join(file), folder, file)?;
    }
    copy(&tree.join("LICENSE"), "usr/share/doc/open-channel", "copyright")?;
    copy(&tree.join("README.md"), "usr/share/doc/open-channel", "README.md")?;
    fs::create_dir(root.join("DEBIAN"))?;
    fs::write(root.join("DEBIAN/control"), control(architecture))?;
    let deb = to.join(format!("{PROGRAM}_{VERSION}_{architecture}.deb"));
    command("dpkg-deb", &["--root-owner-group", "--build", text(&root)?, text(&deb)?])?;
    fs::remove_dir_all(&root)?;
    Ok(deb)
}

/// The program is static, so it depends on nothing.
fn control(architecture: &str) -> String {
    format!(
        "Package: {PROGRAM}\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: The open-channel authors <open-channel@localhost>\n\
         Section: utils\n\
         Priority: optional\n\
         Homepage: {}\n\
         Description: look at channels and groups of processes, and talk on them\n \
         Processes that know a channel's name meet on it: no broker, no port, no lost messages.\n",
        env!("CARGO_PKG_REPOSITORY")
    )
}

/// Man pages, completions and the licence.
fn texts(program: &Path, tree: &Path) -> Result<()> {
    let (man, completions) = (tree.join("man"), tree.join("completions"));
    fs::create_dir(&man)?;
    fs::create_dir(&completions)?;
    command(text(program)?, &["man", "--to", text(&man)?])?;
    for (shell, file) in [
        ("bash", PROGRAM.to_owned()),
        ("zsh", format!("_{PROGRAM}")),
        ("fish", format!("{PROGRAM}.fish")),
    ] {
        let script = Command::new(program).args(["completions", shell]).output()?;
        ensure!(script.status.success(), "the program prints no completions for {shell}");
        fs::write(completions.join(file), script.stdout)?;
    }
    for file in ["LICENSE", "README.md"] {
        fs::copy(Path::new(ROOT).join(file), tree.join(file)).with_context(|| file.to_owned())?;
    }
    Ok(())
}

/// Two processes of the package meet in a root with nothing else in it: no library, no shell, no
/// `/proc`.
fn try_in(root: &Path) -> Result<()> {
    for dir in ["tmp", "dev"] {
        fs::create_dir(root.join(dir))?;
    }
    let inside = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "chroot"]).arg(root);
        command.arg(format!("/usr/bin/{PROGRAM}")).args(args);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("OPEN_CHANNEL_DIR", "/tmp/run");
        command
    };
    let said = |args: &[&str]| -> Result<String> {
        let output = inside(args).output().context("could not start unshare(1)")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "in a root of its own, `{args:?}` fails: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    ensure!(said(&["--version"])?.trim() == format!("{PROGRAM} {VERSION}"), "another version");
    let mut host = inside(&["join", "room", "--stay"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("could not start unshare(1)")?;
    let met = said(&["send", "room", "hello", "--timeout", "30"]).and_then(|_| said(&["ls"]));
    host.kill()?;
    host.wait()?;
    let listed = met?;
    ensure!(listed.contains("room"), "nothing is listed: {listed}");
    println!("tried in a root of its own: two processes have met");
    Ok(())
}

fn target_directory() -> Result<PathBuf> {
    let asked = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(ROOT)
        .output()
        .context("could not start cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&asked.stdout)?;
    Ok(metadata["target_directory"].as_str().context("no target directory")?.into())
}

fn debian_architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no Debian package is made for {other}"),
    }
}

fn require_tool(program: &str, probe: &[&str], remedy: &str) -> Result<()> {
    let mut probing = Command::new(program);
    let found = probing.args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    ensure!(found, "`{program} {}` does not work: `{remedy}`", probe[0]);
    Ok(())
}

fn command(program: &str, args: &[&str]) -> Result<()> {
    println!("== {program} {}", args.join(" "));
    let status = Command::new(program).args(args).current_dir(ROOT).status();
    let status = status.with_context(|| format!("could not start {program}"))?;
    ensure!(status.success(), "{program} has failed: {status}");
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}
