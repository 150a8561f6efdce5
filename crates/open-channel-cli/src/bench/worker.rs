//! The other processes of a measurement, which only `open-channel bench` starts.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Result;
use open_channel::blocking::Channel;
use open_channel::{Builder, Scope};

use super::{ends, plain};
use crate::output;

/// The first argument of such a process.
pub(crate) const COMMAND: &str = "bench-worker";

/// The name of the channel. The runtime directory is the measurement's own, so any name would do.
const CHANNEL: &str = "bench";

/// The line that a worker prints when others may begin.
pub(super) const READY: &str = "ready";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    role: Role,
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Hosts a channel, or will when its host dies, and answers there.
    ChannelHost,
    /// Connects to a channel, and answers there.
    ChannelReader,
    /// Answers on a plain socket.
    PlainHost,
    /// Connects to a plain socket, and answers there.
    PlainReader,
}

/// The channel of a measurement in this directory.
pub(super) fn builder(dir: &std::path::Path) -> Builder {
    open_channel::Channel::builder(CHANNEL).scope(Scope::User).runtime_dir(dir.join("run"))
}

/// Runs until its supervisor closes its standard input, or kills it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { role, dir } = args;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    match role {
        Role::ChannelHost => {
            let channel = Channel::build(builder(dir), |socket| ends::serve(&socket))?;
            channel.join()?;
            ready()?;
            loop {
                std::thread::park();
            }
        }
        Role::ChannelReader => {
            let channel = Channel::build_peer(builder(dir))?;
            let socket = channel.connect();
            channel.join()?;
            ready()?;
            ends::serve(&socket);
        }
        Role::PlainHost => {
            let listener = plain::listen(dir)?;
            ready()?;
            loop {
                let end = plain::accept(&listener)?;
                std::thread::spawn(move || end.serve());
            }
        }
        Role::PlainReader => {
            let end = plain::connect(dir)?;
            ready()?;
            end.serve()?;
        }
    }
    Ok(())
}

fn ready() -> Result<()> {
    output::line(READY.as_bytes())
}
