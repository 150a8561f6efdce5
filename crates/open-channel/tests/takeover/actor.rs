//! One of a test's processes. It says on its output what happens to it, a line for each.

use std::io::{Read, Write};
use std::time::Duration;

use open_channel::{Builder, Channel, Event, Socket};

/// The variable with a process's role.
pub(crate) const ROLE: &str = "OPEN_CHANNEL_TEST_ROLE";
/// The variable with the time after which a silent host is stuck, in milliseconds.
pub(crate) const HOST_TIMEOUT: &str = "OPEN_CHANNEL_TEST_HOST_TIMEOUT";
/// The channel's name.
pub(crate) const NAME: &str = "takeover";

pub(crate) fn run(role: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role.split_once(' ') {
            Some(("send", count)) => send(count.parse().unwrap()).await,
            None if role == "serve" => serve().await,
            None if role == "hold" => hold().await,
            _ => panic!("no such role: {role}"),
        }
    });
}

fn say(line: &str) {
    // A test that is over reads no more.
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn builder() -> Builder {
    let milliseconds = std::env::var(HOST_TIMEOUT).unwrap().parse().unwrap();
    Channel::builder(NAME)
        .host_timeout(Duration::from_millis(milliseconds))
        .connect_timeout(Duration::from_secs(60))
}

/// Hosts if it can, until the test ends its input.
async fn serve() {
    let channel = builder().build(handle).unwrap();
    let mut events = channel.events();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                Event::BecameHost { generation, .. } => say(&format!("hosts {generation}")),
                Event::Connected { generation, .. } => say(&format!("joined {generation}")),
                Event::Fenced { generation, .. } => say(&format!("fenced {generation}")),
                _ => {}
            }
        }
    });
    channel.join().await.unwrap();
    await_end_of_input().await;
    channel.close().await.unwrap();
}

async fn handle(socket: Socket) {
    let mut is_known = false;
    loop {
        match socket.recv().await {
            Ok(Some(message)) => {
                if let (false, Some(peer), Some(link)) = (is_known, socket.peer(), socket.link()) {
                    is_known = true;
                    say(&format!("from {} {}", peer.process_id().unwrap_or(0), link.name()));
                }
                say(&format!("got {}", String::from_utf8_lossy(message.bytes())));
                message.ack();
            }
            Ok(None) => return say("over in order"),
            Err(error) => return say(&format!("over {error}")),
        }
    }
}

/// Sends numbers, and says when all are handled.
async fn send(count: u64) {
    let channel = builder().build_peer().unwrap();
    let socket = channel.connect();
    for number in 0..count {
        socket.send(number.to_string()).await.unwrap();
        if number == 0 {
            socket.flush().await.unwrap();
            let (peer, link) = (socket.peer().unwrap(), socket.link().unwrap());
            say(&format!("peer {} {}", peer.process_id().unwrap_or(0), link.name()));
        }
    }
    socket.flush().await.unwrap();
    say("flushed");
    await_end_of_input().await;
    channel.close().await.unwrap();
}

/// Sends one message, and stays.
async fn hold() {
    let channel = builder().build_peer().unwrap();
    let socket = channel.connect();
    socket.send("0").await.unwrap();
    await_end_of_input().await;
}

async fn await_end_of_input() {
    let read = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(read).await.unwrap();
}
