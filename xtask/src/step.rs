//! One command of a check, with a hard limit: the closing line is printed even if something hangs.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::totals::Totals;

/// How often a child is asked whether it has ended; std cannot wait for a limited time.
const POLL: Duration = Duration::from_millis(20);

/// Output that was written before the end, or before a kill, is read within this.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// One thing to run.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) args: &'static [&'static str],
    /// Where to run it, below the project's root.
    pub(crate) folder: &'static str,
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Test programs run in this step: their results are counted, and `--repeat` applies.
    pub(crate) counted: bool,
    /// Longer than it takes on a slow machine that has nothing built yet.
    pub(crate) limit: Duration,
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// How a step went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Killed at its limit.
    TookTooLong,
    /// Somebody wants the whole run to end.
    Interrupted,
}

/// The process group of the step that runs, and whether the user wants no more of this.
static RUNNING: Mutex<Running> = Mutex::new(Running { group: None, interrupted: false });

struct Running {
    group: Option<Pid>,
    interrupted: bool,
}

/// Takes the running step along when the user or a supervisor ends this program. Steps are process
/// groups of their own, which a terminal's Ctrl-C does not reach.
pub(crate) fn take_steps_along() {
    let handled = ctrlc::set_handler(|| {
        let mut running = running();
        running.interrupted = true;
        running.kill();
    });
    if let Err(error) = handled {
        eprintln!("warning: an interrupt will leave processes behind: {error}");
    }
}

fn running() -> std::sync::MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    fn kill(&self) {
        if let Some(group) = self.group {
            // One that is gone needs no killing.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Step {
    /// Runs it until `deadline`, or its own limit if that is sooner. The output appears as it
    /// comes; the results in it are added to `totals`.
    pub(crate) fn run(&self, deadline: Instant, totals: &mut Totals) -> Outcome {
        if running().interrupted {
            return Outcome::Interrupted;
        }
        println!("\n== {}: {} {}", self.name, self.program, self.args.join(" "));
        let started = Instant::now();
        let outcome =
            self.run_within(deadline.min(started + self.limit), totals, std::io::stdout());
        let took = started.elapsed();
        match outcome {
            Outcome::Passed => println!("== {}: ok in {took:.1?}", self.name),
            Outcome::Failed => println!("== {}: FAILED in {took:.1?}", self.name),
            Outcome::TookTooLong => {
                println!(
                    "== {}: FAILED: killed after {took:.1?}, with all its processes",
                    self.name
                );
            }
            Outcome::Interrupted => println!("== {}: interrupted after {took:.1?}", self.name),
        }
        outcome
    }

    fn run_within(
        &self,
        deadline: Instant,
        totals: &mut Totals,
        to: impl Write + Send + 'static,
    ) -> Outcome {
        let mut command = Command::new(self.program);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(self.folder));
        command
            .args(self.args)
            .envs(self.env.iter().copied())
            .stdin(Stdio::null())
            .process_group(0);
        if self.counted {
            command.stdout(Stdio::piped());
            // Most tests wait most of the time.
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            command.env("RUST_TEST_THREADS", (2 * cores).to_string());
        }
        let mut child = {
            let mut running = running();
            if running.interrupted {
                return Outcome::Interrupted;
            }
            match command.spawn() {
                Ok(child) => {
                    running.group = Some(Pid::from_child(&child));
                    child
                }
                Err(error) => {
                    eprintln!("error: could not start {}: {error}", self.program);
                    return Outcome::Failed;
                }
            }
        };
        let counting = child.stdout.take().map(|output| count(BufReader::new(output), to));
        let ended = wait(&mut child, counting.as_ref(), deadline, totals);
        let mut running = running();
        if ended.is_none() {
            running.kill();
            // Killed: it ends.
            let _ = child.wait();
        }
        running.group = None;
        let interrupted = running.interrupted;
        drop(running);
        if ended.is_none()
            && let Some(counting) = &counting
        {
            // A process that left the group and holds the pipe is not waited for.
            add_all(counting, Instant::now() + LAST_WORDS, totals);
        }
        match ended {
            _ if interrupted => Outcome::Interrupted,
            Some(status) if status.success() => Outcome::Passed,
            Some(_) => Outcome::Failed,
            None => Outcome::TookTooLong,
        }
    }
}

