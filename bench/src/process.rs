//! The processes of one measurement: started from this very program, spoken to in lines, ended
//! whatever happens.

use crate::job::{Job, Line, Side, Subject, Task};
use anyhow::{Context, Result, bail};
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const SHARED_MEMORY: &str = "/dev/shm";

/// The argument that makes this program a child.
pub(crate) const CHILD: &str = "child";

pub(crate) struct Group {
    place: PathBuf,
    name: String,
    children: Vec<Child>,
    sender: Sender<(usize, Heard)>,
    heard: Receiver<(usize, Heard)>,
}

enum Heard {
    Line(Line),
    /// The child ended; without being killed by us, that is a failure.
    End,
}

impl Group {
    pub(crate) fn new() -> Result<Group> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ocb{}x{count}", std::process::id());
        // Memory-backed where there is such a place, as a runtime directory is.
        let shared = Path::new(SHARED_MEMORY);
        let parent = if shared.is_dir() { shared.into() } else { std::env::temp_dir() };
        let place = parent.join(&name);
        DirBuilder::new()
            .mode(0o700)
            .create(&place)
            .with_context(|| place.display().to_string())?;
        let (sender, heard) = channel();
        Ok(Group { place, name, children: Vec::new(), sender, heard })
    }

    pub(crate) fn job(&self, subject: Subject, side: Side, task: Task, connections: usize) -> Job {
        Job {
            subject,
            side,
            task,
            place: self.place.clone(),
            name: self.name.clone(),
            len: 64,
            millis: 0,
            trips: 0,
            connections,
            index: 0,
            core: None,
        }
    }

    /// Starts a child and says which one it is.
    pub(crate) fn start(&mut self, job: &Job) -> Result<usize> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([CHILD, &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a child process")?;
        let index = self.children.len();
        let out = child.stdout.take().context("the child has no output")?;
        self.children.push(child);
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                let _ = sender.send((index, Heard::Line(line)));
            }
            let _ = sender.send((index, Heard::End));
        });
        Ok(index)
    }

    /// Starts a host and waits until it can be connected to.
    pub(crate) fn start_host(&mut self, job: &Job) -> Result<usize> {
        let index = self.start(job)?;
        self.wait_for("the host", |line| matches!(line, Line::Ready).then_some(()))?;
        Ok(index)
    }

    /// Makes every child begin.
    pub(crate) fn go(&mut self) -> Result<()> {
        for child in &mut self.children {
            if let Some(stdin) = &mut child.stdin {
                stdin.write_all(b"go\n")?;
            }
        }
        Ok(())
    }

    pub(crate) fn pid(&self, index: usize) -> u32 {
        self.children[index].id()
    }

    /// SIGKILL. From now on nothing is expected of this child.
    pub(crate) fn kill(&mut self, index: usize) -> Result<()> {
        drop(self.children[index].stdin.take());
        Ok(self.children[index].kill()?)
    }

    pub(crate) fn wait_for<T>(&self, what: &str, wanted: impl Fn(&Line) -> Option<T>) -> Result<T> {
        self.wait_from(what, |_, line| wanted(line))
    }

    /// The next line that is wanted, from any child; others are passed over.
    pub(crate) fn wait_from<T>(
        &self,
        what: &str,
        wanted: impl Fn(usize, &Line) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((index, Heard::Line(Line::Failed { why }))) if self.expected(index) => {
                    bail!("child {index} failed: {why}")
                }
                Ok((index, Heard::Line(line))) => {
                    if let Some(found) = wanted(index, &line) {
                        return Ok(found);
                    }
                }
                Ok((index, Heard::End)) if self.expected(index) => {
                    bail!("child {index} ended while waiting for {what}")
                }
                Ok((_, Heard::End)) => {}
                Err(RecvTimeoutError::Timeout) => bail!("waited {PATIENCE:?} for {what}, in vain"),
                Err(RecvTimeoutError::Disconnected) => bail!("no child is left"),
            }
        }
    }

    fn expected(&self, index: usize) -> bool {
        self.children[index].stdin.is_some()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.place);
        // Some libraries leave named shared memory behind when killed; all of ours begins with our
        // name.
        let prefix = format!("{}_", self.name);
        for entry in fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
