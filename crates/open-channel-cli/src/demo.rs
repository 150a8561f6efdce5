//! `open-channel demo`: several processes, one channel, no server; the host is killed, and nothing is lost.
//!
//! This process is not on the channel at all. It starts workers that run identical code, kills whichever
//! hosts, starts it again as a process manager would, and keeps books of what the workers report down their
//! pipes. What a worker had accepted for sending dies with it by contract; it resumes at the first piece of its
//! share that nobody has handled. Everything else must arrive, whoever dies.

mod display;
mod ledger;
mod plan;
mod record;
pub(crate) mod worker;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::display::{Display, grouped};
use self::ledger::{Ledger, Life, Verdict};
use self::plan::Plan;
use self::record::Record;
use crate::interrupt::{Interrupted, asked_to_stop};
use crate::options::Options;
use crate::output;

/// How long the traffic lasts unless asked otherwise: long enough to watch.
const SECONDS: f64 = 6.0;

/// Each kill gets some traffic of its own.
const SECONDS_PER_KILL: f64 = 0.25;

/// With all messages acknowledged, leaving is a matter of milliseconds.
const LEAVING: Duration = Duration::from_secs(10);

/// No message handled for so long means that the channel is stuck, and waiting would not help.
const STUCK: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many worker processes meet on the channel.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,

    /// How many times the process that hosts is killed (SIGKILL) while messages flow.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u64).range(0..=1000))]
    kills: u64,

    /// The file to stream through the channel [default: this program's own executable]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Over how many seconds to spread the traffic [default: 6, or more for many kills]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: Option<u16>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let program = std::env::current_exe().context("could not find this program's own executable")?;
    let input = args.input.unwrap_or_else(|| program.clone());
    let metadata = input.metadata().with_context(|| format!("could not read {}", input.display()))?;
    ensure!(metadata.is_file(), "{} is not a regular file: choose one with --input", input.display());
    let seconds = args
        .seconds
        .map_or_else(|| SECONDS.max(args.kills as f64 * SECONDS_PER_KILL), |seconds| seconds.into());
    let plan = Plan::new(metadata.len(), seconds, args.workers)?;

    let place = tempfile::Builder::new()
        .prefix("open-channel-demo-")
        .tempdir()
        .context("could not make a directory for the demo")?;
    let output = place.path().join("put-together-again");
    File::create(&output)
        .and_then(|file| file.set_len(plan.input_bytes * plan.passes))
        .with_context(|| format!("could not make {}", output.display()))?;

    output::line(introduction(&input, &plan, args.kills).as_bytes())?;
    let mut demo = Demo {
        plan,
        program,
        input,
        output,
        runtime_dir: place.path().join("channel"),
        verbose: options.verbose,
        duration: Duration::from_secs_f64(seconds),
        kills: args.kills,
        kills_done: 0,
        workers: Vec::new(),
        lives: 0,
        ledger: Ledger::new(plan),
        display: Display::new(plan.pieces()),
        host: None,
        failover: None,
        leaving: false,
        notices: mpsc::channel(1024),
    };
    tokio::select! {
        ran = demo.run() => ran?,
        () = asked_to_stop() => {
            demo.display.finish();
            return Err(Interrupted.into());
        }
    }

    let verdict = demo.ledger.verdict();
    let digest = compare(&demo.input, &demo.output, plan.passes)?;
    output::write(report(&verdict, &digest, &plan).as_bytes())?;
    judge(&verdict, &digest, &demo.input)
}

fn introduction(input: &Path, plan: &Plan, kills: u64) -> String {
    let times = match plan.passes {
        1 => String::new(),
        passes => format!(" {} times", grouped(passes)),
    };
    let kills = match kills {
        0 => "nobody is killed".to_owned(),
        1 => "whoever hosts it is killed once".to_owned(),
        kills => format!("whoever hosts it is killed {kills} times"),
    };
    format!(
        "{} processes, no server: they stream {} ({} bytes){times} through one channel\n\
         as {} numbered messages; {kills} on the way\n",
        plan.workers,
        input.display(),
        grouped(plan.input_bytes),
        grouped(plan.pieces()),
    )
}

