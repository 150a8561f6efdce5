//! A worker's process: started, listened to, killed.

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;

use super::ledger::Life;
use super::plan::Plan;
use super::record::Record;
use super::worker;

/// Reports that wait for the supervisor. With more, workers wait.
const QUEUE: usize = 1024;

/// The settings that all workers are started with.
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
    pub(super) runtime_dir: PathBuf,
    pub(super) duration: Duration,
    pub(super) verbose: u8,
}

/// One life of one worker; killed when dropped, so that no worker runs on after the demo.
pub(super) struct Process {
    /// The number of the worker, from 0.
    pub(super) number: u64,
    pub(super) life: Life,
    child: Child,
    /// Closing it asks the worker to leave.
    stdin: Option<ChildStdin>,
    /// It reported that all of its share is acknowledged.
    pub(super) finished: bool,
    pub(super) killed: bool,
    pub(super) gone: bool,
    /// Time without a report.
    pub(super) silence: Duration,
}

/// The end of a worker, if that is no failure.
#[derive(PartialEq, Eq)]
pub(super) enum Ended {
    AsAsked,
    KilledByDemo,
    KilledByOthers,
}

/// A report from a worker's pipe, and its time.
pub(super) struct Notice {
    pub(super) life: Life,
    pub(super) at: Instant,
    pub(super) what: What,
}

pub(super) enum What {
    Record(Record),
    /// The pipe is at its end: all of the worker's reports are in.
    End(io::Result<()>),
}

pub(super) fn notices() -> (mpsc::Sender<Notice>, mpsc::Receiver<Notice>) {
    mpsc::channel(QUEUE)
}

impl Process {
    /// Starts worker `number` at this place of its share, this long after the demo's start.
    pub(super) fn start(
        launch: &Launch,
        plan: &Plan,
        (number, life): (u64, Life),
        resume_at: u64,
        elapsed: Duration,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Process> {
        let files = (launch.input.clone(), launch.output.clone());
        let args = worker::Args::new(plan, number, files, resume_at, (launch.duration, elapsed));
        let mut command = Command::new(&launch.program);
        command
            .args(args.command_line())
            .args((0..launch.verbose).map(|_| "-v"))
            .env("OPEN_CHANNEL_DIR", &launch.runtime_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Ctrl-C ends the demo alone: workers that it ended would be reported as failures.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("could not start a worker")?;
        let stdin = child.stdin.take();
        let pipe = child.stdout.take().context("a worker without standard output")?;
        std::thread::spawn(move || read_reports(life, pipe, &notices));
        Ok(Process {
            number,
            life,
            child,
            stdin,
            finished: false,
            killed: false,
            gone: false,
            silence: Duration::ZERO,
        })
    }

    pub(super) fn name(&self) -> String {
        format!("worker {} (pid {})", self.number + 1, self.pid())
    }

    /// SIGKILL, or the closest equivalent of this system.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("could not kill a worker")?;
        self.killed = true;
        self.finished = false;
        Ok(())
    }

    pub(super) fn ask_to_leave(&mut self) {
        self.stdin = None;
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// To be called after the end of its pipe.
    pub(super) fn ended(&mut self) -> Result<Ended> {
        let status = self.child.wait().context("could not wait for a worker")?;
        self.gone = true;
        if self.killed {
            return Ok(Ended::KilledByDemo);
        }
        if is_kill(status) {
            self.killed = true;
            return Ok(Ended::KilledByOthers);
        }
        ensure!(
            self.stdin.is_none() && status.success(),
            "{} ended by itself with {}",
            self.name(),
            describe(status)
        );
        Ok(Ended::AsAsked)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pipe outlives the worker: a killed worker's reports are read before its end is reported.
fn read_reports(life: Life, pipe: ChildStdout, notices: &mpsc::Sender<Notice>) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let what = match Record::read_from(&mut pipe) {
            Ok(Some(record)) => What::Record(record),
            Ok(None) => What::End(Ok(())),
            Err(error) => What::End(Err(error)),
        };
        let last = matches!(what, What::End(_));
        if notices.blocking_send(Notice { life, at: Instant::now(), what }).is_err() || last {
            return;
        }
    }
}

#[cfg(unix)]
fn is_kill(status: ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}

/// Without signals, a kill cannot be distinguished from another failure.
#[cfg(not(unix))]
fn is_kill(_: ExitStatus) -> bool {
    false
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}
