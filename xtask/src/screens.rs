//! `cargo xtask screens`: the program in a terminal, as the animated pictures of the README.
//!
//! tmux is the terminal. What it shows is looked at at intervals; frames that differ become one
//! SVG, which shows each of them for as long as it was there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anstyle_svg::Term;
use anyhow::{Context, Result, ensure};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// The last frame stays for so long, before it begins again.
const LAST: Duration = Duration::from_secs(4);
/// Only against hanging.
const LIMIT: Duration = Duration::from_secs(120);
/// What the shell prints when the program has ended.
const ENDED: &str = "--ended--";

/// Where the program is, and where the pictures go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program [default: built now, for release].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The folder of the pictures.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    to: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let program = match &args.program {
        Some(program) => std::path::absolute(program)?,
        None => build()?,
    };
    let to = Path::new(ROOT).join(&args.to);
    for (name, frames) in [("demo.svg", demo(&program)?), ("top.svg", top(&program)?)] {
        let path = to.join(name);
        fs::write(&path, animated(&frames)).with_context(|| path.display().to_string())?;
        println!("{}: {} frames", path.display(), frames.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    let args = ["build", "--release", "-p", "open-channel-cli"];
    let status = Command::new("cargo").args(args).current_dir(ROOT).status()?;
    ensure!(status.success(), "the program cannot be built");
    Ok(Path::new(ROOT).join("target/release/open-channel"))
}

/// What was on the screen, and for how long.
struct Frame {
    text: String,
    time: Duration,
}

impl Frame {
    /// How many lines are not empty.
    fn lines(&self) -> usize {
        self.text.lines().filter(|line| !line.trim().is_empty()).count()
    }
}

fn demo(program: &Path) -> Result<Vec<Frame>> {
    let screen = Screen::open(program, (110, 32), "open-channel demo")?;
    screen.watch(|shown| shown.contains(ENDED), |_| Ok(()))
}

/// A channel with traffic and a group; the channel is opened, and its host is killed.
fn top(program: &Path) -> Result<Vec<Frame>> {
    let screen = Screen::open(program, (156, 30), "open-channel top --delay 0.5")?;
    let mut host = screen.start(&["join", "orders", "--stay"])?;
    screen.wait_for("orders")?;
    let _others = [
        screen.start(&["join", "orders", "--stay"])?,
        screen.start(&["join", "orders", "--stay"])?,
        screen.start(&["sub", "log.>", "--group", "shop"])?,
        screen.start(&["serve", "price", "--group", "shop", "--", "cat"])?,
        screen.start(&["queue", "work", "encode", "--group", "shop", "--", "cat"])?,
    ];
    let _traffic = screen.traffic("while seq 1 200; do sleep 0.2; done", &["send", "orders"])?;
    screen.wait_for("shop")?;
    let began = Instant::now();
    // What is done when, in seconds.
    let mut script =
        [(2, "Enter"), (5, "kill"), (9, "Escape"), (10, "Down"), (11, "Enter"), (14, "q")]
            .into_iter()
            .peekable();
    screen.watch(
        |shown| shown.contains(ENDED),
        |screen| {
            while let Some(&(second, what)) = script.peek()
                && began.elapsed() >= Duration::from_secs(second)
            {
                script.next();
                match what {
                    "kill" => host.0.kill()?,
                    key => screen.press(key)?,
                }
            }
            Ok(())
        },
    )
}

/// A terminal with the program in it, and a runtime directory; ended when dropped.
struct Screen {
    program: PathBuf,
    place: PathBuf,
}

/// A process; killed when dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Screen {
    fn open(program: &Path, (width, height): (u16, u16), command: &str) -> Result<Self> {
        let place = std::env::temp_dir().join(format!("oc-screens-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        let screen = Self { program: program.to_owned(), place };
        let bin = program.parent().context("a program without a folder")?;
        let script = format!(
            "export OPEN_CHANNEL_DIR='{}/run' PATH='{}':\"$PATH\" TERM=screen-256color; \
             printf '\\033[1m$ {command}\\033[0m\\n'; {command}; printf '\\n{ENDED}'; sleep 60",
            screen.place.display(),
            bin.display(),
        );
        let (width, height) = (width.to_string(), height.to_string());
        let size = ["new-session", "-d", "-x", &width, "-y", &height];
        screen.tmux(&[&size[..], &["sh", "-c", &script]].concat())?;
        Ok(screen)
    }

    fn tmux(&self, args: &[&str]) -> Result<String> {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.place.join("tmux")).args(["-f", "/dev/null"]).args(args);
        let output = tmux.output().context("could not start tmux: install it")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {args:?}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// With its colours.
    fn shown(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    fn wait_for(&self, text: &str) -> Result<()> {
        let started = Instant::now();
        while !self.shown()?.contains(text) {
            ensure!(started.elapsed() < LIMIT, "{text:?} is not shown");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Looks until the end, and does something before each look.
    fn watch(
        &self,
        is_over: impl Fn(&str) -> bool,
        mut act: impl FnMut(&Self) -> Result<()>,
    ) -> Result<Vec<Frame>> {
        let (started, mut frames) = (Instant::now(), Vec::<Frame>::new());
        loop {
            act(self)?;
            let shown = self.shown()?;
            let over = is_over(&shown);
            if over && frames.last().is_some_and(|frame| !frame.text.trim().is_empty()) {
                frames.push(Frame { text: shown.replace(ENDED, ""), time: LAST });
                // A program that had the whole screen leaves nothing on it.
                while frames.len() > 1 && frames.last().is_some_and(|last| last.lines() < 3) {
                    frames.pop();
                }
                if let Some(last) = frames.last_mut() {
                    last.time = LAST;
                }
                return Ok(frames);
            }
            match frames.last_mut() {
                Some(last) if last.text == shown => last.time += LOOK,
                _ => frames.push(Frame { text: shown, time: LOOK }),
            }
            ensure!(started.elapsed() < LIMIT, "the program does not end");
            std::thread::sleep(LOOK);
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("OPEN_CHANNEL_DIR", self.place.join("run"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start(&self, args: &[&str]) -> Result<Started> {
        Ok(Started(self.command(args).stdin(Stdio::piped()).spawn()?))
    }

    /// The program with what a shell prints as its input, and that shell.
    fn traffic(&self, script: &str, args: &[&str]) -> Result<[Started; 2]> {
        let mut shell = Command::new("sh");
        let mut shell = Started(shell.args(["-c", script]).stdout(Stdio::piped()).spawn()?);
        let output = shell.0.stdout.take().context("a shell without an output")?;
        Ok([Started(self.command(args).stdin(output).spawn()?), shell])
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// All frames in one picture, one after the other.
fn animated(frames: &[Frame]) -> String {
    let total: f64 = frames.iter().map(|frame| frame.time.as_secs_f64()).sum();
    let (mut style, mut body, mut size, mut at) = (String::new(), String::new(), (0, 0), 0.0);
    for (number, frame) in frames.iter().enumerate() {
        let svg = Term::new().render_svg(&frame.text);
        size = (size.0.max(length(&svg, "width")), size.1.max(length(&svg, "height")));
        let (from, to) = (at / total * 100.0, (at + frame.time.as_secs_f64()) / total * 100.0);
        at += frame.time.as_secs_f64();
        style += &format!(
            "@keyframes f{number} {{ 0% {{ visibility: hidden }} {from:.3}% {{ visibility: visible }} \
             {to:.3}% {{ visibility: hidden }} 100% {{ visibility: hidden }} }}\n\
             .f{number} {{ visibility: hidden; animation: f{number} {total:.2}s step-end infinite }}\n"
        );
        body += &format!("<g class=\"f{number}\">\n{svg}\n</g>\n");
    }
    let (width, height) = size;
    format!(
        "<svg width=\"{width}px\" height=\"{height}px\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <style>\n{style}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"4.5\" class=\"bg\"/>\n{body}</svg>\n"
    )
}

/// An attribute of the first tag, in pixels.
fn length(svg: &str, attribute: &str) -> u32 {
    let value = svg.split_once(&format!("{attribute}=\"")).map(|(_, rest)| rest);
    value.and_then(|value| value.split_once("px")?.0.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_shown_for_its_time_and_has_room() {
        let frame = |text: &str, seconds| {
            let (text, time) = (text.to_owned(), Duration::from_secs(seconds));
            Frame { text, time }
        };
        let one = animated(&[frame("a", 1)]);
        let two = animated(&[frame("a", 1), frame(&"b".repeat(200), 3)]);
        assert!(
            two.contains("f0 { 0% { visibility: hidden } 0.000% { visibility: visible } 25.000%")
        );
        assert!(two.contains("25.000% { visibility: visible } 100.000% { visibility: hidden }"));
        assert!(two.contains("f1 4.00s step-end infinite"), "{two}");
        assert_eq!(two.matches("<g class=").count(), 2);
        assert!(length(&two, "width") > length(&one, "width"), "{one}{two}");
        assert!(length(&one, "height") > 0, "{one}");
    }
}
