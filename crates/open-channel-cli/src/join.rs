//! `open-channel join`: lines read become messages, messages received become lines.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use open_channel::{Channel, Error, Event, ResetCode, Role, Socket};
use tokio::time::timeout;

use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::relay::{Relay, SLOWEST};
use crate::{lines, output};

/// Limit of the time that leaving takes. A host whose members do not answer leaves all the same.
const LEAVING: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(after_help = "\
Whoever joins first hosts the channel and passes every line on to all others; when it leaves or dies, \
another process takes over by itself. At the end of standard input, the program waits until all its lines \
were passed on, then leaves; its exit status is 1 if it met nobody who could read them. A member that takes no message for two seconds is let go. After the death of \
a host, a line may appear twice, and none is missing to members that reach the next host within a fifth of a second.")]
pub(crate) struct Args {
    /// The channel's name.
    name: String,

    /// Go on printing what others send after the end of standard input, until interrupted.
    #[arg(long)]
    stay: bool,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    let relay = Arc::new(Relay::default());
    let listener = Arc::clone(&relay);
    let channel =
        options.channel(&args.name).build(move |socket| Arc::clone(&listener).serve(socket))?;
    let socket = Arc::new(channel.connect());
    relay.set_own(socket.id());
    if io::stderr().is_terminal() {
        tokio::spawn(tell_role(channel.clone()));
    }

    // A task of its own: a blocked output must not block the input.
    let mut printing = tokio::spawn(print_received(Arc::clone(&socket)));
    let outcome = tokio::select! {
        printed = &mut printing => printed.context("printing failed").and_then(|printed| printed),
        typed = async {
            let lines = send_lines(&channel, &socket).await?;
            if args.stay {
                std::future::pending::<()>().await;
            }
            lines.were_heard(&channel, &relay)
        } => typed,
        signal = asked_to_stop() => Err(signal.into()),
    };

    let orderly = async {
        if outcome.is_ok() {
            socket.close().await?;
        }
        channel.close().await
    };
    let left = timeout(LEAVING, orderly).await;
    match left {
        Ok(Err(error)) if outcome.is_ok() => {
            Err(error).context("could not leave the channel in an orderly way")
        }
        _ => outcome,
    }
}

/// For the user at a terminal, who would otherwise see nothing until the first message.
async fn tell_role(channel: Channel) {
    let mut events = channel.events();
    while let Some(event) = events.recv().await {
        match event {
            Event::BecameHost { .. } => {
                output::say(format_args!("hosting channel {:?}", channel.name()))
            }
            Event::Connected { role: Role::Peer, .. } => {
                output::say(format_args!("joined channel {:?}", channel.name()));
            }
            Event::HostLost { .. } => output::say("the host is gone, looking for the next"),
            _ => {}
        }
    }
}

async fn print_received(socket: Arc<Socket>) -> Result<()> {
    while let Some(message) = socket.recv().await.map_err(explained)? {
        tokio::task::block_in_place(|| output::line(&message))?;
        message.ack(); // after it was printed
    }
    Err(let_go())
}

async fn send_lines(channel: &Channel, socket: &Socket) -> Result<Lines> {
    let first_role = channel.join().await?;
    let mut lines = lines::from_stdin();
    let mut sent = Lines { first_role, any: false };
    while let Some(line) = lines.recv().await {
        socket.send(line?).await.map_err(|refused| explained(refused.error))?;
        sent.any = true;
    }
    socket.flush().await.map_err(explained)?;
    Ok(sent)
}

/// The lines that were sent.
struct Lines {
    /// Of this process, before the first of them.
    first_role: Role,
    any: bool,
}

impl Lines {
    /// # Errors
    /// This process was alone, and has sent its lines to nobody.
    fn were_heard(&self, channel: &Channel, relay: &Relay) -> Result<()> {
        if !self.any || self.first_role != Role::Host || relay.has_met_somebody() {
            return Ok(());
        }
        let (name, directory) = (channel.name(), channel.directory());
        bail!(
            "nobody else was on {name:?} (in {}), so nobody has read what was sent: start the \
             others first, or look with `open-channel doctor {name:?}` whether they meet elsewhere",
            directory.display()
        )
    }
}

fn explained(error: Error) -> anyhow::Error {
    match error {
        Error::Reset { code: ResetCode::Destroyed, .. } => let_go(),
        error => error.into(),
    }
}

fn let_go() -> anyhow::Error {
    anyhow!(
        "the host let this member go: were lines left unread for more than {SLOWEST:?}? join again"
    )
}
