//! A test's own directory, processes and watchdog.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use open_channel::LinkKind;
use rustix::process::{Pid, Signal, kill_process};

use crate::actor::variables::TASK;
use crate::portable;

/// Limit of a whole test: processes of a test that hangs are killed, and their output is shown.
const WATCHDOG: Duration = Duration::from_secs(100);
/// Limit of one condition.
const PATIENCE: Duration = Duration::from_secs(30);
/// Limit after the watchdog has killed everything.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Lines shown of each process of a failed test.
const TAIL: usize = 12;

/// Runs `test` under a watchdog.
pub(crate) fn run(name: &str, test: impl FnOnce(&mut Stage)) {
    let mut stage = Stage::new();
    let cast = Arc::clone(&stage.cast);
    let (done, watched) = mpsc::channel::<()>();
    let watched_name = name.to_owned();
    let watchdog = std::thread::spawn(move || {
        let name = watched_name;
        if watched.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs after {WATCHDOG:?}:\n{}", cast.tails());
            cast.kill_all();
            if watched.recv_timeout(LAST_WORDS) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs without any process left: giving up");
                std::process::exit(101);
            }
        }
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut stage)));
    drop(done);
    watchdog.join().unwrap();
    if let Err(panic) = result {
        eprintln!("{name}:\n{}", stage.cast.tails());
        drop(stage);
        std::panic::resume_unwind(panic);
    }
}

/// Whether this user may make namespaces of its own, to fill a disk that nobody else has.
pub(crate) fn may_unshare() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "true"]);
    unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Monotonic nanoseconds, the same for all processes.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// All processes of a test, also for the watchdog.
#[derive(Default)]
struct Cast {
    members: Mutex<Vec<(String, Pid, Arc<Script>)>>,
}

impl Cast {
    fn tails(&self) -> String {
        let mut out = String::new();
        for (label, pid, script) in lock(&self.members).iter() {
            let state = lock(&script.state);
            let ended = if state.ended { ", ended" } else { "" };
            out += &format!("  {label} (process {}{ended}):\n", pid.as_raw_nonzero());
            for line in &state.lines[state.lines.len().saturating_sub(TAIL)..] {
                out += &format!("    {:>10} µs {}\n", line.at / 1000 % 1_000_000_000, line.text);
            }
        }
        out
    }

    fn kill_all(&self) {
        for (_, pid, script) in lock(&self.members).iter() {
            if !lock(&script.state).reaped {
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
    }
}

/// The directory and the processes of one test; killed and removed at its end.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    cast: Arc<Cast>,
    forked: RefCell<Vec<Pid>>,
    /// Further variables of every process.
    environment: Vec<(&'static str, &'static str)>,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("oc-test-").tempdir().unwrap();
        // Other users pass here, to be refused further in.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, cast: Arc::default(), forked: RefCell::default(), environment: Vec::new() }
    }

    /// Has every process from here on use this link.
    pub(crate) fn force_link(&mut self, link: &'static str) {
        self.environment.push(("OPEN_CHANNEL_LINK", link));
    }

    /// The link between two processes of one user that choose nothing.
    pub(crate) fn usual_link(&self) -> LinkKind {
        let forced = self.environment.iter().find(|(name, _)| *name == "OPEN_CHANNEL_LINK");
        forced.map_or(portable::USUAL_LINK, |(_, link)| LinkKind::from_name(link).unwrap())
    }

    /// A directory that is removed with the test.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The runtime directory of all processes, by default.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// A process, waiting for commands.
    pub(crate) fn actor(&self, label: impl Into<String>) -> Actor {
        self.actor_with(label, &[])
    }

    pub(crate) fn actor_with(
        &self,
        label: impl Into<String>,
        environment: &[(&str, &str)],
    ) -> Actor {
        self.actor_of(&std::env::current_exe().unwrap(), label, environment)
    }

    /// A process of another build of these tests.
    pub(crate) fn actor_of(
        &self,
        executable: &Path,
        label: impl Into<String>,
        environment: &[(&str, &str)],
    ) -> Actor {
        self.actor_by(Command::new(executable), label, environment)
    }

