//! CMD: how it is started, asked to stop, and what its end means.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::place::VARIABLE;
use super::tied;
use crate::interrupt::Interrupted;
use crate::options::Options;

/// CMD, as the commands that run one take it: the last of their arguments.
#[derive(clap::Args)]
pub(super) struct CommandLine {
    /// The command and its arguments
    #[arg(
        id = "command",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(super) words: Vec<OsString>,
}

/// The program ends with the exit status of its CMD.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: u8,
}

impl Ended {
    /// As a shell has it: 128 and the number of the signal that killed it.
    pub(super) fn of(status: ExitStatus) -> Result<()> {
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal = None::<i32>;
        match status.code().or(signal.map(|signal| 128 | signal)) {
            Some(0) => Ok(()),
            code => {
                Err(Self { status: code.and_then(|code| code.try_into().ok()).unwrap_or(1) }.into())
            }
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exit status is {}", self.status)
    }
}

impl std::error::Error for Ended {}

/// What a CMD is run for.
#[derive(Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) words: &'a [OsString],
    pub(super) options: &'a Options,
    pub(super) group: &'a str,
    /// Of the lock, the service, the queue.
    pub(super) name: &'a str,
}

impl Purpose<'_> {
    /// CMD in an environment in which this program comes to the same group.
    pub(super) fn command(&self) -> Command {
        let mut command = tied::command(self.words);
        command
            .envs(self.options.environment())
            .env(VARIABLE, self.group)
            .env("OPEN_CHANNEL_NAME", self.name);
        command
    }
}

/// A CMD that runs.
pub(super) struct Running {
    pub(super) child: Child,
}

impl Running {
    /// To be called on the main thread.
    pub(super) fn start(words: &[OsString], mut command: Command) -> Result<Self> {
        match command.spawn() {
            Ok(child) => {
                #[cfg(windows)]
                super::job::tie(&child);
                Ok(Self { child })
            }
            Err(error) => Err(Ended { status: tied::not_run(&words[0], &error) }.into()),
        }
    }

    /// With its input and its output, and if wanted its errors, in the program's hands.
    pub(super) fn start_piped(
        words: &[OsString],
        mut command: Command,
        answers: bool,
    ) -> Result<Self> {
        command.stdin(Stdio::piped());
        if answers {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Self::start(words, command)
    }

    pub(super) async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.context("could not wait for the command")
    }

    /// Passes on what the program was asked. A terminal asks both of them itself.
    pub(super) fn pass_on(&mut self, signal: Interrupted) {
        let by_terminal = signal.status == 130 && io::IsTerminal::is_terminal(&io::stdin());
        if !by_terminal {
            self.signal(signal.status - 128);
        }
    }

    /// Asks it to stop, and kills it after the grace.
    pub(super) async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(15);
        self.end_within(grace).await
    }

    /// Waits for its end, and kills it after the grace.
    pub(super) async fn end_within(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Ok(status) = timeout(grace, self.wait()).await {
            return status;
        }
        let _ = self.child.start_kill();
        self.wait().await
    }

    #[cfg(unix)]
    pub(super) fn signal(&mut self, number: u8) {
        use rustix::process::{Pid, Signal, kill_process};

        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        // Nothing once its end is known: the number may be another process's.
        let signal = match number {
            1 => Signal::HUP,
            2 => Signal::INT,
            _ => Signal::TERM,
        };
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    #[cfg(not(unix))]
    pub(super) fn signal(&mut self, _: u8) {
        let _ = self.child.start_kill();
    }
}
