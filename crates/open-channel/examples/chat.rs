//! A chat without a server: every line goes to everybody, under any host and across changes of
//! host.
//!
//! In several terminals, then type. Kill the host with `kill -9` and type on in the others:
//!
//! ```text
//! $ cargo run -p open-channel --example chat -- ann
//! * this process hosts (generation 1)
//! hi there
//! ann: hi there
//!
//! $ cargo run -p open-channel --example chat -- bob
//! * joined (generation 1)
//! ann: hi there
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use open_channel::{Channel, Event, SendHalf, Socket, SocketId};
use tokio::io::{AsyncBufReadExt, BufReader};

type Members = Arc<Mutex<HashMap<SocketId, SendHalf>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| std::process::id().to_string());
    let members = Members::default();
    let channel = Channel::new("example-chat", move |socket| relay(socket, Arc::clone(&members)))?;
    let mut events = channel.events();
    let socket = channel.connect();
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = input.next_line() => match line? {
                Some(line) => drop(socket.send(format!("{name}: {line}")).await?),
                None => break,
            },
            line = socket.recv() => match line? {
                Some(line) => println!("{}", String::from_utf8_lossy(&line.into_bytes())),
                None => break,
            },
            Some(event) = events.recv() => match event {
                Event::BecameHost { generation, .. } => {
                    println!("* this process hosts (generation {generation})");
                }
                Event::Connected { role: open_channel::Role::Peer, generation, .. } => {
                    println!("* joined (generation {generation})");
                }
                Event::HostLost { .. } => println!("* the host is gone"),
                _ => {}
            },
        }
    }
    Ok(channel.close().await?)
}

/// Runs in the process that hosts, once for each member.
async fn relay(socket: Socket, members: Members) {
    let (sender, receiver) = socket.split();
    let id = sender.id();
    lock(&members).insert(id, sender);
    while let Ok(Some(line)) = receiver.recv().await {
        // A member whose outbox is full because it does not read has to leave: the others do not
        // wait for it.
        lock(&members).retain(|_, member| member.try_send(line.bytes().clone()).is_ok());
        line.ack();
    }
    lock(&members).remove(&id);
}

fn lock(members: &Members) -> std::sync::MutexGuard<'_, HashMap<SocketId, SendHalf>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}
