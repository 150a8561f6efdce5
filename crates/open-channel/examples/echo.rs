//! The smallest channel: the host answers, everybody asks.
//!
//! ```text
//! $ cargo run -p open-channel --example echo -- hello world
//! asked the host, process 4711: hello
//! answered: HELLO
//! asked the host, process 4711: world
//! answered: WORLD
//! ```
//!
//! Alone, it asks itself. Start `cargo run -p open-channel --example echo -- --stay` in another
//! terminal first, and it asks that one.

use open_channel::{Channel, Socket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let channel = Channel::new("example-echo", answer)?;
    let socket = channel.connect();
    for word in std::env::args().skip(1) {
        if word == "--stay" {
            println!("{} on the channel", channel.join().await?);
            tokio::signal::ctrl_c().await?;
            continue;
        }
        socket.send(word.clone()).await?;
        let Some(reply) = socket.recv().await? else {
            return Err("the host ended the conversation".into());
        };
        let host = socket.peer().and_then(|host| host.process_id()).unwrap_or_default();
        println!("asked the host, process {host}: {word}");
        println!("answered: {}", String::from_utf8_lossy(&reply.into_bytes()));
    }
    Ok(channel.close().await?)
}

/// Runs in the process that hosts, once for each socket that connects.
async fn answer(socket: Socket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message.to_ascii_uppercase()).await.is_err() {
            return; // the other side is gone
        }
        message.ack(); // handled, after its answer was sent
    }
}
