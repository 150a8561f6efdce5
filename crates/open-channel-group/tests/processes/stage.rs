//! A test's own directory, processes and watchdog.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::system::{self, now};

/// The variable that makes a process of the tests an actor.
pub(crate) const ACTOR: &str = "OPEN_CHANNEL_GROUP_TEST_ACTOR";
/// The variable with its runtime directory.
pub(crate) const DIRECTORY: &str = "OPEN_CHANNEL_GROUP_TEST_DIRECTORY";
/// Limit of one condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Lines shown of each process of a failed test.
const TAIL: usize = 15;

/// Runs `test` under a watchdog.
pub(crate) fn run(name: &str, limit: Duration, test: impl FnOnce(&mut Stage)) {
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), cast: Arc::default() };
    let cast = Arc::clone(&stage.cast);
    let (done, watched) = mpsc::channel::<()>();
    let watched_name = name.to_owned();
    let watchdog = std::thread::spawn(move || {
        if watched.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{watched_name} hangs after {limit:?}:\n{}", cast.tails());
            std::process::exit(101);
        }
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut stage)));
    drop(done);
    watchdog.join().unwrap();
    if let Err(panic) = result {
        eprintln!("{name}:\n{}", stage.cast.tails());
        stage.cast.keep();
        drop(stage);
        std::panic::resume_unwind(panic);
    }
}

/// All processes of a test, also for the watchdog.
#[derive(Default)]
struct Cast(Mutex<Vec<(String, Arc<Script>)>>);

impl Cast {
    fn tails(&self) -> String {
        let mut out = String::new();
        for (label, script) in lock(&self.0).iter() {
            let said = lock(&script.said);
            out += &format!("  {label}{}:\n", if said.ended { " (ended)" } else { "" });
            for line in &said.lines[said.lines.len().saturating_sub(TAIL)..] {
                out += &format!("    {:>10} µs {}\n", line.at / 1000 % 1_000_000_000, line.text);
            }
        }
        out
    }
}

/// The variable with a directory for all output of a failed test.
const LOGS: &str = "OPEN_CHANNEL_GROUP_TEST_LOGS";

impl Cast {
    fn keep(&self) {
        let Some(directory) = std::env::var_os(LOGS).map(PathBuf::from) else { return };
        for (label, script) in lock(&self.0).iter() {
            let said = lock(&script.said);
            let lines: Vec<String> = said
                .lines
                .iter()
                .map(|line| format!("{} {}\n", line.at / 1000, line.text))
                .collect();
            std::fs::write(directory.join(label), lines.concat()).unwrap();
        }
    }
}

pub(crate) struct Stage {
    dir: tempfile::TempDir,
    cast: Arc<Cast>,
}