/// Everything that the demo knows while it runs.
struct Demo {
    plan: Plan,
    program: PathBuf,
    input: PathBuf,
    output: PathBuf,
    runtime_dir: PathBuf,
    verbose: u8,
    duration: Duration,
    kills: u64,
    kills_done: u64,
    workers: Vec<Worker>,
    lives: Life,
    ledger: Ledger,
    display: Display,
    host: Option<Host>,
    failover: Option<Failover>,
    leaving: bool,
    notices: (mpsc::Sender<Notice>, mpsc::Receiver<Notice>),
}

/// One worker process; killed when dropped, so that none outlives the demo.
struct Worker {
    number: u64,
    life: Life,
    process: Child,
    /// Closing it asks the worker to leave.
    stdin: Option<ChildStdin>,
    finished: bool,
    killed: bool,
    gone: bool,
}

#[derive(Clone, Copy)]
struct Host {
    life: Life,
    generation: u64,
    /// It has handled something: the channel is in full swing again.
    handled: bool,
}

struct Failover {
    killed_at: Instant,
    killed_generation: u64,
}

/// What came down a worker's pipe, and when.
struct Notice {
    life: Life,
    at: Instant,
    what: What,
}

enum What {
    Record(Record),
    End(io::Result<()>),
}

impl Demo {
    async fn run(&mut self) -> Result<()> {
        for number in 0..self.plan.workers {
            let worker = self.start(number)?;
            self.workers.push(worker);
        }
        self.flow().await?;
        self.display.finish();
        ensure!(
            self.kills_done == self.kills,
            "all messages were handled after {} of {} kills: give it more time with --seconds",
            self.kills_done,
            self.kills
        );
        self.leave().await
    }

    /// Until every worker has its whole share acknowledged.
    async fn flow(&mut self) -> Result<()> {
        let mut frames = interval(self.display.interval());
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        frames.tick().await;
        let mut moved = (Instant::now(), 0);
        while !self.workers.iter().all(|worker| worker.finished) {
            tokio::select! {
                notice = self.notices.1.recv() => {
                    let notice = notice.context("the demo's own queue cannot close")?;
                    self.take(notice)?;
                }
                _ = frames.tick() => {
                    let covered = self.ledger.covered();
                    let host = match self.host {
                        Some(host) if self.failover.is_none() => self.name(host.life),
                        _ => "nobody yet".to_owned(),
                    };
                    self.display.progress(covered, &host)?;
                    if covered > moved.1 {
                        moved = (Instant::now(), covered);
                    }
                    ensure!(moved.0.elapsed() < STUCK, "no message was handled for {STUCK:?}: the channel is stuck");
                }
            }
        }
        Ok(())
    }

    /// Ends the workers and reads what they still have to say.
    async fn leave(&mut self) -> Result<()> {
        self.leaving = true;
        for worker in &mut self.workers {
            worker.stdin = None;
        }
        let ends = async {
            while !self.workers.iter().all(|worker| worker.gone) {
                let notice = self.notices.1.recv().await.context("the demo's own queue cannot close")?;
                self.take(notice)?;
            }
            Ok(())
        };
        timeout(LEAVING, ends)
            .await
            .unwrap_or_else(|_| bail!("a worker did not leave the channel within {LEAVING:?} of being asked"))
    }

    fn take(&mut self, Notice { life, at, what }: Notice) -> Result<()> {
        let record = match what {
            What::Record(record) => record,
            What::End(end) => return self.ended(life, end),
        };
        self.ledger.enter(life, record);
        if self.leaving {
            // The channel changes hands once more with each worker that leaves.
            return Ok(());
        }
        match record {
            Record::Sent { .. } => {}
            Record::Finished => {
                if let Some(worker) = self.workers.iter_mut().find(|worker| worker.life == life) {
                    // One that was killed after it said so still hosted; it starts again, and says so again.
                    worker.finished = !worker.killed;
                }
            }
            Record::Hosting { generation } => self.hosting(life, generation)?,
            Record::Handled { generation, .. } => {
                self.hosting(life, generation)?;
                self.first_handled(life, generation, at)?;
                self.kill_when_due()?;
            }
        }
        Ok(())
    }

