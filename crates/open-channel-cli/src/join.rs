//! `open-channel join`: what is read becomes messages, messages received are written.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use open_channel::{Channel, Error, Event, ResetCode, Role, Socket};
use tokio::time::timeout;

use crate::exec::Exec;
use crate::framing::Framing;
use crate::interrupt::asked_to_stop;
use crate::options::Options;
use crate::output;
use crate::relay::{Relay, SLOWEST};

/// Limit of the time that leaving takes. A host whose members do not answer leaves all the same.
const LEAVING: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(after_help = "\
Whoever joins first hosts the channel and passes every message on to all others; when it leaves \
or dies, another process takes over by itself. At the end of standard input, the program waits \
until all its messages were passed on, then leaves; its exit status is 1 if it met nobody who \
could read them. A member that takes no message for two seconds is let go. After the death of a \
host, a message may appear twice, and none is missing to members that reach the next host within \
a fifth of a second.

With --exec, the program reads and prints nothing itself. Whoever of its kind hosts runs CMD by \
`sh -c` for each connection: what the other side sends is its standard input, and what it prints \
goes back. Its input ends when the other side has sent its last; when CMD ends, so does the \
connection, and a status other than 0 resets it. A message is acknowledged when CMD has got it. \
CMD finds OPEN_CHANNEL_NAME, OPEN_CHANNEL_PEER_PID and OPEN_CHANNEL_GENERATION in its \
environment. Start several: one hosts, the others stand by.

    open-channel join adder --exec 'while read a b; do echo $((a + b)); done'
    open-channel send adder --answers '1 2' '3 4'")]
pub(crate) struct Args {
    /// The channel's name.
    name: String,

    /// Go on printing what others send after the end of standard input, until interrupted.
    #[arg(long)]
    stay: bool,

    /// How messages follow each other on standard input and output, or on those of CMD
    #[arg(long, value_enum, value_name = "HOW", default_value = "lines")]
    framing: Framing,

    /// Run CMD for each connection, with the connection as its standard input and output
    #[arg(long, value_name = "CMD", conflicts_with = "stay")]
    exec: Option<String>,
}

pub(crate) async fn run(args: Args, options: &Options) -> Result<()> {
    match args.exec {
        Some(command) => {
            let (framing, channel) = (args.framing, args.name);
            serve(Exec { command, framing, channel }, options).await
        }
        None => take_part(args, options).await,
    }
}

/// Hosts the command, or stands by, until asked to stop.
async fn serve(exec: Exec, options: &Options) -> Result<()> {
    let exec = Arc::new(exec);
    let listener = Arc::clone(&exec);
    let channel =
        options.channel(&exec.channel).build(move |socket| Arc::clone(&listener).serve(socket))?;
    if io::stderr().is_terminal() {
        tokio::spawn(tell_role(channel.clone()));
    }
    let signal = tokio::select! {
        failed = stand_by(&channel) => return Err(failed),
        signal = asked_to_stop() => signal,
    };
    // Commands that hang do not hold it up for longer than others wait for a host.
    let _ = timeout(LEAVING, channel.close()).await;
    Err(signal.into())
}

/// Resolves when this process can take part no longer.
async fn stand_by(channel: &Channel) -> anyhow::Error {
    let mut events = channel.events();
    if let Err(error) = channel.join().await {
        return error.into();
    }
    while let Some(event) = events.recv().await {
        if let Event::Closed { error: Some(error), .. } = event {
            return error.into();
        }
    }
    anyhow!("the channel is closed")
}

async fn take_part(args: Args, options: &Options) -> Result<()> {
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
    let mut printing = tokio::spawn(print_received(Arc::clone(&socket), args.framing));
    let outcome = tokio::select! {
        printed = &mut printing => printed.context("printing failed").and_then(|printed| printed),
        sent = async {
            let sent = send_all(&channel, &socket, args.framing).await?;
            if args.stay {
                std::future::pending::<()>().await;
            }
            sent.was_heard(&channel, &relay)
        } => sent,
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

async fn print_received(socket: Arc<Socket>, framing: Framing) -> Result<()> {
    while let Some(message) = socket.recv().await.map_err(explained)? {
        tokio::task::block_in_place(|| output::write(&framing.encode(&message)))?;
        message.ack(); // after it was printed
    }
    Err(let_go())
}

async fn send_all(channel: &Channel, socket: &Socket, framing: Framing) -> Result<Sent> {
    let first_role = channel.join().await?;
    let mut input = framing.read(io::stdin());
    let mut sent = Sent { first_role, any: false };
    while let Some(message) = input.recv().await {
        socket.send(message?).await.map_err(|refused| explained(refused.error))?;
        sent.any = true;
    }
    socket.flush().await.map_err(explained)?;
    Ok(sent)
}

/// What was sent.
struct Sent {
    /// Of this process, before the first of them.
    first_role: Role,
    any: bool,
}

impl Sent {
    /// # Errors
    /// This process was alone, and has sent to nobody.
    fn was_heard(&self, channel: &Channel, relay: &Relay) -> Result<()> {
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