impl Stage {
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("d")
    }

    /// A new process.
    pub(crate) fn actor(&self, label: impl Into<String>) -> Actor {
        let label = label.into();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ACTOR, &label)
            .env(DIRECTORY, self.runtime_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let script = Arc::new(Script::default());
        lock(&self.cast.0).push((label.clone(), Arc::clone(&script)));
        let (stdout, writing) = (child.stdout.take().unwrap(), Arc::clone(&script));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                let (at, text) = line.split_once(' ').unwrap_or_default();
                let line = Line { at: at.parse().unwrap_or(0), text: text.into() };
                lock(&writing.said).lines.push(line);
                writing.changed.notify_all();
            }
            lock(&writing.said).ended = true;
            writing.changed.notify_all();
        });
        let stdin = RefCell::new(child.stdin.take());
        Actor { label, child: RefCell::new(child), stdin, script, died: RefCell::new(None) }
    }

    /// Waits until a host has published itself with this generation.
    pub(crate) fn wait_for_generation(&self, generation: u64) {
        let deadline = Instant::now() + PATIENCE;
        let link = format!("{generation:020}");
        let is_there = || {
            let channels = std::fs::read_dir(self.runtime_dir()).unwrap();
            channels
                .filter_map(Result::ok)
                .any(|dir| dir.path().join(&link).symlink_metadata().is_ok())
        };
        while !is_there() {
            assert!(Instant::now() < deadline, "nobody hosts in generation {generation}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A process that has joined the group.
    pub(crate) fn joined(&self, label: impl Into<String>, settings: &str) -> Actor {
        let actor = self.actor(label);
        actor.tell(&format!("join {settings}"));
        actor.wait("joined");
        actor
    }
}

#[derive(Default)]
struct Script {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<Line>,
    ended: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The time in monotonic nanoseconds.
    pub(crate) at: u64,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn word(&self, index: usize) -> &str {
        let word = self.text.split(' ').nth(index);
        word.unwrap_or_else(|| panic!("no word {index} in {:?}", self.text))
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.word(index).parse().unwrap_or_else(|_| panic!("no number in {:?}", self.text))
    }

    pub(crate) fn is(&self, start: &str) -> bool {
        self.text.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

/// A separate process under this test's command; killed when dropped.
pub(crate) struct Actor {
    pub(crate) label: String,
    child: RefCell<Child>,
    stdin: RefCell<Option<ChildStdin>>,
    script: Arc<Script>,
    /// When it was known to be dead.
    pub(crate) died: RefCell<Option<u64>>,
}

impl Actor {
    pub(crate) fn tell(&self, command: &str) {
        // A dead process is noticed by its missing output.
        let _ =
            self.stdin.borrow_mut().as_mut().unwrap().write_all(format!("{command}\n").as_bytes());
    }

    /// Gives a command and waits for a line that begins with `answer`.
    pub(crate) fn ask(&self, command: &str, answer: &str) -> Line {
        let mark = self.mark();
        self.tell(command);
        self.wait_since(mark, answer)
    }

    pub(crate) fn mark(&self) -> usize {
        lock(&self.script.said).lines.len()
    }

    pub(crate) fn wait(&self, start: &str) -> Line {
        self.wait_since(0, start)
    }

    pub(crate) fn wait_since(&self, mark: usize, start: &str) -> Line {
        self.until(start, |lines| lines.iter().skip(mark).find(|line| line.is(start)).cloned())
    }

    /// Waits until `look`, called with all lines, returns a value.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&[Line]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut said = lock(&self.script.said);
        loop {
            if let Some(found) = look(&said.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if said.ended || left.is_zero() {
                let how = if said.ended { "ended" } else { "waited in vain" };
                drop(said);
                panic!("{} {how} without {what:?}", self.label);
            }
            let waited = self.script.changed.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        lock(&self.script.said).lines.clone()
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        lock(&self.script.said).lines.iter().filter(|line| line.is(start)).count()
    }

    /// Waits until all its output so far has been read.
    pub(crate) fn catch_up(&self) {
        if self.died.borrow().is_none() {
            self.ask("ping", "pong");
        }
    }

    pub(crate) fn is_host(&self) -> bool {
        self.ask("host?", "host").word(1) == "true"
    }

    /// Stops it, and waits until it stands still.
    pub(crate) fn stop(&self) {
        system::stop(&self.child.borrow());
    }

    pub(crate) fn resume(&self) {
        system::resume(&self.child.borrow());
    }

    /// Kills it at once, and waits until it is dead and all its output has been read.
    pub(crate) fn kill(&self) {
        let _ = self.child.borrow_mut().kill();
        self.end();
    }

    /// It leaves in order, and ends.
    pub(crate) fn close(&self) -> Line {
        let closed = self.ask("close", "closed");
        self.tell("exit");
        self.end();
        closed
    }

    fn end(&self) {
        self.child.borrow_mut().wait().unwrap();
        self.died.borrow_mut().get_or_insert(now());
        let mut said = lock(&self.script.said);
        while !said.ended {
            said = self.script.changed.wait(said).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
