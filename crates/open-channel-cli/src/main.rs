//! The program `open-channel`: watch a channel whose hosts are killed, join one, send to one.
//!
//! One file per command; this one knows the arguments, the log and the exit status.

mod bench;
mod demo;
mod doctor;
mod exec;
mod framing;
mod generate;
mod group;
mod interrupt;
mod join;
mod ls;
mod members;
mod options;
mod output;
mod quantity;
mod relay;
mod seconds;
mod send;
mod survey;
mod tap;
mod top;
mod traffic;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};

use crate::options::Options;

const EXIT_STATUS: &str = "\
Exit status:
  0    done; for `send`, every message was acknowledged; for `demo`, nothing was lost
  1    it did not work: one line on standard error says why and what to do
  2    the arguments were not understood
  3    a warning of `doctor`
  126  the command of `lock` or `lead` could not be run; 127 if it was not found. Both else end with
       the status of that command, or 128 and the number of the signal that ended it
  129  ended by SIGHUP (the terminal closed), in an orderly way; a host hands over first
  130  ended by SIGINT (Ctrl-C), in the same way; the second one ends it at once
  143  ended by SIGTERM, in the same way
A closed output is no error: `open-channel join news | head -1` ends with 0.";

/// The three commands that a newcomer needs come before all others.
const HELP: &str = "\
{about}

Begin with:
  open-channel demo             see it work: whoever hosts is killed, and nothing is lost
  open-channel join tea-room    in two terminals: what you type in one, the other shows
  open-channel doctor tea-room  why two processes do not meet, and the command that mends it

{usage-heading} {usage}

{all-args}{after-help}";

/// Processes that know a channel's name meet on it: no broker, no port, no lost messages.
#[derive(Parser)]
#[command(
    name = "open-channel",
    version,
    help_template = HELP,
    after_help = EXIT_STATUS,
    max_term_width = 100,
    args_override_self = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stream a file through a channel while the processes that host it are killed.
    Demo(demo::Args),
    /// Meet on a channel: lines read are sent to all others, lines received are printed.
    Join(join::Args),
    /// Deliver messages to the host of a channel, and report whether they were acknowledged.
    Send(send::Args),
    /// List the channels and groups of this user and how they are; with a name, all about one.
    Ls(ls::Args),
    /// Watch the channels and their sockets live, as htop shows processes.
    Top(top::Args),
    /// Watch the messages of a channel or a group go by, where its program allows it.
    Tap(tap::Args),
    /// Write the messages that go by to a file.
    Record(tap::record::Args),
    /// Send recorded messages again, at the times at which they were recorded.
    Replay(tap::replay::Args),
    /// Find out why two processes do not meet, and what will go wrong.
    Doctor(doctor::Args),
    /// Run a command while holding a lock, in the manner of flock(1).
    Lock(group::lock::Args),
    /// Run a command in exactly one of the places where it is started; the next takes over.
    Lead(group::lead::Args),
    /// Publish messages to a topic, and wait until all subscribers have handled them.
    Pub(group::publish::Args),
    /// Print what is published to the topics of a pattern.
    Sub(group::subscribe::Args),
    /// Ask a service, and print its answer.
    Call(group::call::Args),
    /// Answer calls of a service with what a command prints.
    Serve(group::serve::Args),
    /// Push jobs to a queue, or run a command for each of them.
    Queue(group::queue::Args),
    /// Read, write and watch a map that the members of a group share.
    Map(group::map::Args),
    /// Measure round trips, rates and failovers on this machine, beside a plain socket.
    Bench(bench::Args),
    /// Print the completions of a shell for this program.
    Completions(generate::Completions),
    /// Print the man page of this program, or write those of all commands.
    Man(generate::Man),
}

/// One worker of the demo, which only the demo starts.
#[derive(Parser)]
#[command(name = "open-channel demo-worker")]
struct Worker {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    args: demo::worker::Args,
}

/// Another process of a measurement, which only `bench` starts.
#[derive(Parser)]
#[command(name = "open-channel bench-worker")]
struct BenchWorker {
    #[command(flatten)]
    args: bench::worker::Args,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    #[cfg(target_os = "linux")]
    if words.peek().is_some_and(|word| word == group::tied::COMMAND) {
        return ExitCode::from(group::tied::become_command(words.skip(1)));
    }
    if words.peek().is_some_and(|word| word == bench::worker::COMMAND) {
        let BenchWorker { args } = BenchWorker::parse_from(words);
        return match bench::worker::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(status(&error)),
        };
    }
    let outcome = if words.peek().is_some_and(|word| word == demo::worker::COMMAND) {
        // It hands over when its supervisor asks it to, and dies of every signal.
        let Worker { options, args } = Worker::parse_from(words);
        options.start_log();
        in_runtime(demo::worker::run(args))
    } else {
        let cli = Cli::parse();
        cli.options.start_log();
        in_runtime(async {
            interrupt::watch_signals();
            run(cli.command, &cli.options).await
        })
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it, as in `open-channel join news | head -1`.
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(status(&error)),
    }
}

/// The exit status after a failure, which is told unless that was done already.
fn status(error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
        return interrupted.status;
    }
    if let Some(ended) = error.downcast_ref::<group::command::Ended>() {
        return ended.status;
    }
    if let Some(unwell) = error.downcast_ref::<doctor::Unwell>() {
        return unwell.status;
    }
    output::say(format_args!("{error:#}"));
    1
}

async fn run(command: Command, options: &Options) -> Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, options).await,
        Command::Join(args) => join::run(args, options).await,
        Command::Send(args) => send::run(args, options).await,
        Command::Ls(args) => ls::run(args, options).await,
        Command::Top(args) => top::run(args, options).await,
        Command::Tap(args) => tap::run(args, options).await,
        Command::Record(args) => tap::record::run(args, options).await,
        Command::Replay(args) => tap::replay::run(args, options).await,
        Command::Doctor(args) => doctor::run(args, options).await,
        Command::Lock(args) => group::lock::run(args, options).await,
        Command::Lead(args) => group::lead::run(args, options).await,
        Command::Pub(args) => group::publish::run(args, options).await,
        Command::Sub(args) => group::subscribe::run(args, options).await,
        Command::Call(args) => group::call::run(args, options).await,
        Command::Serve(args) => group::serve::run(args, options).await,
        Command::Queue(args) => group::queue::run(args, options).await,
        Command::Map(args) => group::map::run(args, options).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Completions(args) => generate::completions(args, Cli::command()),
        Command::Man(args) => generate::man(args, Cli::command()),
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start the async runtime")?;
    let outcome = runtime.block_on(work);
    // A blocked write to a pipe would prevent the runtime, and so the process, from ending.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        super::Cli::command().debug_assert();
        super::Worker::command().debug_assert();
        super::BenchWorker::command().debug_assert();
    }
}