    /// A process that this command leads to.
    pub(crate) fn actor_by(
        &self,
        mut command: Command,
        label: impl Into<String>,
        environment: &[(&str, &str)],
    ) -> Actor {
        command.env("OPEN_CHANNEL_DIR", self.runtime_dir()).env(TASK, "commands");
        command.envs(self.environment.iter().copied()).envs(environment.iter().copied());
        let label = label.into();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let script = Arc::new(Script::default());
        lock(&self.cast.members).push((label.clone(), pid, Arc::clone(&script)));
        let stdout = child.stdout.take().unwrap();
        let writing = Arc::clone(&script);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let (at, text) = line.split_once(' ').unwrap_or(("0", &line));
                lock(&writing.state)
                    .lines
                    .push(Line { at: at.parse().unwrap_or(0), text: text.into() });
                writing.changed.notify_all();
            }
            lock(&writing.state).ended = true;
            writing.changed.notify_all();
        });
        let stdin = RefCell::new(child.stdin.take());
        Actor { label, pid, child: RefCell::new(child), stdin, script }
    }

    /// A process that has joined the channel `test`.
    pub(crate) fn joined(&self, label: impl Into<String>, settings: &str) -> Actor {
        let actor = self.actor(label);
        actor.open(settings);
        actor.ask("join", "joined");
        actor
    }

    /// The only channel's directory.
    pub(crate) fn channel_dir(&self) -> PathBuf {
        let dirs = std::fs::read_dir(self.runtime_dir()).unwrap().map(|e| e.unwrap().path());
        // Beside the channels' directories there is one that remembers removed ones.
        let dirs: Vec<_> = dirs.filter(|dir| !dir.ends_with("generations")).collect();
        assert_eq!(dirs.len(), 1, "{dirs:?}");
        dirs[0].clone()
    }

    /// The present host's generation and socket, from the directory.
    pub(crate) fn published(&self) -> (u64, PathBuf) {
        let dir = self.channel_dir();
        let links = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
        let links = links.filter(|entry| entry.file_type().unwrap().is_symlink());
        let links =
            links.filter_map(|e| Some((e.file_name().to_str()?.parse::<u64>().ok()?, e.path())));
        let (generation, link) = links.max().unwrap();
        let token = std::fs::read_link(link).unwrap();
        (generation, dir.join(format!("{}.sock", token.display())))
    }

    /// Forks `actor`; the child does nothing, with all that it inherited, and dies with the test.
    pub(crate) fn fork(&self, actor: &Actor) -> Pid {
        let child: i32 = actor.ask("fork", "forked").word(1).parse().unwrap();
        let child = Pid::from_raw(child).unwrap();
        self.forked.borrow_mut().push(child);
        child
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.forked.borrow().iter() {
            let _ = kill_process(*child, Signal::KILL);
        }
    }
}

/// The output of a process so far.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<Line>,
    ended: bool,
    reaped: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The time in monotonic nanoseconds.
    pub(crate) at: u64,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn word(&self, index: usize) -> &str {
        self.text
            .split(' ')
            .nth(index)
            .unwrap_or_else(|| panic!("no word {index} in {:?}", self.text))
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.word(index)
            .parse()
            .unwrap_or_else(|_| panic!("word {index} is no number in {:?}", self.text))
    }

    pub(crate) fn is(&self, start: &str) -> bool {
        self.text.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

/// A separate process under this test's command; killed when dropped.
pub(crate) struct Actor {
    pub(crate) label: String,
    pub(crate) pid: Pid,
    child: RefCell<Child>,
    stdin: RefCell<Option<ChildStdin>>,
    script: Arc<Script>,
}

impl Actor {
    pub(crate) fn tell(&self, command: &str) {
        let mut stdin = self.stdin.borrow_mut();
        // A dead process is noticed by its missing output.
        let _ = stdin.as_mut().unwrap().write_all(format!("{command}\n").as_bytes());
    }

    /// Gives a command and waits for a line that begins with `answer`.
    pub(crate) fn ask(&self, command: &str, answer: &str) -> Line {
        let mark = self.mark();
        self.tell(command);
        self.wait_since(mark, answer)
    }

    /// Opens the channel `test`, with the process as a candidate unless `role=peer`.
    pub(crate) fn open(&self, settings: &str) {
        self.ask(&opening(settings), "opened");
    }

    /// The number of lines so far.
    pub(crate) fn mark(&self) -> usize {
        lock(&self.script.state).lines.len()
    }

    /// The first line ever that begins with `start`.
    pub(crate) fn wait(&self, start: &str) -> Line {
        self.wait_since(0, start)
    }

    pub(crate) fn wait_since(&self, mark: usize, start: &str) -> Line {
        self.find(mark, &format!("{start:?}"), |line| line.is(start))
    }

    /// The first line from `mark` on for which `wanted` holds.
    pub(crate) fn find(&self, mark: usize, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut seen = mark;
        self.until(what, |lines| {
            let found = lines[seen.min(lines.len())..].iter().find(|line| wanted(line)).cloned();
            seen = lines.len();
            found
        })
    }

    /// Waits until `look`, called with all lines, returns a value.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&[Line]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = lock(&self.script.state);
        loop {
            if let Some(found) = look(&state.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (ended, label) = (state.ended, &self.label);
            if ended || left.is_zero() {
                drop(state);
                panic!("{label} {} without {what}", if ended { "ended" } else { "waited in vain" });
            }
            state = self
                .script
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        lock(&self.script.state).lines.clone()
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        self.catch_up();
        lock(&self.script.state).lines.iter().filter(|line| line.is(start)).count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Stops it, and waits until it stands still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let options = rustix::process::WaitIdOptions::STOPPED;
        rustix::process::waitid(rustix::process::WaitId::Pid(self.pid), options).unwrap();
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it at once, and waits until it is dead and all its output has been read.
    pub(crate) fn kill(&self) {
        self.kill_only();
        self.until_ended();
    }

    /// Kills it; a child of it may go on.
    pub(crate) fn kill_only(&self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        child.wait().unwrap();
        lock(&self.script.state).reaped = true;
    }

    fn until_ended(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = lock(&self.script.state);
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} does not end", self.label);
            state = self
                .script
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        self.until_ended();
        let status = self.child.borrow_mut().wait().unwrap();
        lock(&self.script.state).reaped = true;
        status
    }

    /// Waits until all its output so far has been read.
    pub(crate) fn catch_up(&self) {
        if !lock(&self.script.state).ended {
            self.ask("ping", "pong");
        }
    }

    /// A line of /proc/<pid>/status, in bytes.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid.as_raw_nonzero()).into()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.kill_only();
    }
}

/// The command that opens the channel `test`.
pub(crate) fn opening(settings: &str) -> String {
    format!("open name={} {settings}", hex("test"))
}

/// A name as a command carries it.
pub(crate) fn hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
