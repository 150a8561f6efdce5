//! One worker of the demo. All of them run this code, and the first to arrive hosts.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use open_channel::{Channel, Event, Message, Scope, Socket};
use tokio::sync::oneshot;

use super::plan::Plan;
use super::record::{Id, Record};
use crate::output;

/// The name of the channel. The runtime directory is the demo's own, so any name would do.
const CHANNEL: &str = "demo";

/// Longer than usual, because a busy machine may take its time to start all the workers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two checks whether further pieces are due.
const PACE: Duration = Duration::from_millis(2);

/// Each message starts with the number of its piece.
const NUMBER_BYTES: usize = 8;

/// The first argument of a worker.
pub(crate) const COMMAND: &str = "demo-worker";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    worker: u64,
    #[arg(long)]
    workers: u64,
    #[arg(long)]
    input: PathBuf,
    #[arg(long)]
    output: PathBuf,
    #[arg(long)]
    input_bytes: u64,
    #[arg(long)]
    piece_bytes: u64,
    #[arg(long)]
    passes: u64,
    /// The first piece of the share that is still to be sent.
    #[arg(long)]
    resume_at: u64,
    /// The time over which the share is to be spread, and the part of it that has passed already.
    #[arg(long)]
    milliseconds: u64,
    #[arg(long)]
    elapsed: u64,
}

impl Args {
    /// The arguments from the supervisor, beside the definition so that the two stay the same.
    pub(crate) fn command_line(&self) -> Vec<std::ffi::OsString> {
        let mut line: Vec<std::ffi::OsString> = vec![COMMAND.into()];
        for (option, number) in [
            ("--worker", self.worker),
            ("--workers", self.workers),
            ("--input-bytes", self.input_bytes),
            ("--piece-bytes", self.piece_bytes),
            ("--passes", self.passes),
            ("--resume-at", self.resume_at),
            ("--milliseconds", self.milliseconds),
            ("--elapsed", self.elapsed),
        ] {
            line.push(option.into());
            line.push(number.to_string().into());
        }
        line.extend(["--input".into(), self.input.clone().into()]);
        line.extend(["--output".into(), self.output.clone().into()]);
        line
    }

    pub(crate) fn new(
        plan: &Plan,
        worker: u64,
        (input, output): (PathBuf, PathBuf),
        resume_at: u64,
        (duration, elapsed): (Duration, Duration),
    ) -> Args {
        let Plan { input_bytes, piece_bytes, passes, workers } = *plan;
        let (milliseconds, elapsed) = (duration.as_millis() as u64, elapsed.as_millis() as u64);
        Args {
            worker,
            workers,
            input,
            output,
            input_bytes,
            piece_bytes,
            passes,
            resume_at,
            milliseconds,
            elapsed,
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            input_bytes: self.input_bytes,
            piece_bytes: self.piece_bytes,
            passes: self.passes,
            workers: self.workers,
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let plan = args.plan();
    ensure!(
        plan.workers > args.worker
            && plan.input_bytes > 0
            && plan.piece_bytes > 0
            && plan.passes > 0,
        "this command is run by `open-channel demo`"
    );
    let output = OpenOptions::new()
        .write(true)
        .open(&args.output)
        .with_context(|| format!("could not open {}", args.output.display()))?;
    let handler = Arc::new(Handler { plan, output: Mutex::new(output) });
    // The environment must not lead the demo's own workers elsewhere.
    let channel = Channel::builder(CHANNEL)
        .scope(Scope::User)
        .connect_timeout(PATIENCE)
        .build(move |socket| Arc::clone(&handler).serve(socket))?;
    tokio::spawn(report_hosting(channel.clone()));

    let stop = stop_asked();
    send_share(&channel.connect(), &args).await?;
    report(Record::Finished);

    // Done with sending, but still able to host for the others.
    let _ = stop.await;
    channel.close().await?;
    Ok(())
}

/// The handling side, which runs in the worker that hosts.
struct Handler {
    plan: Plan,
    output: Mutex<File>,
}

impl Handler {
    async fn serve(self: Arc<Self>, socket: Socket) {
        loop {
            match socket.recv().await {
                Ok(Some(message)) => {
                    if let Err(error) = self.handle(&socket, &message) {
                        fail(&error);
                    }
                    message.ack(); // after it is written and reported
                }
                // The worker at the other end left or was killed; it comes back on a new socket.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn handle(&self, socket: &Socket, message: &Message) -> Result<()> {
        let (number, data) =
            message.split_first_chunk::<NUMBER_BYTES>().context("a message without a number")?;
        let number = u64::from_le_bytes(*number);
        let piece =
            self.plan.piece(number).with_context(|| format!("there is no piece {number}"))?;
        ensure!(
            data.len() == piece.bytes,
            "piece {number} has {} bytes, not {}",
            data.len(),
            piece.bytes
        );
        {
            let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            output.seek(SeekFrom::Start(piece.output_offset))?;
            output
                .write_all(data)
                .context("could not write the file that is put together again")?;
        }
        report(Record::Handled {
            id: id(message.id()),
            piece: number,
            generation: socket.generation(),
            redelivered: message.redelivered(),
        });
        Ok(())
    }
}

/// The sending side: the same in every worker, whether it hosts or not.
async fn send_share(socket: &Socket, args: &Args) -> Result<()> {
    let plan = args.plan();
    let mut input = File::open(&args.input)
        .with_context(|| format!("could not open {}", args.input.display()))?;
    let started = Instant::now();
    let elapsed = Duration::from_millis(args.elapsed);
    let share = plan.share(args.worker);
    for nth in args.resume_at..share {
        // A worker that was killed is behind the schedule and catches up.
        let due = Duration::from_millis(args.milliseconds).mul_f64(nth as f64 / share as f64);
        while started.elapsed() + elapsed < due {
            tokio::time::sleep(PACE).await;
        }
        let number = plan.number(args.worker, nth);
        let piece = plan.piece(number).context("a share holds only pieces that exist")?;
        let mut message = vec![0; NUMBER_BYTES + piece.bytes];
        message[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        input.seek(SeekFrom::Start(piece.input_offset))?;
        input
            .read_exact(&mut message[NUMBER_BYTES..])
            .with_context(|| format!("could not read {}: did it change?", args.input.display()))?;
        let sent = socket.send(message).await.map_err(|refused| refused.error)?;
        report(Record::Sent { id: id(sent), piece: number });
    }
    socket.flush().await?;
    Ok(())
}

async fn report_hosting(channel: Channel) {
    let mut events = channel.events();
    while let Some(event) = events.recv().await {
        if let Event::BecameHost { generation, .. } = event {
            report(Record::Hosting { generation });
        }
    }
}

/// Resolves when the supervisor closes the standard input, on purpose or by dying.
fn stop_asked() -> oneshot::Receiver<()> {
    let (stop, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        // Nothing is ever written there, so any result is the end.
        let _ = std::io::stdin().read(&mut [0]);
        let _ = stop.send(());
    });
    stopped
}

/// Reports to the supervisor, before any step that relies on the report. Without a supervisor the
/// worker ends.
fn report(record: Record) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = record.write_to(&mut stdout).and_then(|()| stdout.flush()) {
        fail(&anyhow::Error::new(error).context("could not report to the supervisor"));
    }
}

fn fail(error: &anyhow::Error) -> ! {
    output::say(format_args!("{error:#}"));
    std::process::exit(1)
}

fn id(id: open_channel::MessageId) -> Id {
    (id.socket.0, id.seq)
}
