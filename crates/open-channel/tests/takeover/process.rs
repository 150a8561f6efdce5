//! The processes of a test, which do not outlive it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::actor::{HOST_TIMEOUT, ROLE};
use crate::suspension;

/// Longer than anything takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for a busy machine not to take a process that lives for a stuck one.
const HOST_TIMEOUT_MS: &str = "3000";

/// The directory of a test, and the link that its processes use.
pub(crate) struct Stage {
    dir: TempDir,
    link: &'static str,
}

impl Stage {
    pub(crate) fn new(link: &'static str) -> Self {
        Self { dir: TempDir::with_prefix("oc-").expect("a directory"), link }
    }

    pub(crate) fn link(&self) -> &'static str {
        self.link
    }

    /// The number of channels' directories that are there.
    pub(crate) fn channels(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.dir.path().join("run")) else { return 0 };
        let names = entries.map(|entry| entry.expect("readable").file_name());
        names.filter(|name| name != "generations").count()
    }

    pub(crate) fn start(&self, role: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this program's path"))
            .env(ROLE, role)
            .env(HOST_TIMEOUT, HOST_TIMEOUT_MS)
            .env("OPEN_CHANNEL_DIR", self.dir.path().join("run"))
            .env("OPEN_CHANNEL_LINK", self.link)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (id, stdin, stdout) = (child.id(), child.stdin.take(), child.stdout.take());
        let output = Arc::<Output>::default();
        let shared = Arc::clone(&output);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout.expect("its output")).lines() {
                let Ok(line) = line else { break };
                shared.lock().lines.push(line.trim_end().to_owned());
                shared.changed.notify_all();
            }
            shared.lock().has_ended = true;
            shared.changed.notify_all();
        });
        let child = Mutex::new((child, stdin));
        Process { role: role.to_owned(), id, child, output }
    }
}

/// A process; killed when dropped, because one that is left behind keeps the output of the tests
/// open.
pub(crate) struct Process {
    role: String,
    id: u32,
    child: Mutex<(Child, Option<ChildStdin>)>,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    has_ended: bool,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it has said so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lock().lines.clone()
    }

    pub(crate) fn await_line(&self, wanted: &str) {
        self.await_line_with(|line| line == wanted);
    }

    pub(crate) fn await_line_with(&self, is_wanted: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut output = self.output.lock();
        while !output.lines.iter().any(|line| is_wanted(line)) {
            let left = until.saturating_duration_since(Instant::now());
            let last = output.lines.last();
            assert!(!left.is_zero(), "`{}` says nothing of it, but at last {last:?}", self.role);
            assert!(!output.has_ended, "`{}` has ended, and said at last {last:?}", self.role);
            let waited = self.output.changed.wait_timeout(output, left);
            output = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends its input, upon which it leaves.
    pub(crate) fn end(&self) {
        self.lock().1 = None;
    }

    /// Whether it leaves without an error. All its lines have been read then.
    pub(crate) fn has_succeeded(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut output = self.output.lock();
        while !output.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{}` does not leave", self.role);
            let waited = self.output.changed.wait_timeout(output, left);
            output = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(output);
        self.lock().0.wait().expect("its end").success()
    }

    /// Kills it. Everything that it said before has been read when this returns.
    pub(crate) fn kill(&self) {
        let mut child = self.lock();
        child.0.kill().expect("killed");
        child.0.wait().expect("its end");
        drop(child);
        let output = self.output.lock();
        let ended = self.output.changed.wait_timeout_while(output, PATIENCE, |it| !it.has_ended);
        assert!(ended.unwrap_or_else(PoisonError::into_inner).0.has_ended, "its output stays open");
    }

    /// Stops it, whatever it is doing.
    pub(crate) fn suspend(&self) {
        suspension::suspend(&self.lock().0);
    }

    pub(crate) fn resume(&self) {
        suspension::resume(&self.lock().0);
    }

    fn lock(&self) -> MutexGuard<'_, (Child, Option<ChildStdin>)> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines();
            let last = &lines[lines.len().saturating_sub(8)..];
            eprintln!("`{}` ({}) said at last: {last:?}", self.role, self.id);
        }
        let mut child = self.lock();
        let _ = child.0.kill();
        let _ = child.0.wait();
    }
}