/// The end of the child and of its output, which processes that it left behind may hold open;
/// `None` when there was none by `deadline`.
fn wait(
    child: &mut Child,
    counting: Option<&Receiver<Totals>>,
    deadline: Instant,
    totals: &mut Totals,
) -> Option<ExitStatus> {
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) | Err(_) if Instant::now() >= deadline => return None,
            Ok(None) | Err(_) => std::thread::sleep(POLL),
        }
    };
    match counting {
        Some(counting) => add_all(counting, deadline, totals).then_some(status),
        None => Some(status),
    }
}

/// Adds what was counted, up to the end of the output; `false` when that did not come by
/// `deadline`.
fn add_all(counting: &Receiver<Totals>, deadline: Instant, totals: &mut Totals) -> bool {
    loop {
        match counting.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(found) => *totals += found,
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// Passes the output on, on a thread of its own that nobody has to wait for.
fn count(
    output: impl BufRead + Send + 'static,
    mut to: impl Write + Send + 'static,
) -> Receiver<Totals> {
    let (found, counting) = channel();
    std::thread::spawn(move || {
        copy_counting(output, &mut to, |totals| {
            // Nobody waits any more for what comes after the limit.
            let _ = found.send(totals);
        })
    });
    counting
}

/// Passes the output on line by line and counts the results in it. Tests may print any bytes.
fn copy_counting(
    mut from: impl BufRead,
    to: &mut impl Write,
    mut found: impl FnMut(Totals),
) -> std::io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        if let Some(totals) = Totals::from_line(&String::from_utf8_lossy(&line)) {
            found(totals);
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One at a time: there is one running step.
    static STAGE: Mutex<()> = Mutex::new(());

    fn run(script: &'static [&'static str], limit: Duration) -> (Outcome, Totals, Duration) {
        let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let step = Step {
            name: "test",
            program: "sh",
            args: script,
            folder: "",
            env: &[],
            counted: true,
            limit,
        };
        let mut totals = Totals::default();
        let started = Instant::now();
        // Not to where a counting program above this one would find the results.
        let outcome = step.run_within(started + limit, &mut totals, std::io::sink());
        (outcome, totals, started.elapsed())
    }

    const SHORT: Duration = Duration::from_millis(500);
    const AMPLE: Duration = Duration::from_secs(50);

    #[test]
    fn a_step_ends_as_its_program_does() {
        assert_eq!(run(&["-c", "exit 0"], AMPLE).0, Outcome::Passed);
        assert_eq!(run(&["-c", "exit 1"], AMPLE).0, Outcome::Failed);
        let missing = Step {
            name: "missing",
            program: "./there-is-no-such-program",
            args: &[],
            folder: "",
            env: &[],
            counted: false,
            limit: AMPLE,
        };
        let outcome =
            missing.run_within(Instant::now() + AMPLE, &mut Totals::default(), std::io::sink());
        assert_eq!(outcome, Outcome::Failed);
    }

    #[test]
    fn a_step_that_hangs_is_killed_and_what_it_had_said_counts() {
        const SCRIPT: &str =
            "echo 'test result: ok. 3 passed; 1 failed; 0 ignored'; sleep 1000 & sleep 1000";
        let (outcome, totals, took) = run(&["-c", SCRIPT], SHORT);
        assert_eq!((outcome, totals), (Outcome::TookTooLong, Totals { passed: 3, failed: 1 }));
        assert!(
            took >= SHORT && took < LAST_WORDS,
            "the pipe was held by a process that lives: {took:?}"
        );
    }

    #[test]
    fn a_process_left_behind_with_the_output_is_killed_too() {
        let (outcome, _, took) = run(&["-c", "sleep 1000 & exit 0"], SHORT);
        assert_eq!(outcome, Outcome::TookTooLong);
        assert!(took < LAST_WORDS, "the pipe was held by a process that lives: {took:?}");
    }

    #[test]
    fn output_is_passed_on_unchanged_and_summed_over_programs() {
        let output: &[u8] = b"running 2 tests\n\xff\xfe\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            no newline at the end";
        let (mut copied, mut totals) = (Vec::new(), Totals::default());
        copy_counting(output, &mut copied, |found| totals += found).expect("copying");
        assert_eq!(copied, output);
        assert_eq!(totals, Totals { passed: 3, failed: 3 });
    }
}
