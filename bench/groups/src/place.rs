//! Where the processes of a measurement meet: a directory, or a server that was started for it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::row::Subject;

/// A server has to answer within this.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Place {
    /// The processes get this with their task.
    pub(crate) address: String,
    server: Option<Child>,
    _dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn of(subject: Subject) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        match subject {
            Subject::Group | Subject::Channel => {
                let address = dir.path().join("run").display().to_string();
                Ok(Self { address, server: None, _dir: dir })
            }
            Subject::Zeromq => {
                let address = dir.path().display().to_string();
                Ok(Self { address, server: None, _dir: dir })
            }
            Subject::Redis => {
                let command = |port: &str, dir: &Path| {
                    let mut command = Command::new("redis-server");
                    command.args(["--port", port, "--bind", "127.0.0.1", "--save", ""]);
                    command.args(["--appendonly", "no", "--dir"]).arg(dir);
                    command
                };
                Self::server(dir, "redis-server", command)
            }
            Subject::Nats => {
                let command = |port: &str, dir: &Path| {
                    let mut command = Command::new("nats-server");
                    command.args(["-p", port, "-a", "127.0.0.1", "-js", "-sd"]).arg(dir);
                    command
                };
                Self::server(dir, "nats-server", command)
            }
        }
    }

    fn server(
        dir: tempfile::TempDir,
        program: &str,
        command: impl Fn(&str, &Path) -> Command,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = command(&port.to_string(), dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {program}: is it installed?"))?;
        let address = format!("127.0.0.1:{port}");
        let place = Self { address, server: Some(server), _dir: dir };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&place.address).is_err() {
            if Instant::now() > deadline {
                bail!("{program} does not answer at {}", place.address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(place)
    }

    /// Processor time that the server has used, in nanoseconds.
    pub(crate) fn cpu(&self) -> Result<u64> {
        self.server.as_ref().map_or(Ok(0), |server| cpu_of(server.id()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Processor time of a process, in nanoseconds, in steps of a clock tick.
pub(crate) fn cpu_of(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else { bail!("no times in stat") };
    Ok((user + system) * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}