    fn hosting(&mut self, life: Life, generation: u64) -> Result<()> {
        if self.host.is_none_or(|host| host.generation < generation) {
            self.host = Some(Host { life, generation, handled: false });
            if self.failover.is_none() {
                self.display.event(&format!("{} hosts (generation {generation})", self.name(life)))?;
            }
        }
        Ok(())
    }

    fn first_handled(&mut self, life: Life, generation: u64, at: Instant) -> Result<()> {
        if let Some(host) = &mut self.host
            && host.generation == generation
        {
            host.handled = true;
        }
        if let Some(failover) = &self.failover
            && generation > failover.killed_generation
        {
            let took = at.saturating_duration_since(failover.killed_at);
            self.failover = None;
            self.display.event(&format!(
                "{} hosts (generation {generation}), first message handled {:.1} ms after the kill",
                self.name(life),
                took.as_secs_f64() * 1000.0
            ))?;
        }
        Ok(())
    }

    /// Kills whoever hosts, at evenly spaced points of the stream, when all workers are there to take over.
    fn kill_when_due(&mut self) -> Result<()> {
        let Some(host) = self.host else { return Ok(()) };
        let due = self.plan.pieces() * (self.kills_done + 1) / (self.kills + 1);
        if self.kills_done == self.kills
            || self.failover.is_some()
            || !host.handled
            || self.ledger.covered() < due
            || self.workers.iter().any(|worker| worker.killed)
        {
            return Ok(());
        }
        let name = self.name(host.life);
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.life == host.life) else {
            return Ok(());
        };
        let killed_at = Instant::now();
        worker.process.kill().context("could not kill a worker")?;
        worker.killed = true;
        worker.finished = false;
        self.ledger.killed(host.life);
        self.kills_done += 1;
        self.failover = Some(Failover { killed_at, killed_generation: host.generation });
        self.display.event(&format!("SIGKILL {name}, which hosts"))
    }

    /// A worker's pipe is at its end, and so is the worker.
    fn ended(&mut self, life: Life, end: io::Result<()>) -> Result<()> {
        end.context("could not read what a worker reports")?;
        let name = self.name(life);
        let Some(index) = self.workers.iter().position(|worker| worker.life == life) else {
            return Ok(());
        };
        let status = self.workers[index].process.wait().context("could not wait for a worker")?;
        if self.workers[index].killed {
            // All that it handled or sent is in the books by now, so it resumes at the right place.
            let worker = self.start(self.workers[index].number)?;
            let number = worker.number + 1;
            self.workers[index] = worker;
            return self
                .display
                .event(&format!("worker {number} starts again, where its handled messages end"));
        }
        self.workers[index].gone = true;
        let asked = self.workers[index].stdin.is_none();
        ensure!(asked && status.success(), "{name} ended by itself with {}", describe(status));
        Ok(())
    }

    fn start(&mut self, number: u64) -> Result<Worker> {
        let args = worker::Args::new(
            &self.plan,
            number,
            (self.input.clone(), self.output.clone()),
            self.ledger.resume_at(number),
            (self.duration, self.display.elapsed()),
        );
        let mut command = Command::new(&self.program);
        command
            .args(args.command_line())
            .args((0..self.verbose).map(|_| "-v"))
            .env("OPEN_CHANNEL_DIR", &self.runtime_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Ctrl-C is for us to answer: workers that die with us would look like workers that fail.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn().context("could not start a worker")?;
        self.lives += 1;
        let life = self.lives;
        let stdin = process.stdin.take();
        let pipe = process.stdout.take().context("a worker without standard output")?;
        let notices = self.notices.0.clone();
        std::thread::spawn(move || read_reports(life, pipe, &notices));
        Ok(Worker { number, life, process, stdin, finished: false, killed: false, gone: false })
    }

    fn name(&self, life: Life) -> String {
        match self.workers.iter().find(|worker| worker.life == life) {
            Some(worker) => format!("worker {} (pid {})", worker.number + 1, worker.process.id()),
            None => "a worker that was killed".to_owned(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The pipe outlives the worker: what a killed worker wrote is read to the end before the end is reported.
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

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

/// SHA-256 of what should be there, and of what is.
struct Digests {
    input: String,
    output: String,
}

fn compare(input: &Path, output: &Path, passes: u64) -> Result<Digests> {
    let mut expected = Sha256::new();
    for _ in 0..passes {
        digest_file(input, &mut expected)?;
    }
    let mut actual = Sha256::new();
    digest_file(output, &mut actual)?;
    Ok(Digests { input: hex(&expected.finalize()), output: hex(&actual.finalize()) })
}

fn digest_file(path: &Path, digest: &mut Sha256) -> Result<()> {
    let read = |digest: &mut Sha256| -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                length => digest.update(&buffer[..length]),
            }
        }
    };
    read(digest).with_context(|| format!("could not read {}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn report(verdict: &Verdict, digests: &Digests, plan: &Plan) -> String {
    let mut table = String::from("\n");
    let mut row = |name: &str, value: &str, note: &str| {
        table.push_str(format!("  {name:<18}{value:>12}  {note}").trim_end());
        table.push('\n');
    };
    row("sent", &grouped(verdict.sent), "messages that the channel accepted");
    row("handled", &grouped(verdict.handled), "of these, by whoever hosted");
    row("redelivered", &grouped(verdict.redelivered), "to the next host, and marked so");
    row(
        "duplicates",
        &grouped(verdict.duplicates),
        "handled before a kill, told by their id and not counted",
    );
    row(
        "died with sender",
        &grouped(verdict.died_with_sender),
        "queued in a worker that was killed; sent anew when it came back",
    );
    row("lost", &grouped(verdict.lost), "");
    row(
        "order",
        if verdict.breach.is_none() { "ok" } else { "BROKEN" },
        verdict.breach.as_deref().unwrap_or(""),
    );
    let same = digests.input == digests.output;
    row("digest", if same { "ok" } else { "DIFFERS" }, &format!("sha256 {}", digests.output));
    let _ = write!(
        table,
        "\nchecked: that each of the {} pieces was handled, in order within its socket, and that the file\n\
         which the hosts put together from them has the digest of the input\n",
        grouped(plan.pieces())
    );
    table
}

fn judge(verdict: &Verdict, digests: &Digests, input: &Path) -> Result<()> {
    ensure!(verdict.lost == 0, "{} messages were lost", grouped(verdict.lost));
    if let Some(breach) = &verdict.breach {
        bail!("the channel broke its promise: {breach}");
    }
    ensure!(
        digests.input == digests.output,
        "the digests differ: was {} written to while the demo ran?",
        input.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Digests, Verdict, compare, judge};

    fn digests(output: &str) -> Digests {
        Digests { input: "a".to_owned(), output: output.to_owned() }
    }

    #[test]
    fn only_a_clean_verdict_passes() {
        let input = Path::new("input");
        assert!(judge(&Verdict::default(), &digests("a"), input).is_ok());
        assert!(judge(&Verdict { lost: 1, ..Verdict::default() }, &digests("a"), input).is_err());
        let breach = Some("message 1 came twice".to_owned());
        assert!(judge(&Verdict { breach, ..Verdict::default() }, &digests("a"), input).is_err());
        assert!(judge(&Verdict::default(), &digests("b"), input).is_err());
    }

    #[test]
    fn the_digest_is_that_of_all_passes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (input, output) = (dir.path().join("input"), dir.path().join("output"));
        std::fs::write(&input, "abc").expect("writing");
        std::fs::write(&output, "abcabc").expect("writing");
        let digests = compare(&input, &output, 2).expect("comparing");
        assert_eq!(digests.input, digests.output);
        let digests = compare(&input, &output, 1).expect("comparing");
        assert_ne!(digests.input, digests.output);
        assert_eq!(digests.input, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
