//! A worker's process: started, waited for, killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::worker::{COMMAND, READY, Role};

/// A worker; killed when dropped.
pub(super) struct Worker(Child);

impl Worker {
    /// Returns when it is ready.
    pub(super) fn start(role: Role, dir: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program")?;
        let role = role.to_possible_value().context("a role without a name")?;
        let mut command = Command::new(program);
        command.args([COMMAND, role.get_name()]).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C ends the supervisor alone, which takes them along.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("could not start a worker")?;
        let stdout = child.stdout.take().context("a worker without standard output")?;
        let worker = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("could not hear of a worker")?;
        if line.trim_end() != READY {
            bail!("a worker ended before it was ready");
        }
        Ok(worker)
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.0.kill().context("could not kill a worker")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
